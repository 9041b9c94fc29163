"""Reads cycle_series, and cuts a battery's cycles into windows and what follows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.extensions import connection

Array = NDArray[np.float64]

QUERY = (Path(__file__).parent / "cycles.sql").read_text(encoding="utf-8")


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
    cycle_index: NDArray[np.int64]  # [cycles], 1, 2, …
    features: Array  # [cycles, features], in the units of cycle_series
    soh: Array  # [cycles], a fraction; NaN where there is no ground truth


@dataclass(frozen=True)
class Windows:
    """Windows of consecutive cycles of one battery, each with the cycle that follows it."""

    inputs: Array  # [windows, window, features]
    target: Array  # [windows], SOH of the cycle that follows
    last_soh: Array  # [windows], the last SOH known within the window
    cycle_index: NDArray[np.int64]  # [windows], number of the cycle that follows


def read(database: connection, battery_ids: Sequence[str], features: Sequence[str]) -> list[Series]:
    """Read the batteries from cycle_series, in the order asked for.

    Raises UnknownBatteryError for a battery that is not there, and ModelError for a feature that is
    not, or before dbt has run.
    """
    try:
        with database, database.cursor() as cursor:
            cursor.execute(QUERY, {"battery_ids": list(battery_ids)})
            rows = cursor.fetchall()
    except psycopg2.errors.UndefinedTable:
        raise ModelError(
            "there is no cycle_series: load recordings with `python -m loader PATH`, "
            "then build it with `dbt build --project-dir dbt_project`"
        ) from None
    cycles = {battery_id: list(group) for battery_id, group in groupby(rows, lambda row: row[0])}
    missing = [battery_id for battery_id in battery_ids if battery_id not in cycles]
    if missing:
        raise UnknownBatteryError(
            f"cycle_series has no battery {', '.join(missing)}: load its file with "
            "`python -m loader PATH`, then run `dbt build --project-dir dbt_project`"
        )
    return [_series(battery_id, cycles[battery_id], features) for battery_id in battery_ids]


def windows(series: Series, window: int) -> Windows:
    """Cut every window whose next cycle has a ground truth, and which has one itself.

    Row k of `inputs` ends with the cycle before `cycle_index[k]`: nothing of the cycle to predict
    is in it. Raises TooFewCyclesError when the battery has not a single one.
    """
    known = _last_known(series.soh)
    ends = np.arange(window, len(series.soh))  # the cycle to predict, counted from 0
    ends = ends[np.isfinite(series.soh[ends]) & np.isfinite(known[ends - 1])]
    if not len(ends):
        raise TooFewCyclesError(
            f"{series.battery_id} has too few cycles: {len(series.soh)}, of which "
            f"{int(np.isfinite(series.soh).sum())} with ground truth; a window of {window} and "
            "the cycle after it are needed"
        )
    rows = ends[:, None] + np.arange(-window, 0)  # [windows, window]
    return Windows(
        inputs=series.features[rows],
        target=series.soh[ends],
        last_soh=known[ends - 1],
        cycle_index=series.cycle_index[ends],
    )


def _series(battery_id: str, rows: list[tuple], features: Sequence[str]) -> Series:  # type: ignore[type-arg]
    for name in features:
        lacking = [row[1] for row in rows if not isinstance(row[2].get(name), int | float)]
        if lacking:
            raise ModelError(f"{battery_id}, cycle {lacking[0]}: there is no feature {name}")
    return Series(
        battery_id=battery_id,
        cycle_index=np.array([row[1] for row in rows]),
        features=np.array([[row[2][name] for name in features] for row in rows], dtype=np.float64),
        soh=np.array([np.nan if row[3] is None else row[3] for row in rows]),
    )


def _last_known(soh: Array) -> Array:
    """Carry the last finite value forward, [cycles] to [cycles]; NaN until there is one."""
    at = np.maximum.accumulate(np.where(np.isfinite(soh), np.arange(len(soh)), -1))
    return np.where(at >= 0, soh[at], np.nan)
