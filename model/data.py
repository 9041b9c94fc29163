"""Reads cycle_series, and cuts a battery's cycles into windows and what follows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.extensions import connection

from model.config import MEASURED

Array = NDArray[np.float64]

GROUPS = "select battery_id, battery_group from battery_summary where battery_group is not null"
QUERY = (Path(__file__).parent / "cycles.sql").read_text(encoding="utf-8")


NOT_BUILT = (
    "there is no cycle_series, or an older one: load recordings with "
    "`python -m loader PATH`, then build it with `python -m dbt_project build`"
)
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
    names: tuple[str, ...]  # of what was measured
    measured: Array  # [cycles, names], in the units of cycle_series; NaN where lacking
    rests: Array  # [cycles, 2], config.RESTS before each cycle, hours; 0 where not known
    time_s: Array  # [cycles], time to discharge
    capacity_ah: Array  # [cycles], discharge capacity
    soh: Array  # [cycles], a fraction; NaN where there is no ground truth
    age: Array  # [cycles], equivalent full cycles delivered by then; NaN without a rated capacity
    operating_point: Array  # [cycles], number of the one that a discharge was at


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
    """Read every battery whose conditions are known, by these, with what a trajectory needs.

    Raises ModelError before dbt has run.
    """
    try:
        with database, database.cursor() as cursor:
            cursor.execute(GROUPS)
            groups = dict(sorted(cursor.fetchall()))
    except psycopg2.errors.UndefinedTable:
        raise ModelError(NOT_BUILT) from None
    found: dict[str, list[Series]] = {}
    for battery_id, cycles in rows(database, list(groups)).items():
        if any(row[3] is not None for row in cycles):
            found.setdefault(groups[battery_id], []).append(_series(battery_id, cycles, ()))
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
    try:
        with database, database.cursor() as cursor:
            cursor.execute(QUERY, {"battery_ids": list(battery_ids)})
            found = cursor.fetchall()
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
        raise ModelError(NOT_BUILT) from None
    cycles = {battery_id: list(group) for battery_id, group in groupby(found, lambda row: row[0])}
    missing = [battery_id for battery_id in battery_ids if battery_id not in cycles]
    if missing:
        raise UnknownBatteryError(
            f"cycle_series has no battery {', '.join(missing)}: it has {listed(_known(database))}; "
            "more come with `python -m loader PATH` and `python -m dbt_project build`"
        )
    return {battery_id: cycles[battery_id] for battery_id in battery_ids}


def histories(database: connection, battery_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Read each battery's cycles as the forecast takes them: features, and soh_target.

    Raises as `read`.
    """
    return {
        battery_id: [{**features, "soh_target": soh} for _, _, features, soh, _ in found]
        for battery_id, found in rows(database, battery_ids).items()
    }


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


def rests(features: Mapping[str, Any]) -> tuple[float, float]:
    """Return the hours a cell rested discharged and rested charged before a cycle.

    Where no charge is recorded in between, all of the time since the discharge counts as the first;
    where nothing is recorded, both are 0.
    """
    after = features.get("rest_after_hours")
    if after is None:
        after = features.get("rest_hours")
    return after or 0.0, features.get("rest_before_hours") or 0.0


def measured(cycles: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Array:
    """Return the features named, [cycles, names]; NaN where one is lacking."""
    return np.array([[cycle.get(name) for name in names] for cycle in cycles], dtype=np.float64)


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
        names=names,
        measured=measured([row[2] for row in rows], names),
        rests=np.array([rests(row[2]) for row in rows]),
        time_s=measured([row[2] for row in rows], ["time_to_discharge"])[:, 0],
        capacity_ah=np.array([row[2]["discharge_capacity"] for row in rows], dtype=np.float64),
        soh=np.array([np.nan if row[3] is None else row[3] for row in rows]),
        age=measured([row[2] for row in rows], ["equivalent_full_cycles"])[:, 0],
        operating_point=np.nan_to_num(
            measured([row[2] for row in rows], ["operating_point"])[:, 0], nan=1.0
        ),
    )


def last_known(soh: Array) -> Array:
    """Carry the last finite value forward, [cycles] to [cycles]; NaN until there is one."""
    at = np.maximum.accumulate(np.where(np.isfinite(soh), np.arange(len(soh)), -1))
    return np.where(at >= 0, soh[at], np.nan)
