"""Reads cycle_series, and cuts a battery's cycles into windows and what follows them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.extensions import connection

from model import rests
from model.config import MEASURED

Array = NDArray[np.float64]

QUERY, GROUPS = (
    (Path(__file__).parent / name).read_text(encoding="utf-8")
    for name in ("cycles.sql", "groups.sql")
)

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
    cycles: list[dict[str, Any]]  # [cycles], all features of cycle_series, and soh_target
    names: tuple[str, ...]  # of the features that a network is to see

    @cached_property
    def measured(self) -> Array:
        """The features named, [cycles, names], in the units of cycle_series; NaN where lacking."""
        return measured(self.cycles, self.names)

    @cached_property
    def rests(self) -> Array:
        """config.RESTS before each cycle, [cycles, 2], hours; 0 where not known."""
        return np.array([rests.parts(it) for it in self.cycles])

    @cached_property
    def time_s(self) -> Array:
        """Time to discharge, [cycles]."""
        return self._column("time_to_discharge")

    @cached_property
    def capacity_ah(self) -> Array:
        """Discharge capacity, [cycles]."""
        return self._column("discharge_capacity")

    @cached_property
    def soh(self) -> Array:
        """SOH, [cycles], a fraction; NaN where there is no ground truth."""
        return self._column("soh_target")

    @cached_property
    def age(self) -> Array:
        """Equivalent full cycles delivered by then, [cycles]; NaN without a rated capacity."""
        return self._column("equivalent_full_cycles")

    @cached_property
    def operating_point(self) -> Array:
        """Number of the operating point that each discharge was at, [cycles]."""
        return np.nan_to_num(self._column("operating_point"), nan=1.0)

    def _column(self, name: str) -> Array:
        return measured(self.cycles, [name])[:, 0]


@dataclass(frozen=True)
class Windows:
    """Windows of consecutive cycles of one battery, each with the cycle that follows it."""

    inputs: Array  # [windows, window, names + 2], measured and, beside each cycle, rests AFTER it
    target: Array  # [windows], SOH of the cycle that follows
    last_soh: Array  # [windows], the last SOH known within the window
    cycle_index: NDArray[np.int64]  # [windows], number of the cycle that follows


def read(
    database: connection, battery_ids: Sequence[str], names: Sequence[str] = MEASURED
) -> list[Series]:
    """Read the batteries from cycle_series, in the order asked for, with the features named.

    Raises UnknownBatteryError for a battery that is not there, and ModelError for a feature that is
    not, or before dbt has run.
    """
    return [
        _series(battery_id, found, tuple(names))
        for battery_id, found in rows(database, battery_ids).items()
    ]


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


def rows(database: connection, battery_ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Read the rows of cycle_series by battery, in the order asked for; raises as `read`."""
    found = _ask(database, QUERY, {"battery_ids": list(battery_ids)})
    cycles = {battery_id: list(group) for battery_id, group in groupby(found, lambda row: row[0])}
    missing = [battery_id for battery_id in battery_ids if battery_id not in cycles]
    if missing:
        raise UnknownBatteryError(
            f"cycle_series has no battery {', '.join(missing)}: it has {listed(_known(database))}; "
            "more come with `python -m loader PATH` and `python -m dbt_project build`"
        )
    return {battery_id: cycles[battery_id] for battery_id in battery_ids}


def groups(database: connection) -> dict[str, str]:
    """Name the conditions of each battery that has cycles, its own name where none are known.

    Raises ModelError before dbt has run.
    """
    return dict(_ask(database, GROUPS, {}))


def histories(database: connection, battery_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Read each battery's cycles as the forecast takes them: features, and soh_target.

    Raises as `read`.
    """
    return {battery_id: _cycles(found) for battery_id, found in rows(database, battery_ids).items()}


def _ask(database: connection, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    try:
        with database, database.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
        raise ModelError(
            "there is no cycle_series, or an older one: load recordings with "
            "`python -m loader PATH`, then build it with `python -m dbt_project build`"
        ) from None


def _cycles(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [{**features, "soh_target": soh} for _, _, features, soh, _ in rows]


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
    lacking = np.isnan(series.measured).any(axis=1)
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
    rows = ends[:, None] + np.arange(-window, 0)  # [windows, window]
    return Windows(
        inputs=np.concatenate([series.measured[rows], series.rests[rows + 1]], axis=2),
        target=series.soh[ends],
        last_soh=known[ends - 1],
        cycle_index=series.cycle_index[ends],
    )


def measured(cycles: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Array:
    """Return the features named, [cycles, names]; NaN where one is lacking."""
    return np.array(
        [[cycle.get(name) for name in names] for cycle in cycles], dtype=np.float64
    ).reshape(len(cycles), len(names))


def _series(battery_id: str, rows: list[tuple[Any, ...]], names: tuple[str, ...]) -> Series:
    known = {name for row in rows for name in row[2]}
    for name in (*names, "discharge_capacity"):
        if name not in known:
            raise ModelError(f"there is no feature {name}: there are {', '.join(sorted(known))}")
        if not any(isinstance(row[2].get(name), int | float) for row in rows):
            raise ModelError(
                f"{battery_id}: no cycle has {name}, which the network needs"
                + (": it was recorded without a sensor" if name == "max_temperature" else "")
            )
    return Series(
        battery_id=battery_id,
        is_simulated=rows[0][4],
        cycle_index=np.array([row[1] for row in rows]),
        cycles=_cycles(rows),
        names=names,
    )


def last_known(soh: Array) -> Array:
    """Carry the last finite value forward, [cycles] to [cycles]; NaN until there is one."""
    at = np.maximum.accumulate(np.where(np.isfinite(soh), np.arange(len(soh)), -1))
    return np.where(at >= 0, soh[at], np.nan)
