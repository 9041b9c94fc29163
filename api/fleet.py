"""The fleet: the batteries that dbt has built, a page at a time."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from api import problems
from api.answers import Fleet, FleetBattery
from api.batteries import Offset, Text
from api.forecasts import EndOfLife, NextCycle
from api.outlooks import outlooks
from api.state import ThePredictor, TheStore
from model.forecast import ModelError

router = APIRouter(prefix="/batteries", tags=["batteries"], responses=problems.responses(422, 503))

SPARKLINE_POINTS = 60
FLEET_HORIZON = 200

Sort = Literal["battery_id", "-battery_id", "last_soh", "-last_soh", "cycles", "-cycles"]
SohBound = Annotated[float | None, Query(ge=0, le=2, allow_inf_nan=False)]


@router.get("")
def fleet(
    store: TheStore,
    predictor: ThePredictor,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows of a page")] = 50,
    offset: Offset = 0,
    sort: Annotated[
        Sort, Query(description="Column to sort by; - from high to low")
    ] = "battery_id",
    min_soh: SohBound = None,
    max_soh: SohBound = None,
    search: Annotated[
        str, Query(max_length=100, pattern=Text, description="Part of battery_id or battery_group")
    ] = "",
) -> Fleet:
    """List the batteries, a page at a time, each with its forecast where there is a model."""
    rows = store.rows(
        "batteries",
        limit=limit, offset=offset, sort=sort, min_soh=min_soh, max_soh=max_soh, search=search,
    )  # fmt: skip
    try:
        loaded = predictor.loaded()
    except ModelError:  # what was measured can be shown without it
        loaded = None
    told = outlooks(store, loaded, rows, FLEET_HORIZON) if loaded else [None] * len(rows)
    return Fleet(
        model_version=loaded.model.version if loaded else None,
        is_simulated=bool(loaded and loaded.origin()["is_simulated"])
        or any(row["is_simulated"] for row in rows),
        total=rows[0]["total"] if rows else 0,
        horizon=FLEET_HORIZON,
        batteries=[
            FleetBattery(
                **row,
                sparkline=_thinned(row["truth_soh"] or []),
                is_unlike_training=bool(it.unlike) if it else None,
                unlike_training=it.unlike if it else None,
                next_cycle=NextCycle.of(it.next_cycle) if it and it.next_cycle else None,
                end_of_life=EndOfLife.of(it.trajectory, row["hours_per_cycle"]) if it else None,
            )
            for row, it in zip(rows, told, strict=True)
        ],
    )


def _thinned(values: list[Any]) -> list[float]:
    step = -(-len(values) // SPARKLINE_POINTS) or 1
    return [round(value, 4) for value in values[::-step][::-1]]  # the last one is always there
