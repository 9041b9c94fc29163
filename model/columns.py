"""Cycles as columns of numbers, without an object for each of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Columns(Sequence[Mapping[str, float | None]]):
    """Consecutive cycles, one row each: wherever cycles are taken, these are.

    A single one is a mapping, with None for what it lacks; some in a row share their memory.
    """

    def __init__(self, names: Sequence[str], values: Array) -> None:
        """Take values [cycles, names], NaN where one is lacking."""
        self.names, self.values = tuple(names), values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> dict[str, float | None]: ...
    @overload
    def __getitem__(self, at: slice) -> "Columns": ...
    def __getitem__(self, at: int | slice) -> "dict[str, float | None] | Columns":
        if isinstance(at, slice):
            return Columns(self.names, self.values[at])
        row = self.values[at].tolist()
        return {name: None if it != it else it for name, it in zip(self.names, row, strict=True)}

    def __iter__(self) -> Iterator[dict[str, float | None]]:
        return (self[at] for at in range(len(self)))

    def column(self, name: str) -> Array:
        """Return a column [cycles], not copied; NaN where there is none."""
        if name not in self.names:
            return np.full(len(self), np.nan)
        return self.values[:, self.names.index(name)]


def measured(cycles: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Array:
    """Return the features named, [cycles, names]; NaN where one is lacking."""
    if isinstance(cycles, Columns):
        if not names:
            return np.zeros((len(cycles), 0))
        return np.column_stack([cycles.column(name) for name in names])
    return np.array(
        [[cycle.get(name) for name in names] for cycle in cycles], dtype=np.float64
    ).reshape(len(cycles), len(names))


def column(cycles: Sequence[Mapping[str, Any]], name: str) -> Array:
    """Return one feature, [cycles]; NaN where it is lacking."""
    if isinstance(cycles, Columns):
        return cycles.column(name)
    return measured(cycles, [name])[:, 0]


def last_known(soh: Array) -> Array:
    """Carry the last finite value forward, [cycles] to [cycles]; NaN until there is one."""
    at = np.maximum.accumulate(np.where(np.isfinite(soh), np.arange(len(soh)), -1))
    return np.where(at >= 0, soh[at], np.nan)
