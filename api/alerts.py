"""What was forecast against what came: the alerts of the fleet, and how each model does."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import problems
from api.answers import Alerts, Health
from api.batteries import Limit, Offset, Text
from api.state import TheStore

router = APIRouter(tags=["alerts"], responses=problems.responses(503))


@router.get("/alerts", responses=problems.responses(422))
def alerts(
    store: TheStore,
    history: Annotated[bool, Query(description="The closed ones, too")] = False,
    battery_id: Annotated[
        str | None, Query(max_length=100, pattern=Text, description="Of this battery only")
    ] = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> Alerts:
    """List the alerts that are open, the newest first."""
    rows = store.rows("alerts", history=history, battery_id=battery_id, limit=limit, offset=offset)
    return Alerts(total=rows[0]["total"] if rows else 0, alerts=rows)


@router.get("/model/health")
def health(store: TheStore) -> Health:
    """Tell how the forecasts of the next cycle did that have come, by model and battery group."""
    return Health(models=store.rows("model_health"))
