"""A battery that dbt has built: its state, its cycles and its forecasts."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import problems
from api.answers import Battery, Curve, Cycles
from api.forecasts import BatteryAnswer, EndOfLife, ForecastAnswer, NextCycle, OneStep, OneSteps
from api.outlooks import history, lacking, last_cycles, outlooks
from api.predictor import course
from api.problems import ProblemError
from api.schemas import Hours
from api.state import TheModel, TheStore
from api.store import Row, Store
from model import forecast as model
from model.forecast import Trajectory, WindowError

router = APIRouter(
    prefix="/batteries", tags=["batteries"], responses=problems.responses(404, 409, 422, 503)
)

# PostgreSQL's text holds every character but NUL
Text = r"^[^\x00]*$"
BatteryId = Annotated[str, Path(max_length=100, pattern=Text, examples=["B0007"])]
Limit = Annotated[int, Query(ge=1, le=5000, description="Rows of a page")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Rows before the page")]


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
    if row["cycles"] < loaded.model.shortest:
        raise ProblemError(
            409, f"{battery_id} has {row['cycles']} cycles, the model needs {loaded.model.shortest}"
        )
    if lack := lacking(row):
        raise ProblemError(409, f"{battery_id}: {lack}")
    cycles = last_cycles(store, loaded, row)
    (predicted,) = loaded.answers([cycles], [rest_hours], [row["rated_capacity_ah"]])
    if isinstance(predicted, WindowError):
        raise ProblemError(409, f"{battery_id}: {predicted}")
    return BatteryAnswer(
        **vars(NextCycle.of(predicted)),
        **loaded.origin(row),
        battery_id=battery_id,
        last_cycle_index=row["last_cycle_index"],
    )


@router.get("/{battery_id}/predictions")
def predictions(battery_id: BatteryId, store: TheStore, loaded: TheModel) -> OneSteps:
    """Predict every ground truth that has a window before it, from that window and nothing after.

    The last one is the cycle still to come. What is no ground truth, as a walk of loads, has no
    state of health to predict. Cycles whose window lacks a feature, or tells no state of health,
    are left out too.
    """
    row = _battery(store, battery_id)
    past = history(store, battery_id)
    predicted = model.one_steps(loaded.model, past, row["rated_capacity_ah"])
    return OneSteps(
        **loaded.origin(row),
        battery_id=battery_id,
        predictions=[
            OneStep(
                cycle_index=cycle_index,
                predicted_soh=it.soh,
                soh_low=it.soh_low,
                soh_high=it.soh_high,
                features=it.features,
                is_unlike_training=it.is_unlike_training,
                soh=past[cycle_index - 1]["soh_target"] if cycle_index <= len(past) else None,
            )
            for cycle_index, it in predicted.items()
        ],
    )


@router.get("/{battery_id}/forecast")
def forecast(
    battery_id: BatteryId,
    store: TheStore,
    loaded: TheModel,
    horizon: Annotated[int, Query(ge=1, le=1000, description="Cycles ahead")] = 100,
) -> ForecastAnswer:
    """Foretell a battery's state of health, and when it falls below 70 %.

    The first cycle is the one that `/prediction` tells, where there is one and it is due to have a
    ground truth.
    """
    row = _battery(store, battery_id)
    (told,) = outlooks(store, loaded, [row], horizon)
    if told is None:
        raise ProblemError(409, f"{battery_id}: {lacking(row)}")
    trajectory = told.trajectory
    return ForecastAnswer(
        is_unlike_training=bool(told.unlike),
        unlike_training=told.unlike,
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
        **_next_truth(row, trajectory),
    )


def _next_truth(row: Row, trajectory: Trajectory) -> dict[str, float | None]:
    """Tell when the next ground truth is due and what it will be, where not every cycle has one."""
    its = course(row)
    due = model.next_truth(its)
    ahead = due - its.last_cycle
    if ahead == 1:
        return {"next_truth_cycle": None, "next_truth_soh": None}
    soh = trajectory.soh[ahead - 1] if ahead <= len(trajectory.soh) else None
    return {"next_truth_cycle": due, "next_truth_soh": soh}


def _battery(store: Store, battery_id: str) -> Row:
    rows = store.rows("battery", battery_id=battery_id)
    if not rows:
        known = model.listed([row["battery_id"] for row in store.rows("known")])
        raise ProblemError(404, f"there is no battery {battery_id}: there are {known}")
    return rows[0]
