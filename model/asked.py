"""What is asked: windows, the last cycles of cells, with what is known beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import columns, rests
from model.columns import Array, Cycle, Rows
from model.fleet import FOREKNOWN, POINT, Coming, is_alike


@dataclass(frozen=True)
class Asked(Rows):
    """Windows that tell the same features, all at once; NaN what is not known.

    The shorter ones have rows of NaN before their first cycle.
    """

    names: tuple[str, ...]
    values: Array  # [windows, cycles, names]
    count: NDArray[np.int64]  # [windows], cycles of each
    rated_ah: Array  # [windows], as given
    given_rest: Array  # [windows], hours from the last cycle to the coming one, as given
    coming: Array  # [windows, FOREKNOWN], what is known of the coming cycle
    rests: Array  # [windows, 2], config.RESTS before it, hours, where it has been recorded

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Array:
        """Return one feature, [windows, cycles]."""
        if name not in self.names:
            return np.full(self.values.shape[:2], np.nan)
        return self.values[..., self.names.index(name)]

    def measured(self, names: Sequence[str]) -> Array:
        """Return the features named, [windows, cycles, names]."""
        made = np.empty((*self.values.shape[:2], len(names)))
        for at, name in enumerate(names):
            made[..., at] = self.column(name)
        return made

    def is_elsewhere(self) -> NDArray[np.bool_]:
        """Tell [windows] whether the cycle to come is planned at another operating point."""
        if np.isnan(self.coming).all():
            return np.zeros(len(self), dtype=bool)
        seen = self.measured(POINT)[:, -1]
        planned = self.coming[:, [FOREKNOWN.index(name) for name in POINT]]
        here = np.where(np.isnan(planned), seen, planned)
        return np.isnan(self.rests[:, 0]) & ~is_alike(*seen.T, *here.T)


def together(
    windows: Sequence[Sequence[Cycle]],
    most: int,
    rest_hours: Sequence[float | None],
    rated_ah: Sequence[float | None],
    coming: Sequence[Coming],
) -> Iterator[tuple[list[int], Asked]]:
    """Put windows that tell the same features together, with where they stood.

    Of more than `most` cycles the last count.
    """
    cycles = [columns.of(it)[-most:] for it in windows]
    alike: dict[tuple[str, ...], list[int]] = {}
    for at, it in enumerate(cycles):
        alike.setdefault(it.names, []).append(at)
    beside = np.array(
        [
            (hours, rated, *known)
            for hours, rated, known in zip(rest_hours, rated_ah, coming, strict=True)
        ],
        dtype=np.float64,
    )
    for names, rows in alike.items():
        count = np.array([len(cycles[at]) for at in rows])
        values = np.full((len(rows), count.max(), len(names)), np.nan)
        for window, at in zip(values, rows, strict=True):
            window[len(window) - len(cycles[at]) :] = cycles[at].values
        hours, rated, *known = beside[rows].T
        nothing = np.full((len(rows), 2), np.nan)
        yield rows, Asked(names, values, count, rated, hours, np.stack(known, axis=1), nothing)


def after_each(
    history: Sequence[Cycle], first: int, most: int, rated_ah: float | None = None
) -> Asked:
    """Cut the window after each of a battery's cycles, from the first so many on.

    Of the cycles that follow what was known before they began is known; of the last one, which is
    still to come, nothing.
    """
    told = columns.of(history)
    before = np.full((max(most - first, 0), len(told.names)), np.nan)
    rows = np.concatenate([before, told.values])
    ends = np.arange(first, len(told) + 1)
    if not len(ends):
        rows = np.zeros((most, len(told.names)))
    cut = np.lib.stride_tricks.sliding_window_view(rows, most, axis=0).transpose(0, 2, 1)
    nothing = np.full(len(ends), np.nan)
    coming = np.full((len(ends), len(FOREKNOWN)), np.nan)
    coming[:-1] = columns.measured(told, FOREKNOWN)[first:]
    rested = np.full((len(ends), 2), np.nan)
    rested[:-1] = rests.parts(columns.measured(told, rests.NAMES))[first:]
    return Asked(
        names=told.names,
        values=cut[: len(ends)],
        count=np.minimum(ends, most),
        rated_ah=np.full(len(ends), np.nan if rated_ah is None else rated_ah),
        given_rest=nothing,
        coming=coming,
        rests=rested,
    )
