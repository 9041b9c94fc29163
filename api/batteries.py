"""A battery that dbt has built: its state, its cycles and its forecasts."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BeforeValidator

from api import paging, problems
from api.answers import Battery, Curve, Cycles, RecordedCycle
from api.edge import SLASH
from api.forecasts import BatteryAnswer, EndOfLife, ForecastAnswer, NextCycle, OneStep, OneSteps
from api.formats import (
    FEATURES,
    TABULAR,
    UNCHANGED,
    AskedObject,
    AskedRows,
    Table,
    columns,
)
from api.outlooks import history, lacking, last_cycles, outlooks
from api.paging import After, Limit, Offset
from api.predictor import Loaded, course
from api.problems import ProblemError
from api.schemas import Hours
from api.state import TheModel, TheStore
from api.store import Row, Store
from model import forecast as model
from model.forecast import Trajectory, WindowError

router = APIRouter(
    prefix="/batteries", tags=["batteries"], responses=problems.responses(404, 409, 422, 503)
)

SAMPLES = ("time_s", "voltage_v", "current_a", "temperature_c")
ORIGIN = {"model_version": "varchar", "is_simulated": "boolean"}  # of each row of a forecast

# PostgreSQL's text holds every character but NUL
Text = r"^[^\x00]*$"
BatteryId = Annotated[
    str,
    Path(max_length=100, pattern=Text, examples=["B0007"]),
    BeforeValidator(lambda it: it.replace(SLASH, "/")),
]


@router.get("/{battery_id}", response_model=Battery, responses=UNCHANGED)
def battery(battery_id: BatteryId, asked: AskedObject, store: TheStore) -> Response:
    """Tell a battery's conditions and how far it has aged."""
    return asked.answer(Battery(**_battery(store, battery_id)))


@router.get("/{battery_id}/cycles", response_model=Cycles, responses=TABULAR)
def cycles(
    battery_id: BatteryId,
    request: Request,
    asked: AskedRows,
    store: TheStore,
    limit: Limit = 1000,
    offset: Offset = 0,
    after: After = None,
) -> Response:
    """List a battery's recorded discharges, those left out among them, with the reason."""
    (place,) = paging.place(after, int)
    if known := asked.unchanged(store.stamp(battery_id)):
        return known
    rows = store.rows("cycles", battery_id=battery_id, limit=limit + 1, offset=offset, after=place)
    if not rows:
        _battery(store, battery_id)
    page, link = paging.cut(request, rows, limit, "discharge_index")
    return asked.answer(
        Cycles(battery_id=battery_id, total=page[0]["total"] if page else 0, cycles=page),
        lambda: _table(
            {**columns(RecordedCycle), **FEATURES},
            [{**row, **(row["features"] or {})} for row in page],
            battery_id,
        ),
        **link,
    )


@router.get("/{battery_id}/cycles/{cycle_index}/curve", response_model=Curve, responses=TABULAR)
def curve(
    battery_id: BatteryId,
    cycle_index: Annotated[int, Path(ge=1, le=2**31 - 1)],
    asked: AskedRows,
    store: TheStore,
) -> Response:
    """Give the samples of one cycle, as they were recorded."""
    if known := asked.unchanged(store.stamp(battery_id)):
        return known
    rows = store.rows("curve", battery_id=battery_id, cycle_index=cycle_index)
    if not rows:
        raise ProblemError(404, f"{battery_id} has no cycle {cycle_index}")
    samples = {name: it for name, it in rows[0].items() if isinstance(it, list)}
    return asked.answer(
        Curve(battery_id=battery_id, **rows[0]),
        lambda: _table(
            {"cycle_index": "bigint", **dict.fromkeys(SAMPLES, "double")},
            [dict(zip(samples, it, strict=True)) for it in zip(*samples.values(), strict=True)],
            battery_id,
            cycle_index=cycle_index,
        ),
    )


@router.get("/{battery_id}/prediction", response_model=BatteryAnswer, responses=TABULAR)
def prediction(
    battery_id: BatteryId,
    asked: AskedRows,
    store: TheStore,
    loaded: TheModel,
    rest_hours: Annotated[
        Hours | None, Query(description="Rest between the last cycle and the predicted one, h")
    ] = None,
) -> Response:
    """Predict a battery's next cycle from its last ones."""
    if known := asked.unchanged(store.stamp(battery_id), loaded.model.version):
        return known
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
    answer = BatteryAnswer(
        **vars(NextCycle.of(predicted)),
        **_of(loaded, row),
        last_cycle_index=row["last_cycle_index"],
    )
    return asked.answer(
        answer, lambda: Table(columns(BatteryAnswer), [{**vars(answer), "battery_id": battery_id}])
    )


