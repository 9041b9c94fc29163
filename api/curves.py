"""The samples of a discharge, and the charge that it gave per volt."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path

from api import problems
from api.answers import DischargeCurve, IncrementalCapacity
from api.batteries import Text
from api.problems import ProblemError
from api.state import TheStore
from api.store import Row

router = APIRouter(
    prefix="/batteries/{battery_id:path}",
    tags=["batteries"],
    responses=problems.responses(404, 422, 503),
)

STEP_V = 0.005
HALF_WIDTH = 5  # steps to either side that a slope is taken over
UNDER_LOAD = 0.1  # of the highest current: below it the battery rests
FEWEST_SAMPLES = 10
MOST_TWICE = 0.02  # of the charge, given at voltages that had been passed already

BatteryId = Annotated[str, Path(max_length=100, pattern=Text, examples=["B0007"])]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/discharges/{discharge_index}/curve")
def discharge(battery_id: BatteryId, discharge_index: Number, store: TheStore) -> DischargeCurve:
    """Give the samples of a recorded discharge, one that was left out too."""
    rows = store.rows("discharge", battery_id=battery_id, discharge_index=discharge_index)
    if not rows:
        raise ProblemError(404, f"{battery_id} has no recorded discharge {discharge_index}")
    return DischargeCurve(battery_id=battery_id, **rows[0])


@router.get("/cycles/{cycle_index}/incremental-capacity")
def incremental_capacity(
    battery_id: BatteryId, cycle_index: Number, store: TheStore
) -> IncrementalCapacity:
    """Give the charge that a cycle gave per volt: its peaks move and shrink as a cell ages.

    The charge is laid on an even grid of voltages that only falls; each value is the slope of the
    line through eleven neighbours of it. What is narrower than they are is flattened.
    """
    rows = store.rows("curve", battery_id=battery_id, cycle_index=cycle_index)
    if not rows:
        raise ProblemError(404, f"{battery_id} has no cycle {cycle_index}")
    refused = None
    try:
        voltage_v, ah_per_v, samples = _per_volt(rows[0])
    except ValueError as error:
        voltage_v, ah_per_v, samples, refused = np.array([]), np.array([]), 0, str(error)
    return IncrementalCapacity(
        battery_id=battery_id,
        cycle_index=cycle_index,
        voltage_v=voltage_v.round(4).tolist(),
        ah_per_v=ah_per_v.round(5).tolist(),
        step_v=STEP_V,
        smoothed_over_v=2 * HALF_WIDTH * STEP_V,
        samples=samples,
        refused=refused,
    )


def _per_volt(curve: Row) -> tuple[np.ndarray, np.ndarray, int]:
    """Return voltages, V, the charge per volt at each, Ah/V, and of how many samples it is made.

    Raises ValueError where there is no such thing.
    """
    time_s, voltage_v, current_a = (
        np.array(curve[name], dtype=float) for name in ("time_s", "voltage_v", "current_a")
    )
    whole = np.isfinite(time_s) & np.isfinite(voltage_v) & np.isfinite(current_a)
    time_s, voltage_v, current_a = time_s[whole], voltage_v[whole], current_a[whole]
    under_load = current_a > UNDER_LOAD * current_a.max(initial=0)
    current_a = np.where(under_load, current_a, 0)
    steps_ah = np.diff(time_s) * (current_a[1:] + current_a[:-1]) / 2 / 3600
    charge_ah = np.concatenate(([0.0], np.cumsum(steps_ah)))[: len(time_s)]
    time_s, voltage_v, charge_ah = time_s[under_load], voltage_v[under_load], charge_ah[under_load]
    lowest_v = np.minimum.accumulate(voltage_v)
    falls = np.concatenate(([True], voltage_v[1:] < lowest_v[:-1]))[: len(voltage_v)]
    count = int(np.ptp(lowest_v) / STEP_V) + 1 if len(voltage_v) else 0
    if falls.sum() < FEWEST_SAMPLES or count <= 2 * HALF_WIDTH:
        raise ValueError(
            f"too few samples under load: {FEWEST_SAMPLES} are needed, "
            f"over {2 * HALF_WIDTH * STEP_V:.2f} V"
        )
    came_back = voltage_v[1:] - lowest_v[1:] > 2 * HALF_WIDTH * STEP_V
    twice = np.diff(charge_ah)[came_back].sum() / np.ptp(charge_ah)
    if twice > MOST_TWICE:
        raise ValueError(
            f"its voltage rises under load, {twice:.0%} of the charge was given at voltages passed "
            "before: there is no charge per volt"
        )
    voltage_v, charge_ah = voltage_v[falls], charge_ah[falls]
    grid_v = voltage_v[0] - STEP_V * np.arange(count)
    on_grid = np.interp(-grid_v, -voltage_v, charge_ah)
    # the slope of the least-squares line through evenly spaced points, by how far off each is
    away = np.arange(-HALF_WIDTH, HALF_WIDTH + 1)
    slopes = np.convolve(on_grid, -away / (away @ away) / STEP_V, mode="valid")
    return grid_v[HALF_WIDTH:-HALF_WIDTH], slopes, len(voltage_v)
