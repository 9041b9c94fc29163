"""What is forecast of a battery after one of its cycles, and its rows in the schema `forecast`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from psycopg2.extensions import connection
from psycopg2.extras import execute_batch

from binary_copy import copy
from model import forecast
from model.forecast import Course, Cycle, Model, Prediction, Trajectory, in_days

PACES = (Path(__file__).parent / "paces.sql").read_text(encoding="utf-8")
KEY = ("battery_id", "made_after_cycle", "model_version")


class CycleForecast(NamedTuple):
    """A row of cycle_forecast."""

    battery_id: str
    made_after_cycle: int
    cycle_index: int
    horizon: int
    soh: float
    soh_low: float
    soh_high: float
    features: str
    is_unlike_training: bool | None
    last_soh: float
    model_version: str


class EndOfLifeForecast(NamedTuple):
    """A row of end_of_life_forecast."""

    battery_id: str
    made_after_cycle: int
    model_version: str
    cycles: int | None
    low: int | None
    high: int | None
    is_censored: bool
    days: float | None
    days_low: float | None
    days_high: float | None


@dataclass(frozen=True)
class Outlook:
    """The forecast of all cycles to come, made after one of a battery's."""

    battery_id: str
    made_after_cycle: int
    model_version: str
    last_soh: float  # the last that was known
    trajectory: Trajectory
    next_cycle: Prediction | None  # by the network; None where it cannot tell
    hours_per_cycle: float | None  # recent pace; None where no times are known

    def cycles(self) -> list[CycleForecast]:
        """Rows of the cycles to come: the next by the network where it can tell, else by fade."""
        path = zip(
            self.trajectory.soh, self.trajectory.soh_low, self.trajectory.soh_high, strict=True
        )
        rows = [
            CycleForecast(
                self.battery_id, self.made_after_cycle, self.made_after_cycle + horizon, horizon,
                soh, low, high, "fade", None, self.last_soh, self.model_version,
            )
            for horizon, (soh, low, high) in enumerate(path, start=1)
        ]  # fmt: skip
        if (told := self.next_cycle) and told.next_soh:
            soh, low, high = told.next_soh
            rows[0] = rows[0]._replace(
                soh=soh,
                soh_low=low,
                soh_high=high,
                features=told.features,
                is_unlike_training=told.is_unlike_training,
            )
        return rows

    def end_of_life(self) -> EndOfLifeForecast:
        """Row of the cycles left until SOH is below 0.7."""
        ends = (self.trajectory.end_of_life, *self.trajectory.end_of_life_interval)
        return EndOfLifeForecast(
            self.battery_id, self.made_after_cycle, self.model_version, *ends, ends[0] is None,
            *(in_days(end, self.hours_per_cycle) for end in ends),
        )  # fmt: skip


def after(
    model: Model,
    battery_id: str,
    course: Course,
    cycles: Sequence[Cycle],
    horizon: int,
    told: Prediction | None,
    hours_per_cycle: float | None,
) -> Outlook:
    """Forecast a battery after its last cycle.

    What a network told of the next one stands where a ground truth is due in it.
    """
    return Outlook(
        battery_id=battery_id,
        made_after_cycle=course.last_cycle,
        model_version=model.version,
        last_soh=float(course.soh[-1]),
        trajectory=forecast.forecast(
            model, course, horizon, *forecast.going_on(model, course, cycles, told)
        ),
        next_cycle=told if forecast.is_due(course) else None,
        hours_per_cycle=hours_per_cycle,
    )


def read_paces(
    server: connection, battery_ids: Sequence[str]
) -> dict[str, dict[int, float | None]]:
    """Read each battery's hours per cycle after each of its cycles."""
    paces = {}
    with server, server.cursor() as cursor:
        for battery_id in battery_ids:
            cursor.execute(PACES, {"battery_id": battery_id})
            paces[battery_id] = dict(cursor.fetchall())
    return paces


def write(database: connection, outlooks: Sequence[Outlook]) -> int:
    """Write all rows of the outlooks, in place of those of the same key, in one transaction.

    Returns how many rows of cycle_forecast there are. Two runs at once write one after the other.
    """
    keys = [tuple(getattr(it, name) for name in KEY) for it in outlooks]
    cycles = [row for it in outlooks for row in it.cycles()]
    with database, database.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended('forecast', 0))")
        for table, rows in (
            ("cycle_forecast", cycles),
            ("end_of_life_forecast", [it.end_of_life() for it in outlooks]),
        ):
            execute_batch(
                cursor,
                f"delete from forecast.{table} where ({', '.join(KEY)}) = (%s, %s, %s)",
                keys,
            )
            if rows:
                copy(cursor, f"forecast.{table}", rows, rows[0]._fields)
    return len(cycles)
