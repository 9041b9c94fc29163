"""The fleet: the batteries that dbt has built, a page at a time, or laid over one another."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import StringConstraints

from api import problems
from api.answers import Courses, Fleet, FleetBattery
from api.batteries import Text
from api.forecasts import EndOfLife, NextCycle
from api.formats import TABULAR, UNCHANGED, AskedObject, AskedRows, Table, columns
from api.outlooks import outlooks
from api.paging import Offset
from api.state import ThePredictor, TheStore
from api.store import Store, StoreError
from model.forecast import ModelError

router = APIRouter(tags=["batteries"], responses=problems.responses(422, 503))

SPARKLINE_POINTS = 60
FLEET_HORIZON = 200
MOST_COMPARED = 50

Sort = Literal[
    "battery_id", "-battery_id", "last_soh", "-last_soh", "cycles", "-cycles",
    "next_soh", "-next_soh", "remaining", "-remaining",
]  # fmt: skip
Flag = Literal["unlike_training", "ended", "alert", "simulated"]
# what a row tells in objects, as columns: of which object, which field, and its SQL type
FLAT = {
    "next_soh": ("next_cycle", "predicted_soh", "double"),
    "next_soh_low": ("next_cycle", "soh_low", "double"),
    "next_soh_high": ("next_cycle", "soh_high", "double"),
    "next_features": ("next_cycle", "features", "varchar"),
    "remaining_cycles": ("end_of_life", "cycles", "bigint"),
    "remaining_low": ("end_of_life", "cycles_low", "bigint"),
    "remaining_high": ("end_of_life", "cycles_high", "bigint"),
    "remaining_days": ("end_of_life", "days", "double"),
}
LISTS = ("unlike_training", "alerts")  # of words
COLUMNS = {
    **columns(FleetBattery),
    **{name: kind for name, (*_, kind) in FLAT.items()},
    **dict.fromkeys(LISTS, "varchar"),
}
BY_FORECAST = ("next_soh", "remaining", "unlike_training")
SohBound = Annotated[float | None, Query(ge=0, le=2, allow_inf_nan=False)]


@router.get("/batteries", response_model=Fleet, responses=TABULAR)
def fleet(
    asked: AskedRows,
    store: TheStore,
    predictor: ThePredictor,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows of a page")] = 50,
    offset: Offset = 0,
    sort: Annotated[
        Sort,
        Query(
            description="Column to sort by; - from high to low. next_soh and remaining go by what "
            "`python -m model.predict` has kept of the model in use"
        ),
    ] = "battery_id",
    min_soh: SohBound = None,
    max_soh: SohBound = None,
    search: Annotated[
        str, Query(max_length=100, pattern=Text, description="Part of battery_id or battery_group")
    ] = "",
    flag: Annotated[
        Flag | None,
        Query(
            description="Only those that are unlike training, of the forecasts that are kept; at "
            "their end of life; with an open alert; simulated"
        ),
    ] = None,
) -> Response:
    """List the batteries, a page at a time, each with its forecast where there is a model."""
    try:
        loaded = predictor.loaded()
    except ModelError:  # what was measured can be shown without it
        loaded = None
    rows = store.rows(
        "batteries",
        limit=limit, offset=offset, sort=sort, min_soh=min_soh, max_soh=max_soh, search=search,
        flag=flag, model_version=loaded.model.version if loaded else "",
        battery_ids=list(_alerts(store, None)) if flag == "alert" else None,
        by_forecast=sort.lstrip("-") in BY_FORECAST or flag in BY_FORECAST,
    )  # fmt: skip
    try:
        alerts = _alerts(store, [row["battery_id"] for row in rows])
    except StoreError:  # a database from before there were alerts
        alerts = {}
    told = outlooks(store, loaded, rows, FLEET_HORIZON) if loaded else [None] * len(rows)
    page = Fleet(
        model_version=loaded.model.version if loaded else None,
        is_simulated=bool(loaded and loaded.origin()["is_simulated"])
        or any(row["is_simulated"] for row in rows),
        total=rows[0]["total"] if rows else 0,
        kept=rows[0]["kept"] if rows else 0,
        horizon=FLEET_HORIZON,
        batteries=[
            FleetBattery(
                **row,
                sparkline=_thinned(row["truth_soh"] or []),
                is_unlike_training=bool(it.unlike) if it else None,
                unlike_training=it.unlike if it else None,
                next_cycle=NextCycle.of(it.next_cycle) if it and it.next_cycle else None,
                end_of_life=EndOfLife.of(it.trajectory, row) if it else None,
                alerts=alerts.get(row["battery_id"], []),
            )
            for row, it in zip(rows, told, strict=True)
        ],
    )
    return asked.answer(page, lambda: Table(COLUMNS, [*map(_flat, page.batteries)]))


@router.get("/compare", response_model=Courses, responses=UNCHANGED)
def compare(
    asked: AskedObject,
    battery_id: Annotated[
        list[Annotated[str, StringConstraints(max_length=100, pattern=Text)]],
        Query(min_length=1, max_length=MOST_COMPARED, description="Batteries, each by its id"),
    ],
    store: TheStore,
) -> Response:
    """Give how batteries aged, as one asks who lays them over one another."""
    rows = store.rows("courses", battery_ids=battery_id)
    return asked.answer(
        Courses(is_simulated=any(row["is_simulated"] for row in rows), batteries=rows)
    )


def _flat(battery: FleetBattery) -> dict[str, Any]:
    told = {
        name: getattr(getattr(battery, whole), part, None)
        for name, (whole, part, _) in FLAT.items()
    }
    words = {name: " ".join(getattr(battery, name) or ()) or None for name in LISTS}
    return vars(battery) | told | words


def _alerts(store: Store, battery_ids: list[str] | None) -> dict[str, list[str]]:
    """Return the kinds of the alerts that are open, of these batteries or of all that have one."""
    rows = store.rows("open_alerts", battery_ids=battery_ids)
    return {row["battery_id"]: row["kinds"] for row in rows}


def _thinned(values: list[Any]) -> list[float]:
    step = -(-len(values) // SPARKLINE_POINTS) or 1
    return [round(value, 4) for value in values[::-step][::-1]]  # the last one is always there
