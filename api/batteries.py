"""The batteries that dbt has built: their state, their cycles and their forecasts."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from api import problems
from api.answers import (
    Battery,
    BatteryAnswer,
    Curve,
    Cycles,
    EndOfLife,
    Fleet,
    FleetBattery,
    ForecastAnswer,
    NextCycle,
    OneStep,
    OneSteps,
)
from api.predictor import Loaded, course
from api.problems import ProblemError
from api.schemas import Hours
from api.state import TheModel, ThePredictor, TheStore
from api.store import Row, Store
from model import forecast as model
from model.forecast import ModelError, Prediction, TooFewCyclesError

router = APIRouter(
    prefix="/batteries", tags=["batteries"], responses=problems.responses(404, 409, 422, 503)
)

NOT_RATED = (
    "its rated capacity is not known, so that there is no state of health: load it again with "
    "--rated-capacity-ah"
)
SPARKLINE_POINTS = 60
FLEET_HORIZON = 200

# PostgreSQL's text holds every character but NUL
Text = r"^[^\x00]*$"
BatteryId = Annotated[str, Path(max_length=100, pattern=Text, examples=["B0007"])]
Limit = Annotated[int, Query(ge=1, le=5000, description="Rows of a page")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Rows before the page")]
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
    next_cycles = _next_cycles(loaded, rows) if loaded else {}
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
                next_cycle=told and NextCycle.of(told, row["rated_capacity_ah"]),
                end_of_life=_end_of_life(loaded, row, told) if loaded else None,
            )
            for row in rows
            for told in [next_cycles.get(row["battery_id"])]
        ],
    )


@router.get("/{battery_id}")
def battery(battery_id: BatteryId, store: TheStore) -> Battery:
    """Tell a battery's conditions and how far it has aged."""
    return Battery(**_battery(store, battery_id))


@router.get("/{battery_id}/cycles")
def cycles(
    battery_id: BatteryId, store: TheStore, limit: Limit = 1000, offset: Offset = 0
) -> Cycles:
    """List a battery's recorded discharges, those left out among them, with the reason."""
    rows = store.rows("cycles", battery_id=battery_id, limit=limit, offset=offset)
    if not rows:
        _battery(store, battery_id)
    return Cycles(battery_id=battery_id, total=rows[0]["total"] if rows else 0, cycles=rows)


@router.get("/{battery_id}/cycles/{cycle_index}/curve")
def curve(
    battery_id: BatteryId,
    cycle_index: Annotated[int, Path(ge=1, le=2**31 - 1)],
    store: TheStore,
) -> Curve:
    """Give the samples of one cycle, as they were recorded."""
    rows = store.rows("curve", battery_id=battery_id, cycle_index=cycle_index)
    if not rows:
        raise ProblemError(404, f"{battery_id} has no cycle {cycle_index}")
    return Curve(battery_id=battery_id, **rows[0])


@router.get("/{battery_id}/prediction")
def prediction(
    battery_id: BatteryId,
    store: TheStore,
    loaded: TheModel,
    rest_hours: Annotated[Hours | None, Query()] = None,
) -> BatteryAnswer:
    """Predict a battery's next cycle from its last ones."""
    row = _battery(store, battery_id)
    past = _history(store, battery_id)
    if len(past) < loaded.model.window:
        raise ProblemError(
            409, f"{battery_id} has {len(past)} cycles, the model needs {loaded.model.window}"
        )
    if lack := _lacking(loaded, row, past):
        raise ProblemError(409, f"{battery_id}: {lack}")
    (predicted,) = model.predict(loaded.model, [past], [rest_hours])
    return BatteryAnswer(
        **NextCycle.of(predicted, row["rated_capacity_ah"]).model_dump(),
        **loaded.origin(row),
        battery_id=battery_id,
        last_cycle_index=row["last_cycle_index"],
    )


@router.get("/{battery_id}/predictions")
def predictions(battery_id: BatteryId, store: TheStore, loaded: TheModel) -> OneSteps:
    """Predict every cycle that has a window before it, from that window and nothing after it.

    The last one is the cycle still to come. Cycles whose window lacks a feature are left out.
    """
    row = _battery(store, battery_id)
    past = _history(store, battery_id)
    width = loaded.model.window
    is_rated = any(it["soh_target"] is not None for it in past)
    predicted = model.one_steps(loaded.model, past) if is_rated and len(past) >= width else []
    return OneSteps(
        **loaded.origin(row),
        battery_id=battery_id,
        predictions=[
            OneStep(
                cycle_index=cycle_index,
                predicted_soh=it.soh,
                soh_low=it.soh_low,
                soh_high=it.soh_high,
                soh=past[cycle_index - 1]["soh_target"] if cycle_index <= len(past) else None,
            )
            for cycle_index, it in enumerate(predicted, start=width + 1)
            if it is not None
        ],
    )


