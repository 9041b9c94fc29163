"""Reads cycle_series, and cuts a battery's cycles into windows and what follows them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2 import sql
from psycopg2.extensions import connection, cursor

import binary_copy
from model import rests
from model.columns import Array, Columns, column, last_known, measured
from model.config import MEASURED

QUERY, GROUPS = (
    (Path(__file__).parent / name).read_text(encoding="utf-8")
    for name in ("cycles.sql", "groups.sql")
)
# What some part of every forecast asks for; beside it each network has its own features.
KNOWN = (
    "discharge_capacity", "time_to_discharge", "avg_current_load", "avg_voltage_load",
    "max_temperature", "ambient_temperature", "operating_point", "equivalent_full_cycles",
    "throughput_ah", "charge_capacity", "cc_charge_time", "cv_charge_time",
    "rest_hours", "rest_after_hours", "rest_before_hours",
)  # fmt: skip
TRUTH = "soh_target"

READ_AT_ONCE = 100  # batteries: what is on its way is bounded, whatever the fleet
MOST_READ = 100  # batteries beside those to learn from
MOST_NAMED = 20  # batteries in a message


class ModelError(Exception):
    """Says in one line which battery, file or value is at fault, and what to do."""


class UnknownBatteryError(ModelError):
    """cycle_series has no such battery."""


class TooFewCyclesError(ModelError):
    """The battery has not the cycles that a window needs."""


@dataclass(frozen=True)
class Series:
    """One battery's cycles in time order."""

    battery_id: str
    is_simulated: bool
    cycle_index: NDArray[np.int64]  # [cycles], 1, 2, …
    cycles: Sequence[Mapping[str, Any]]  # [cycles], as Columns: KNOWN, `names` and soh_target
    names: tuple[str, ...]  # of the features that a network is to see

    @property
    def measured(self) -> Array:
        """The features named, [cycles, names], in the units of cycle_series; NaN where lacking."""
        return measured(self.cycles, self.names)

    @property
    def rests(self) -> Array:
        """config.RESTS before each cycle, [cycles, 2], hours; 0 where not known."""
        return rests.parts(measured(self.cycles, rests.NAMES))

    @property
    def time_s(self) -> Array:
        """Time to discharge, [cycles]."""
        return column(self.cycles, "time_to_discharge")

    @property
    def capacity_ah(self) -> Array:
        """Discharge capacity, [cycles]."""
        return column(self.cycles, "discharge_capacity")

    @property
    def soh(self) -> Array:
        """SOH, [cycles], a fraction; NaN where there is no ground truth."""
        return column(self.cycles, TRUTH)

    @property
    def age(self) -> Array:
        """Equivalent full cycles delivered by then, [cycles]; NaN without a rated capacity."""
        return column(self.cycles, "equivalent_full_cycles")

    @property
    def operating_point(self) -> Array:
        """Number of the operating point that each discharge was at, [cycles]."""
        return np.nan_to_num(column(self.cycles, "operating_point"), nan=1.0)


@dataclass(frozen=True)
class Windows:
    """Windows of consecutive cycles of one battery, each with the cycle that follows it."""

    cycles: Array  # [cycles, names + 2], measured and, beside each cycle, rests AFTER it
    first: NDArray[np.int64]  # [windows], the row of `cycles` that each begins with
    length: int  # cycles of a window
    target: Array  # [windows], SOH of the cycle that follows
    last_soh: Array  # [windows], the last SOH known within the window
    cycle_index: NDArray[np.int64]  # [windows], number of the cycle that follows

    @property
    def inputs(self) -> Array:
        """All windows [windows, length, names + 2], cut when they are asked for."""
        cut: Array = self.cycles[self.first[:, None] + np.arange(self.length)]
        return cut


def read(
    database: connection, battery_ids: Sequence[str], names: Sequence[str] = MEASURED
) -> list[Series]:
    """Read the batteries from cycle_series, in the order asked for, with the features named.

    Raises UnknownBatteryError for a battery that is not there, and ModelError for a feature that is
    not, or before dbt has run.
    """
    found = []
    for series in unchecked(database, battery_ids, names):
        check(database, series)
        found.append(series)
    return found


def unchecked(
    database: connection, battery_ids: Sequence[str], names: Sequence[str]
) -> Iterator[Series]:
    """Read as `read`, but for features that no cycle has."""
    with _asking(database) as cursor:
        cursor.execute("select battery_id from battery_summary where is_simulated")
        simulated = {battery_id for (battery_id,) in cursor.fetchall()}
    for battery_id, number, cycles in _read(database, battery_ids, names):
        yield Series(battery_id, battery_id in simulated, number, cycles, tuple(names))


def check(database: connection, series: Series) -> None:
    """Refuse a battery none of whose cycles has what a network is to see; raises ModelError."""
    for name in (*series.names, "discharge_capacity"):
        if np.isnan(column(series.cycles, name)).all():
            _refuse(database, series.battery_id, name)


def histories(
    database: connection, battery_ids: Sequence[str], names: Sequence[str] = ()
) -> dict[str, Columns]:
    """Read each battery's cycles as the forecast takes them: soh_target, KNOWN, and these features.

    Raises as `read`.
    """
    return {battery_id: cycles for battery_id, _, cycles in _read(database, battery_ids, names)}


def by_group(database: connection) -> dict[str, list[Series]]:
    """Read batteries whose conditions are known, by these: of a fleet the first `MOST_READ`.

    Raises ModelError before dbt has run.
    """
    named = groups(database)
    kinds = Counter(named.values())
    kin = [it for it in named if kinds[named[it]] > 1][:MOST_READ]
    found: dict[str, list[Series]] = {}
    for series in read(database, kin, ()):
        if np.isfinite(series.soh).any():
            found.setdefault(named[series.battery_id], []).append(series)
    return found


