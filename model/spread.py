"""How much a battery's capacity usually changes between cycles: the unit of its errors."""

import numpy as np
from numpy.typing import NDArray

from model import columns
from model.columns import Array

MEMORY = 20  # cycles that the battery's own medians and its spread are of
RESOLUTION = 5e-4  # no spread is less: the share of a capacity that a cycler resolves
# Until a battery has told its own spread, one of its cells' in use counts like so many changes.
USUAL_SPREAD = 6e-3
USUAL_COUNTS = 2


def spread(change: Array) -> Array:
    """Median size of a battery's last changes from cycle to cycle […, cycles], as known at each."""
    size = np.maximum(np.abs(change), RESOLUTION)
    return _tempered(median_lately(size), _known_lately(size, MEMORY))


def of_each(soh: Array) -> Array:
    """Spread of windows by their SOH [windows, cycles], NaN where it was not measured."""
    known = np.isfinite(soh)
    if not known.all():
        soh = np.take_along_axis(soh, np.argsort(known, axis=1, kind="stable"), axis=1)
    truths = soh[:, -MEMORY - 1 :]
    size = np.maximum(np.abs(truths[:, 1:] / truths[:, :-1] - 1), RESOLUTION)
    return _tempered(columns.median(size), np.isfinite(size).sum(axis=1))


def of_windows(soh: Array, end: NDArray[np.int64], length: int) -> Array:
    """Spread of each of a battery's windows, by its SOH [cycles] before these cycles [windows]."""
    known = np.isfinite(soh)
    truths = soh[known]
    change = np.append(np.nan, np.diff(truths) / truths[:-1])
    count = np.append(0, known.cumsum())  # of truths before each cycle
    at = count[end][:, None] + np.arange(-MEMORY, 0)
    is_within = at > count[end - length][:, None]  # the first one's change began before
    return spread(np.where(is_within, change[np.maximum(at, 0)], np.nan))[:, -1]


def median_lately(values: Array, count: int = MEMORY) -> Array:
    """Median of the last so many values that are numbers, at each […, cycles]; NaN without one."""
    padded = np.concatenate([np.full((*values.shape[:-1], count - 1), np.nan), values], axis=-1)
    last = np.lib.stride_tricks.sliding_window_view(padded, count, axis=-1)
    ordered = np.sort(last, axis=-1)  # NaN last
    known = _known_lately(values, count)[..., None]
    middle = np.concatenate([np.maximum((known - 1) // 2, 0), known // 2], axis=-1)
    return np.asarray(np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1))


def _tempered(median: Array, count: NDArray[np.int64]) -> Array:
    """Draw the median of so many changes towards what is usual, the less the more there are."""
    own, usual = np.log(np.where(count, median, USUAL_SPREAD)), np.log(USUAL_SPREAD)
    usually: Array = np.exp((count * own + USUAL_COUNTS * usual) / (count + USUAL_COUNTS))
    return usually


def _known_lately(values: Array, count: int) -> NDArray[np.int64]:
    """How many of the last so many values are numbers, at each […, cycles]."""
    known = np.isfinite(values).cumsum(axis=-1)
    before = np.zeros_like(known)
    before[..., count:] = known[..., :-count]
    fewer: NDArray[np.int64] = known - before
    return fewer
