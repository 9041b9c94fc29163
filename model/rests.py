"""How long a cell rested before a cycle, and may rest before the one to come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = Mapping[str, Any]


def parts(features: Features) -> tuple[float, float]:
    """Return the hours a cell rested discharged and rested charged before a cycle.

    Where no charge is recorded in between, all of the time since the discharge counts as the first;
    where nothing is recorded, both are 0.
    """
    after = features.get("rest_after_hours")
    if after is None:
        after = features.get("rest_hours")
    return after or 0.0, features.get("rest_before_hours") or 0.0


def coming(window: Sequence[Features], given: float | None) -> tuple[float, float, float]:
    """Hours, discharged, charged and in all, before the cycle that follows a window.

    Charging and the rest after it take as long as they did in the middle of the window; what is
    left of the time given is rest before charging. Where none is given, all of it is as in the
    middle of the window.
    """
    told: NDArray[np.float64] = np.array(
        [(*parts(it), it["rest_hours"]) for it in window if it.get("rest_hours") is not None]
    )  # [cycles that tell of rest, 3]
    if not len(told):
        return 0.0, given or 0.0, given or 0.0
    charging = np.maximum(told[:, 2] - told[:, 0] - told[:, 1], 0)
    after, before, hours, charging = np.median(np.column_stack([told, charging]), axis=0).tolist()
    if given is not None:
        idle = max(given - charging, 0.0)
        before = min(before, idle)
        after, hours = idle - before, given
    return after, before, hours
