"""Forecasts batteries from each of their past cycles: `python -m model.backtest B0007`.

After a cycle it knows what `python -m model.predict` would have known then, and writes to the same
tables: how good the forecasts are can be asked at once.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from psycopg2.extensions import connection

from model import data, forecast, outlook, progress
from model.forecast import Model
from model.outlook import Outlook
from model.predict import History, add_horizon, at_work, lack

MADE = (Path(__file__).parent / "made.sql").read_text(encoding="utf-8")
SAME_SOH = 1e-6  # two computations of one SOH differ by less
CHUNK = 50  # cycles whose forecasts are committed at once


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m model.backtest",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("battery", nargs="+", metavar="ID", help="batteries to forecast")
    add_horizon(parser)
    arguments = parser.parse_args()

    def work(server: connection, model: Model) -> int:
        for battery_id, history in data.histories(server, arguments.battery).items():
            run(server, model, battery_id, history, arguments.horizon)
        return 0

    return at_work(work)


def run(server: connection, model: Model, battery_id: str, history: History, horizon: int) -> None:
    """Forecast one battery after each of its cycles that has no forecast by this model yet."""
    with server, server.cursor() as cursor:
        cursor.execute(
            MADE,
            {"battery_id": battery_id, "model_version": model.version, "horizon": horizon},
        )
        there = dict(cursor.fetchall())
    missing = list(outlooks(model, battery_id, history, horizon, there))
    kept = len(there.keys() - {it.made_after_cycle for it in missing})
    rows = 0
    with progress.steps(battery_id, len(missing), "cycle") as step:
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            rows += outlook.write(server, chunk)
            for _ in chunk:
                step()
    print(f"{battery_id}: forecast after {len(missing)} cycles, {rows} rows; {kept} as before")


def outlooks(
    model: Model, battery_id: str, history: History, horizon: int, there: dict[int, float]
) -> Iterator[Outlook]:
    """What would have been forecast after each past cycle but those that are there.

    These are told with the last SOH known then: where it was another, it was of other recordings.
    As `predict` would have, pass over cycles before the first ground truth, and those whose window
    lacks a feature.
    """
    courses = (forecast.course(history[:cycle]) for cycle in range(1, len(history) + 1))
    missing = [
        it
        for it in courses
        if len(it.soh) and abs(there.get(it.last_cycle, np.inf) - it.soh[-1]) > SAME_SOH
    ]
    predicted = forecast.backtest(model, history) if missing else []
    for course in missing:
        cycle = course.last_cycle
        next_cycle = predicted[cycle - model.window] if cycle >= model.window else None
        if next_cycle or not lack(model, history[:cycle]):
            yield Outlook(
                battery_id=battery_id,
                made_after_cycle=cycle,
                model_version=model.version,
                last_soh=float(course.soh[-1]),
                trajectory=forecast.forecast(
                    model,
                    course,
                    horizon,
                    next_cycle.next_soh if next_cycle else None,
                    bool(forecast.unlike_training(model, history[:cycle])),
                ),
                next_cycle=next_cycle,
            )


if __name__ == "__main__":
    sys.exit(main())
