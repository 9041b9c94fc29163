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
    """All that one source says of one battery, as rows of the staging tables.

    `tables` maps a staging table's name to its rows; a row's field names are the table's columns.
    `notes` are what its reader wants the user to know: what was left out, and what looks odd.
    """

    battery_id: str
    layout: str
    tables: dict[str, list[NamedTuple]]
    samples: int
    discharges: int = 0  # recorded ones, a count
    procedure: str | None = None
    description: str | None = None
    rated_capacity_ah: float | None = None
    cutoff_v: float | None = None  # reference cut-off
    full_charge_v: float | None = None  # a battery resting below it has not been fully charged
    ambient_temperature_c: float | None = None
    largest_current_a: float | None = None  # of either sign: the size of a cell without a rating
    charge_limit_v: float | None = None  # where its charger holds the voltage
    notes: tuple[str, ...] = ()

    @property
    def recordings(self) -> int:
        return sum(map(len, self.tables.values()))