@router.get("/{battery_id}/forecast")
def forecast(
    battery_id: BatteryId,
    store: TheStore,
    loaded: TheModel,
    horizon: Annotated[int, Query(ge=1, le=1000, description="Cycles ahead")] = 100,
) -> ForecastAnswer:
    """Foretell a battery's state of health, and when it falls below 70 %."""
    row = _battery(store, battery_id)
    if not row["truth_soh"]:
        lack = NOT_RATED if row["rated_capacity_ah"] is None else "no cycle has ground truth"
        raise ProblemError(409, f"{battery_id}: {lack}")
    its = course(row)
    due = model.next_truth(its) - its.last_cycle
    next_cycle = _next_cycles(loaded, [row]).get(battery_id)
    try:
        far = loaded.trajectory(row, max(horizon, due), next_cycle)
        trajectory = loaded.trajectory(row, horizon, next_cycle)
    except TooFewCyclesError as error:
        raise ProblemError(409, str(error)) from None
    is_sparse = due > 1
    return ForecastAnswer(
        **loaded.origin(row),
        battery_id=battery_id,
        last_cycle_index=row["last_cycle_index"],
        horizon=horizon,
        soh=trajectory.soh,
        soh_low=trajectory.soh_low,
        soh_high=trajectory.soh_high,
        end_of_life=EndOfLife.of(trajectory, row["hours_per_cycle"]),
        is_reached=trajectory.end_of_life is not None,
        end_of_life_cycle=row["end_of_life_cycle"],
        next_truth_cycle=its.last_cycle + due if is_sparse else None,
        next_truth_soh=far.soh[due - 1] if is_sparse else None,
    )


def _battery(store: Store, battery_id: str) -> Row:
    rows = store.rows("battery", battery_id=battery_id)
    if not rows:
        known = model.listed([row["battery_id"] for row in store.rows("known")])
        raise ProblemError(404, f"there is no battery {battery_id}: there are {known}")
    return rows[0]


def _history(store: Store, battery_id: str) -> list[Row]:
    """All usable cycles of a battery, as the model takes them: features, and soh_target."""
    rows = store.rows("series", battery_id=battery_id)
    return [{**row["features"], "soh_target": row["soh"]} for row in rows]


def _lacking(loaded: Loaded, row: Row, past: list[Row]) -> str | None:
    """Say what a battery lacks for a forecast of its next cycle; None if nothing."""
    if row["rated_capacity_ah"] is None:
        return NOT_RATED
    if not row["truth_soh"]:
        return "no cycle has ground truth: there is no state of health to go on from"
    return model.lacking(loaded.model, past)


def _next_cycles(loaded: Loaded, rows: list[Row]) -> dict[str, Prediction]:
    """Predict the next cycle of each battery that has a window, in one forward pass.

    Where no cycle of the window has a ground truth, the last one stands before it.
    """
    able = [
        row
        for row in rows
        if len(row["last_cycles"] or []) >= loaded.model.window
        and not _lacking(loaded, row, row["last_cycles"])
    ]
    windows = []
    for row in able:
        window = row["last_cycles"]
        if all(cycle["soh_target"] is None for cycle in window):
            window = [{**window[0], "soh_target": row["truth_soh"][-1]}, *window]
        windows.append(window)
    predicted = model.predict(loaded.model, windows) if able else []
    return {row["battery_id"]: it for row, it in zip(able, predicted, strict=True)}


def _end_of_life(loaded: Loaded, row: Row, next_cycle: Prediction | None) -> EndOfLife | None:
    if not row["truth_soh"]:
        return None
    try:
        trajectory = loaded.trajectory(row, FLEET_HORIZON, next_cycle)
    except ModelError:  # too few cycles
        return None
    return EndOfLife.of(trajectory, row["hours_per_cycle"])


def _thinned(values: list[Any]) -> list[float]:
    step = -(-len(values) // SPARKLINE_POINTS) or 1
    return [round(value, 4) for value in values[::-step][::-1]]  # the last one is always there
