"""How long a cell rested before a cycle, and may rest before the one to come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model.columns import Array, measured

NAMES = ("rest_after_hours", "rest_before_hours", "rest_hours")


def parts(cycles: Sequence[Mapping[str, Any]]) -> Array:
    """Return the hours a cell rested discharged and rested charged before each cycle [cycles, 2].

    Where no charge is recorded in between, all of the time since the discharge counts as the first;
    where nothing is recorded, both are 0.
    """
    after, before, hours = measured(cycles, NAMES).T
    told: Array = np.nan_to_num(np.column_stack([np.where(np.isnan(after), hours, after), before]))
    return told


def coming(window: Sequence[Mapping[str, Any]], given: float | None) -> tuple[float, float, float]:
    """Hours, discharged, charged and in all, before the cycle that follows a window.

    Charging and the rest after it take as long as they did in the middle of the window; what is
    left of the time given is rest before charging. Where none is given, all of it is as in the
    middle of the window.
    """
    hours = measured(window, ["rest_hours"])
    told = np.hstack([parts(window), hours])[np.isfinite(hours[:, 0])]  # [cycles that tell, 3]
    if not len(told):
        return 0.0, given or 0.0, given or 0.0
    charging = np.maximum(told[:, 2] - told[:, 0] - told[:, 1], 0)
    after, before, rest, charging = np.median(np.column_stack([told, charging]), axis=0).tolist()
    if given is not None:
        idle = max(given - charging, 0.0)
        before = min(before, idle)
        after, rest = idle - before, given
    return after, before, rest
