"""What every reader returns: a battery as rows of the staging tables; and the one error."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]


class LoaderError(Exception):
    """What is wrong with one source, in one line that names the field and the fault."""


@dataclass(frozen=True)
class Battery:
    """All that one file says of one battery, as rows of the staging tables.

    `tables` maps a staging table's name to its rows; a row's field names are the table's columns.
    """

    battery_id: str
    layout: str
    tables: dict[str, list[NamedTuple]]
    samples: int
    procedure: str | None = None
    description: str | None = None
    rated_capacity_ah: float | None = None
    cutoff_v: float | None = None

    @property
    def recordings(self) -> int:
        return sum(map(len, self.tables.values()))
