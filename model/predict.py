"""Forecasts every battery and keeps the forecasts in the database: `python -m model.predict`."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg2
import torch
from psycopg2.extensions import connection

import database
from model import columns, data, forecast, notify, outlook, progress
from model.forecast import Course, Cycle, Model, ModelError, Prediction, UnknownBatteryError
from model.outlook import Outlook

DUE = (Path(__file__).parent / "due.sql").read_text(encoding="utf-8")
HORIZON = 100  # cycles ahead
LONGEST = 1000
# A chunk is read, forecast and committed at once: at most so many cycles, so many batteries.
CHUNK_CYCLES = 5000
CHUNK_BATTERIES = 100

History = Sequence[Cycle]


class Due(NamedTuple):
    """A battery, with what tells whether its forecast is due."""

    battery_id: str
    cycles: int
    is_rated: bool
    has_truth: bool
    horizon: int  # of the forecast after its last cycle that is there; 0: none


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model.predict", description=__doc__)
    parser.add_argument(
        "--battery", nargs="+", metavar="ID", help="batteries to forecast (default: all)"
    )
    add_horizon(parser)
    parser.add_argument(
        "--since",
        type=datetime.fromisoformat,
        metavar="DATE",
        help="only batteries with a discharge that started since, by the recorder's own clock",
    )
    arguments = parser.parse_args()

    def work(server: connection, model: Model) -> int:
        run(server, model, arguments.battery, arguments.horizon, arguments.since)
        return notify.send(server)

    return at_work(work)


def add_horizon(parser: argparse.ArgumentParser) -> None:
    """Add the flag --horizon to the parser."""

    def cycles(text: str) -> int:
        if not 1 <= int(text) <= LONGEST:
            raise argparse.ArgumentTypeError(f"{text}: 1 to {LONGEST} cycles can be forecast")
        return int(text)

    parser.add_argument(
        "--horizon", type=cycles, default=HORIZON, help="cycles ahead (default: %(default)s)"
    )


def at_work(work: Callable[[connection, Model], int]) -> int:
    """Load the model that MODEL_PATH names, connect, and do the work; return the exit status.

    What goes wrong is told in one line.
    """
    torch.set_num_threads(1)  # on networks this small a second core waits more than it works
    try:
        model = forecast.load(Path(os.environ.get("MODEL_PATH", "artifacts/model.pth")))
        with closing(database.connect()) as server:
            return work(server, model)
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
        print(
            "the database lacks what dbt builds, or has an older state of it: "
            "run `python -m dbt_project build`",
            file=sys.stderr,
        )
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
    except psycopg2.Error as error:
        print(database.one_line(error), file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: run it again to complete what is missing", file=sys.stderr)
        return 130
    return 1


def run(
    server: connection,
    model: Model,
    battery_ids: Sequence[str] | None = None,
    horizon: int = HORIZON,
    since: datetime | None = None,
) -> None:
    """Forecast the batteries whose last cycle has no forecast by this model yet, and say so.

    Raises UnknownBatteryError.
    """
    found = _found(server, model, battery_ids, since)
    passed = Counter(filter(None, map(_lack, found)))
    able = [it for it in found if not _lack(it)]
    due = [it for it in able if it.horizon < horizon]
    batteries, rows = 0, 0
    with progress.steps("batteries", len(due), "forecast") as step:
        for chunk in _chunks(due):
            made = []
            histories = data.histories(server, [it.battery_id for it in chunk], model.measured)
            paces = outlook.read_paces(server, list(histories))
            for told in outlooks(model, histories, paces, horizon):
                if isinstance(told, Outlook):
                    made.append(told)
                else:
                    passed[told] += 1
            rows += outlook.write(server, made)
            batteries += len(made)
            for _ in chunk:
                step()
    for reason, count in sorted(passed.items()):
        print(f"passed over: {count} without {reason}")
    print(
        f"batteries: {batteries} forecast, {rows} rows; {len(able) - len(due)} as before; "
        f"{passed.total()} passed over"
    )


def outlooks(
    model: Model,
    histories: Mapping[str, History],
    paces: Mapping[str, Mapping[int, float | None]],
    horizon: int,
) -> Iterator[Outlook | str]:
    """Forecast batteries after their last cycle; of one that lacks something yield what."""
    courses = {battery_id: forecast.course(history) for battery_id, history in histories.items()}
    lacks = {it: lack(model, histories[it], course) for it, course in courses.items()}
    whole = [it for it in courses if lacks[it] is None and len(histories[it]) >= model.shortest]
    answers = dict(
        zip(whole, forecast.answers(model, [histories[it] for it in whole]), strict=True)
    )
    for battery_id, course in courses.items():
        answer = answers.get(battery_id)
        told = answer if isinstance(answer, Prediction) else None
        pace = paces[battery_id].get(course.last_cycle)
        yield lacks[battery_id] or outlook.after(
            model, battery_id, course, histories[battery_id], horizon, told, pace
        )


def lack(model: Model, history: History, course: Course) -> str | None:
    """Say what a forecast after the last of these cycles would need; None if it lacks nothing."""
    if not len(course.soh):
        return "ground truth"
    if model.fleet or len(history) < model.window or not forecast.is_due(course):
        return None
    names = model.spec.config.measured
    absent = np.isnan(columns.measured(history[-model.window :], names))
    lacking = [name for at, name in enumerate(names) if absent[:, at].any()]
    return f"{', '.join(lacking)} in each of the last {model.window} cycles" if lacking else None


def _found(
    server: connection, model: Model, battery_ids: Sequence[str] | None, since: datetime | None
) -> list[Due]:
    """Read which batteries there are of those asked for; raises UnknownBatteryError."""
    given = None if battery_ids is None else list(battery_ids)
    values = {"battery_ids": given, "since": since, "model_version": model.version}
    with server, server.cursor() as cursor:
        cursor.execute(DUE, values | {"since": None})
        known = {it.battery_id for it in (Due(*row) for row in cursor.fetchall())}
        if missing := [it for it in given or () if it not in known]:
            cursor.execute("select battery_id from battery_summary order by battery_id")
            there = [str(battery_id) for (battery_id,) in cursor.fetchall()]
            raise UnknownBatteryError(
                f"there is no battery {', '.join(missing)}: there are {data.listed(there)}"
            )
        cursor.execute(DUE, values)
        return [Due(*row) for row in cursor.fetchall()]


def _lack(battery: Due) -> str | None:
    if not battery.is_rated:
        return "a rated capacity: load them again with --rated-capacity-ah"
    return None if battery.has_truth else "ground truth"


def _chunks(batteries: Iterable[Due]) -> Iterator[list[Due]]:
    chunk: list[Due] = []
    for battery in batteries:
        cycles = sum(it.cycles for it in chunk) + battery.cycles
        if chunk and (cycles > CHUNK_CYCLES or len(chunk) == CHUNK_BATTERIES):
            yield chunk
            chunk = []
        chunk.append(battery)
    if chunk:
        yield chunk


if __name__ == "__main__":
    sys.exit(main())
