"""Cycles as columns of numbers, without an object for each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Cycle = Mapping[str, Any]


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


class Rows:
    """A dataclass of arrays that have a row for each of the same things."""

    def take(self, rows: Sequence[int] | NDArray[np.bool_]) -> Self:
        """Return some of the rows, in their order."""
        # each class of this kind is a dataclass, which the type of self cannot say
        arrays = {it.name: getattr(self, it.name) for it in fields(self)}  # type: ignore[arg-type]
        return replace(  # type: ignore[type-var]
            self, **{name: it[rows] for name, it in arrays.items() if isinstance(it, np.ndarray)}
        )


def of(cycles: Sequence[Cycle]) -> Columns:
    """Return cycles as columns: of all that any of them names."""
    if isinstance(cycles, Columns):
        return cycles
    names = tuple(dict.fromkeys(chain.from_iterable(cycles)))
    return Columns(names, measured(cycles, names))


def measured(cycles: Sequence[Cycle], names: Sequence[str]) -> Array:
    """Return the features named, [cycles, names]; NaN where one is lacking."""
    if isinstance(cycles, Columns):
        if not names:
            return np.zeros((len(cycles), 0))
        return np.column_stack([cycles.column(name) for name in names])
    return np.array(
        [[cycle.get(name) for name in names] for cycle in cycles], dtype=np.float64
    ).reshape(len(cycles), len(names))


def column(cycles: Sequence[Cycle], name: str) -> Array:
    """Return one feature, [cycles]; NaN where it is lacking."""
    if isinstance(cycles, Columns):
        return cycles.column(name)
    return measured(cycles, [name])[:, 0]


def last_known(values: Array) -> Array:
    """Carry the last finite value forward, [… cycles] alike; NaN until there is one."""
    is_known = np.isfinite(values)
    if is_known.all():
        return values
    known = np.where(is_known, np.arange(values.shape[-1]), -1)
    at = np.maximum.accumulate(known, axis=-1)
    carried = np.take_along_axis(values, np.maximum(at, 0), axis=-1)
    return np.where(at >= 0, carried, np.nan)


def median(values: Array) -> Array:
    """Median of what is known of each row [… cycles]; NaN where nothing is."""
    ordered = np.sort(values, axis=-1)  # NaN last
    if np.isfinite(ordered[..., -1]).all():
        half = values.shape[-1] // 2
        return 0.5 * (ordered[..., half] + ordered[..., -1 - half])
    count = np.isfinite(values).sum(axis=-1)[..., None]
    middle = np.concatenate([np.maximum((count - 1) // 2, 0), count // 2], axis=-1)
    found: Array = np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1)
    return found
