"""Forecasts batteries from each of their past cycles: `python -m model.backtest B0007`.

After a cycle it knows what `python -m model.predict` would have known then, and writes to the same
tables: how good the forecasts are can be asked at once.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
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
        for battery_id, history in data.histories(
            server, arguments.battery, model.measured
        ).items():
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
    paces = outlook.read_paces(server, [battery_id])[battery_id]
    missing = list(outlooks(model, battery_id, history, paces, horizon, there))
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
    model: Model,
    battery_id: str,
    history: History,
    paces: Mapping[int, float | None],
    horizon: int,
    there: Mapping[int, float],
) -> Iterator[Outlook]:
    """What would have been forecast after each past cycle but those that are there.

    These are told with the last SOH known then: where it was another, it was of other recordings.
    As `predict` would have, pass over cycles before the first ground truth, and those whose window
    lacks a feature.
    """
    missing = {
        it.last_cycle
        for it in forecast.courses(history)
        if len(it.soh) and abs(there.get(it.last_cycle, np.inf) - it.soh[-1]) > SAME_SOH
    }
    predicted = forecast.backtest(model, history) if missing else {}
    for cycle, course in enumerate(forecast.courses(history), start=1):
        if cycle not in missing or lack(model, history[:cycle], course):
            continue
        told, past = predicted.get(cycle + 1), history[:cycle]
        yield outlook.after(model, battery_id, course, past, horizon, told, paces.get(cycle))


if __name__ == "__main__":
    sys.exit(main())
