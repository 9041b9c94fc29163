"""What was forecast against what came: the alerts of the fleet, and how each model does."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import paging, problems
from api.answers import Alert, Alerts, Health
from api.batteries import Text
from api.formats import TABULAR, UNCHANGED, AskedObject, AskedRows, Table, columns
from api.paging import After, Limit, Offset
from api.state import TheStore

router = APIRouter(tags=["alerts"], responses=problems.responses(503))


@router.get("/alerts", response_model=Alerts, responses={**TABULAR, **problems.responses(422)})
def alerts(
    request: Request,
    asked: AskedRows,
    store: TheStore,
    history: Annotated[bool, Query(description="The closed ones, too")] = False,
    battery_id: Annotated[
        str | None, Query(max_length=100, pattern=Text, description="Of this battery only")
    ] = None,
    limit: Limit = 1000,
    offset: Offset = 0,
    after: After = None,
) -> Response:
    """List the alerts that are open, the newest first."""
    since, name, kind = paging.place(after, datetime.fromisoformat, paging.name, paging.name)
    rows = store.rows(
        "alerts", history=history, battery_id=battery_id, limit=limit + 1, offset=offset,
        after_since=since, after_battery_id=name, after_kind=kind,
    )  # fmt: skip
    page, link = paging.cut(request, rows, limit, "since", "battery_id", "kind")
    return asked.answer(
        Alerts(total=page[0]["total"] if page else 0, alerts=page),
        lambda: Table(columns(Alert), page),
        **link,
    )


@router.get("/model/health", response_model=Health, responses=UNCHANGED)
def health(asked: AskedObject, store: TheStore) -> Response:
    """Tell how the forecasts of the next cycle did that have come, by model and battery group."""
    return asked.answer(Health(models=store.rows("model_health")))
