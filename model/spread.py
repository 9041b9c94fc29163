"""How much a battery's capacity usually changes between cycles: the unit of its errors."""

import numpy as np

from model.data import Array

MEMORY = 20  # cycles that the battery's own medians and its spread are of
RESOLUTION = 5e-4  # no spread is less: the share of a capacity that a cycler resolves
# Until a battery has told its own spread, one of its cells' in use counts like so many changes.
USUAL_SPREAD = 6e-3
USUAL_COUNTS = 2


def spread(change: Array) -> Array:
    """Median size of a battery's last changes from cycle to cycle [cycles], as known at each."""
    size = np.maximum(np.abs(change), RESOLUTION)
    sizes = lately(size)  # [cycles, MEMORY]
    count = np.isfinite(sizes).sum(axis=1)
    own = np.log(np.where(count, median(sizes), USUAL_SPREAD))
    usual = np.log(USUAL_SPREAD)
    usually: Array = np.exp((count * own + USUAL_COUNTS * usual) / (count + USUAL_COUNTS))
    return usually


def of_window(soh: Array) -> float:
    """Spread of a window by its SOH [window], NaN where it was not measured: a share of it."""
    known = soh[np.isfinite(soh)]
    change = np.append(np.nan, np.diff(known) / known[:-1])
    return float(spread(change)[-1])


def lately(values: Array, count: int = MEMORY) -> Array:
    """The last so many values at each [cycles, count], NaN before the first."""
    padded = np.concatenate([np.full(count - 1, np.nan), values])
    last: Array = np.lib.stride_tricks.sliding_window_view(padded, count)
    return last


def median(values: Array) -> Array:
    """Median of those that are numbers, over the last axis; NaN where there is none."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(axis=-1, keepdims=True)
    low, high = np.maximum((count - 1) // 2, 0), count // 2
    both = np.take_along_axis(ordered, np.concatenate([low, high], axis=-1), axis=-1)
    return np.asarray(both.mean(axis=-1))