@router.get("/{battery_id}/predictions", response_model=OneSteps, responses=TABULAR)
def predictions(
    battery_id: BatteryId, asked: AskedRows, store: TheStore, loaded: TheModel
) -> Response:
    """Predict every ground truth that has a window before it, from that window and nothing after.

    The last one is the cycle still to come. What is no ground truth, as a walk of loads, has no
    state of health to predict. Cycles whose window lacks a feature, or tells no state of health,
    are left out too.
    """
    if known := asked.unchanged(store.stamp(battery_id), loaded.model.version):
        return known
    row = _battery(store, battery_id)
    past = history(store, battery_id)
    steps = [
        OneStep(
            cycle_index=cycle_index,
            predicted_soh=it.soh,
            soh_low=it.soh_low,
            soh_high=it.soh_high,
            features=it.features,
            is_unlike_training=it.is_unlike_training,
            soh=past[cycle_index - 1]["soh_target"] if cycle_index <= len(past) else None,
        )
        for cycle_index, it in model.one_steps(loaded.model, past, row["rated_capacity_ah"]).items()
    ]
    answer = OneSteps(
        **_of(loaded, row),
        predictions=steps,
    )
    return asked.answer(
        answer,
        lambda: _table(
            {**columns(OneStep), **ORIGIN}, map(vars, steps), battery_id, **loaded.origin(row)
        ),
    )


@router.get("/{battery_id}/forecast", response_model=ForecastAnswer, responses=TABULAR)
def forecast(
    battery_id: BatteryId,
    asked: AskedRows,
    store: TheStore,
    loaded: TheModel,
    horizon: Annotated[int, Query(ge=1, le=1000, description="Cycles ahead")] = 100,
) -> Response:
    """Foretell a battery's state of health, and when it falls below 70 %.

    The first cycle is the one that `/prediction` tells, where there is one and it is due to have a
    ground truth.
    """
    if known := asked.unchanged(store.stamp(battery_id), loaded.model.version):
        return known
    row = _battery(store, battery_id)
    (told,) = outlooks(store, loaded, [row], horizon)
    if told is None:
        raise ProblemError(409, f"{battery_id}: {lacking(row)}")
    trajectory = told.trajectory
    lines = {"soh": trajectory.soh, "soh_low": trajectory.soh_low, "soh_high": trajectory.soh_high}
    answer = ForecastAnswer(
        is_unlike_training=bool(told.unlike),
        unlike_training=told.unlike,
        **_of(loaded, row),
        last_cycle_index=row["last_cycle_index"],
        horizon=horizon,
        **lines,
        end_of_life=EndOfLife.of(trajectory, row),
        is_reached=trajectory.end_of_life is not None,
        end_of_life_cycle=row["end_of_life_cycle"],
        **_next_truth(row, trajectory),
    )
    return asked.answer(
        answer,
        lambda: _table(
            {
                "cycle_index": "bigint",
                **dict.fromkeys(lines, "double"),
                "is_unlike_training": "boolean",
                **ORIGIN,
            },
            [
                {
                    "cycle_index": row["last_cycle_index"] + ahead,
                    **dict(zip(lines, it, strict=True)),
                }
                for ahead, it in enumerate(zip(*lines.values(), strict=True), start=1)
            ],
            battery_id,
            is_unlike_training=answer.is_unlike_training,
            **loaded.origin(row),
        ),
    )


def _of(loaded: Loaded, row: Row) -> dict[str, Any]:
    """Return what every forecast of a battery says of it and of the model."""
    battery_id = row["battery_id"]
    learned_by = loaded.learned_by(battery_id)
    return {**loaded.origin(row), "battery_id": battery_id, "learned_by": learned_by}


def _table(
    columns: dict[str, str], rows: Iterable[Row], battery_id: str, **everywhere: object
) -> Table:
    """Return the rows of one battery, with its name and what else is so in each of them."""
    everywhere["battery_id"] = battery_id
    return Table({"battery_id": "varchar", **columns}, [{**row, **everywhere} for row in rows])


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
