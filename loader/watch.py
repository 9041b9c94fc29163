"""Load what appears or grows in a folder, until stopped: `python -m loader watch FOLDER`."""

import argparse
import signal
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

import psycopg2

import database
from loader import contract, load, options, sources
from loader.battery import LoaderError
from loader.reading import Reading

EVERY_S = 1.0  # between two looks at the folder
RETRY_S = 10.0  # after the database has failed

# What a file looks like from outside: it rests while this stays as it is.
State = tuple[int, int]


class _StopError(Exception):
    """Somebody has asked to stop."""


def main(arguments: list[str]) -> int:
    """Watch until SIGTERM or Ctrl-C; then return 0, with whole files loaded."""
    parser = argparse.ArgumentParser(
        prog="python -m loader watch",
        description="Load what appears or grows in a folder, or below it, once it rests. What is "
        "loaded already is left alone, so that it can be stopped and started at any time.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--rest-s", type=float, default=5.0, metavar="S",
        help="a file that has not changed for so long is taken to be written (default: 5)",
    )  # fmt: skip
    options.add_jobs(parser)
    options.add_reading(parser)
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        raise LoaderError(f"{given.folder}: no such folder")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        print(f"watching {given.folder}", flush=True)
        _watch(given.folder, given.rest_s, options.reading(given, parser), given.jobs)
    except _StopError:
        print("stopped: what has been reported is loaded, whole", flush=True)
    return 0


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _StopError


def _watch(folder: Path, rest_s: float, reading: Reading, jobs: int) -> None:
    done: dict[Path, State] = {}
    told: set[str] = set()
    seen: dict[Path, tuple[State, float]] = {}  # and since when it has been so
    while True:
        now = time.monotonic()
        there = {path: it for path in sources.inside(folder) if (it := _state(path))}
        seen = {
            path: seen[path] if path in seen and seen[path][0] == it else (it, now)
            for path, it in there.items()
        }
        rested = [path for path, (_, since) in seen.items() if now - since >= rest_s]
        new = [path for path in rested if done.get(path) != there[path]]
        if new:
            # Files that only together tell their order are read together.
            paths = rested if reading.names_batteries else new
            if _load([sources.Found(it, is_named=False) for it in paths], reading, jobs, told):
                done |= {path: there[path] for path in new}
            else:
                time.sleep(RETRY_S)
        time.sleep(EVERY_S)


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except OSError:  # gone meanwhile
        return None
    return found.st_size, found.st_mtime_ns


def _load(files: list[sources.Found], reading: Reading, jobs: int, told: set[str]) -> bool:
    """Load files and tell, once, what became of each; False where the database is at fault."""
    try:
        with closing(database.connect()) as server:
            since = contract.prepare(server)
    except (database.DatabaseError, psycopg2.Error) as error:
        _say(database.one_line(error), sys.stderr)
        return False
    expanded = sources.expand(files, together=reading.names_batteries)
    with closing(load.run(expanded, load.Order(database.url(), reading, since), jobs)) as outcomes:
        for outcome in outcomes:
            for complaint in filter(None, (*outcome.notes, outcome.failure)):
                # files that are read together are called by another name each time
                what = complaint if reading.names_batteries else f"{outcome.shown}: {complaint}"
                if what not in told:
                    _say(f"{outcome.shown}: {complaint}", sys.stderr)
                    told.add(what)
            if outcome.said and not outcome.is_known:
                _say(f"{outcome.shown}: {outcome.said}", sys.stdout)
            if outcome.is_fatal:
                return False
    return True


def _say(what: str, where: TextIO) -> None:
    print(f"{datetime.now().isoformat(' ', 'seconds')}  {what}", file=where, flush=True)
