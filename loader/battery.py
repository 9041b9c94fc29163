"""What every reader returns: a battery as rows of the staging tables; and the one error."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from loader.part import Part

Samples = NDArray[np.float64]

SAME_TIME_S = 1.5  # dates are often whole seconds


class LoaderError(Exception):
    """What is wrong with one source, in one line that names the field and the fault."""


class Span(NamedTuple):
    """When a piece was recorded: s since 1970 where it is dated, else since the test began."""

    begins_s: float
    ends_s: float
    origin_s: float  # to be added to a sample's time_s
    is_dated: bool

    def overlaps(self, other: "Span") -> bool:
        """Tell whether more than a moment is common to both."""
        begins_s, ends_s = max(self.begins_s, other.begins_s), min(self.ends_s, other.ends_s)
        shorter_s = min(self.ends_s - self.begins_s, other.ends_s - other.begins_s)
        return begins_s < ends_s - min(SAME_TIME_S, shorter_s / 2) or self[:2] == other[:2]

    def covers(self, other: "Span") -> bool:
        """Tell whether the other lies within this one."""
        return (
            self.begins_s <= other.begins_s + SAME_TIME_S
            and other.ends_s <= self.ends_s + SAME_TIME_S
        )


@dataclass(frozen=True)
class Battery:
    """What one source says of one battery, as rows of the staging tables.

    All there is to know of it; or, where it has a `span`, a piece of it, from the files `parts`.

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
    span: Span | None = None
    parts: tuple["Part", ...] = ()

    @property
    def recordings(self) -> int:
        return sum(map(len, self.tables.values()))