def elsewhere(groups: dict[str, list[Series]], here: Sequence[Series]) -> list[list[Series]]:
    """Return the groups without the batteries that are here, simulated or not as these are.

    Groups that are left with a single battery have nothing to compare it with.
    """
    names, is_simulated = {it.battery_id for it in here}, here[0].is_simulated
    kept = [
        [it for it in those if it.battery_id not in names and it.is_simulated == is_simulated]
        for those in groups.values()
    ]
    return [those for those in kept if len(those) > 1]


def _read(
    database: connection, battery_ids: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.int64], Columns]]:
    """Yield each battery, in the order asked for, with the numbers of its cycles and these."""
    wanted = tuple(dict.fromkeys((*KNOWN, *names)))
    feature = sql.SQL("coalesce((series.features ->> {})::float8, 'NaN')")
    query = sql.SQL(QUERY).format(
        sql.SQL(", ").join(feature.format(sql.Literal(name)) for name in wanted)
    )
    for first in range(0, len(battery_ids), READ_AT_ONCE):
        chunk = list(battery_ids[first : first + READ_AT_ONCE])
        with _asking(database) as cursor:
            asked = cursor.mogrify(query, {"battery_ids": chunk})
            values = binary_copy.read(cursor, asked, 3 + len(wanted))
        bounds = np.searchsorted(values[:, 0], np.arange(1, len(chunk) + 2)).tolist()
        if missing := [it for it, (a, b) in zip(chunk, pairwise(bounds), strict=True) if a == b]:
            raise UnknownBatteryError(
                f"cycle_series has no battery {', '.join(missing)}: it has "
                f"{listed(_known(database))}; more come with `python -m loader PATH` and "
                "`python -m dbt_project build`"
            )
        for battery_id, (a, b) in zip(chunk, pairwise(bounds), strict=True):
            own = values[a:b, 2:].copy()  # a view would keep all of the chunk
            yield battery_id, values[a:b, 1].astype(np.int64), Columns((TRUTH, *wanted), own)


def _refuse(database: connection, battery_id: str, name: str) -> None:
    """Say why a battery has no number of a feature; raises ModelError."""
    with _asking(database) as cursor:
        cursor.execute(
            "select distinct jsonb_object_keys(features) from cycle_series where battery_id = %s",
            [battery_id],
        )
        known = sorted(it for (it,) in cursor.fetchall())
    if name not in known:
        raise ModelError(f"there is no feature {name}: there are {', '.join(known)}")
    raise ModelError(
        f"{battery_id}: no cycle has {name}, which the network needs"
        + (": it was recorded without a sensor" if name == "max_temperature" else "")
    )


def groups(database: connection) -> dict[str, str]:
    """Name the conditions of each battery that has cycles, its own name where none are known.

    Raises ModelError before dbt has run.
    """
    with _asking(database) as cursor:
        cursor.execute(GROUPS)
        return dict(cursor.fetchall())


@contextmanager
def _asking(database: connection) -> Iterator[cursor]:
    """A transaction; raises ModelError where what is asked for has not been built."""
    try:
        with database, database.cursor() as cursor:
            yield cursor
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
        raise ModelError(
            "there is no cycle_series, or an older one: load recordings with "
            "`python -m loader PATH`, then build it with `python -m dbt_project build`"
        ) from None


def _known(database: connection) -> list[str]:
    with database, database.cursor() as cursor:
        cursor.execute("select distinct battery_id from cycle_series order by battery_id")
        return [str(battery_id) for (battery_id,) in cursor.fetchall()]


def listed(names: Sequence[str]) -> str:
    """Name things in a message, of many the first."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (", ".join(names[:MOST_NAMED]) or "none") + more


def windows(series: Series, window: int) -> Windows:
    """Cut every window whose next cycle has a ground truth, and which has one itself.

    Windows with a cycle that lacks a feature are left out: nothing is made up in its place.
    Row k of `inputs` ends with the cycle before `cycle_index[k]`, and the rest between the two:
    nothing measured in the cycle to predict is in it. Raises TooFewCyclesError when the battery has
    not a single one.
    """
    known = last_known(series.soh)
    ends = np.arange(window, len(series.soh))  # the cycle to predict, counted from 0
    ends = ends[np.isfinite(series.soh[ends]) & np.isfinite(known[ends - 1])]
    seen = series.measured
    lacking = np.isnan(seen).any(axis=1)
    before = np.concatenate([[0], np.cumsum(lacking)])
    ends = ends[before[ends] == before[ends - window]]
    if not len(ends):
        truths = int(np.isfinite(series.soh).sum())
        raise TooFewCyclesError(
            f"{series.battery_id} has too few cycles: {len(series.soh)}, of which {truths} with "
            f"ground truth and {int(lacking.sum())} without one of {', '.join(series.names)}; a "
            f"window of {window} and the cycle after it are needed"
            + (
                ""
                if truths
                else "; without a rated capacity no cycle has a state of health: "
                "load it again with --rated-capacity-ah"
            )
        )
    after = np.append(series.rests[1:], np.zeros((1, 2)), axis=0)
    return Windows(
        cycles=np.hstack([seen, after]),
        first=ends - window,
        length=window,
        target=series.soh[ends],
        last_soh=known[ends - 1],
        cycle_index=series.cycle_index[ends],
    )
