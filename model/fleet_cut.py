"""Cuts the windows that the fleet network learns from, when they are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import fleet
from model.columns import Array, measured
from model.data import TRUTH, Series, TooFewCyclesError
from model.fleet import Steps
from model.fleet_network import CLIP
from model.levels import Point

SOME = 64  # windows cut at once: what they need fits a core's own memory
KEPT = 10_000  # windows that are cut once and kept, 7 kB each; where there are more, none is


@dataclass(frozen=True)
class Battery:
    """A battery to learn from, and where its windows end."""

    battery_id: str
    group: str
    told: Array  # [cycles, fleet.NAMES]
    capacity_ah: Array  # [cycles], NaN where it is no ground truth
    width: int  # most cycles of a window
    end: NDArray[np.int64]  # [windows], the cycle that follows each
    change: Array  # [windows], what came in it, in spreads
    spread: Array  # [windows], the battery's own as known before
    moments: Array  # [3, INPUTS], of all windows: how many are known, their sum, that of squares
    points: list[Point]

    def windows(self) -> Iterator[tuple[slice, Steps]]:
        """Cut all windows, some at a time."""
        return _some(self.told, self.capacity_ah, self.end, self.width)


def battery(series: Series, window: int, group: str = "") -> Battery:
    """Find a battery's windows of `fleet.SHORTEST` to `window` cycles.

    Left out are windows whose last cycle or the next has no ground truth, or whose next cycle is at
    a new operating point. Raises TooFewCyclesError without two ground truths.
    """
    check(series)
    told, capacity = measured(series.cycles, fleet.NAMES), fleet.truth(series.cycles)
    known = np.isfinite(capacity)
    end = np.flatnonzero(known[1:] & known[:-1]) + 1
    end = end[end >= fleet.SHORTEST]
    change, spread = np.full((2, len(end)), np.nan)
    moments = np.zeros((3, len(fleet.INPUTS)))
    for rows, seen in _some(told, capacity, end, window):
        spread[rows] = np.where(seen.is_new_point, np.nan, seen.last(seen.spread))
        last = capacity[end[rows] - 1 - seen.age]
        change[rows] = (capacity[end[rows]] / last - 1) / spread[rows]
        inputs = seen.inputs[~seen.is_new_point]
        for at, power in enumerate((inputs**0, inputs, inputs**2)):
            moments[at] += np.where(np.isnan(inputs), 0, power).sum(axis=(0, 1))
    is_seen = np.isfinite(spread)
    return Battery(
        series.battery_id, group, told, capacity, window, end[is_seen], change[is_seen],
        spread[is_seen], moments, points(series),
    )  # fmt: skip


def check(series: Series) -> None:
    """Refuse a battery that tells of no change; raises TooFewCyclesError."""
    if np.isfinite(fleet.truth(series.cycles)).sum() < 2:
        raise TooFewCyclesError(
            f"{series.battery_id} has too few cycles: two with ground truth are needed, of "
            f"{len(series.cycles)}"
        )


def points(series: Series) -> list[Point]:
    """Return the operating points of a battery, with the median SOH of its cycles at each."""
    load, ambient, soh, capacity = measured(
        series.cycles, [*fleet.POINT, TRUTH, "discharge_capacity"]
    ).T
    left = np.isfinite(soh) & (load > 0)
    found = []
    while left.any():
        first = int(left.argmax())
        alike = left & fleet.is_alike(load, ambient, load[first], ambient[first])
        rated = float(np.median(capacity[alike] / soh[alike]))
        load_a, ambient_c, level = (float(np.median(it[alike])) for it in (load, ambient, soh))
        found.append(Point(load_a / rated, ambient_c, level))
        left &= ~alike
    return found


class FleetCut:
    """Cuts the windows of some batteries, one after another, by their numbers."""

    def __init__(self, training: Sequence[Battery]) -> None:
        windows = [len(it.end) for it in training]
        begin = np.cumsum([0, *(len(it.told) for it in training[:-1])])
        self._told = torch.from_numpy(np.concatenate([it.told for it in training]))
        self._capacity = torch.from_numpy(np.concatenate([it.capacity_ah for it in training]))
        self._begin = torch.from_numpy(np.repeat(begin, windows))
        self._end = self._begin + torch.from_numpy(np.concatenate([it.end for it in training]))
        self._change = torch.from_numpy(np.concatenate([it.change for it in training]))
        self._width = training[0].width
        # a battery is drawn by the root of its windows
        often = np.repeat(np.array(windows, dtype=np.float64) ** -0.5, windows)
        self._often = torch.from_numpy(often).cumsum(0)
        self._kept: list[Tensor] = []
        if len(self) <= KEPT:
            some = [self._cut(rows) for rows in torch.split(torch.arange(len(self)), SOME)]
            self._kept = [torch.cat(values) for values in zip(*some, strict=True)]

    def __len__(self) -> int:
        return len(self._end)

    def draw(self, count: int) -> Tensor:
        """Draw numbers of windows [count]."""
        at = torch.rand(count, dtype=torch.float64) * self._often[-1]
        return torch.searchsorted(self._often, at, right=True).clamp_max(len(self) - 1)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [rows, width, 2 INPUTS] and changes [rows, width].

        Changes are NaN where there is nothing to learn.
        """
        if self._kept:
            inputs, change = self._kept
            return inputs[rows], change[rows]
        return self._cut(rows)

    def _cut(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        seen = fleet.cut(
            self._told.numpy(), self._capacity.numpy(), self._begin[rows].numpy(),
            self._end[rows].numpy(), self._width,
        )  # fmt: skip
        change = seen.change
        change[np.arange(len(rows)), seen.count - 1] = self._change[rows]
        change[:, : fleet.LEAST - 1] = np.nan
        inputs = np.zeros((len(rows), self._width, 2 * len(fleet.INPUTS)), dtype=np.float32)
        learned = np.full((len(rows), self._width), np.nan, dtype=np.float32)
        inputs[:, : change.shape[1]] = fleet.masked(seen)
        learned[:, : change.shape[1]] = np.clip(change, -CLIP, CLIP)
        return torch.from_numpy(inputs), torch.from_numpy(learned)


def spread(training: Sequence[Battery]) -> Tensor:
    """Standard deviation of each input where it is known, over all windows [INPUTS]."""
    count, total, squares = np.sum([it.moments for it in training], axis=0)
    count = np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    return torch.as_tensor(deviation, dtype=torch.float32)


def _some(
    told: Array, capacity_ah: Array, end: NDArray[np.int64], width: int
) -> Iterator[tuple[slice, Steps]]:
    for first in range(0, len(end), SOME):
        rows = slice(first, first + SOME)
        yield rows, fleet.cut(told, capacity_ah, np.zeros_like(end[rows]), end[rows], width)
