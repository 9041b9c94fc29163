"""Options of `python -m loader PATH…`."""

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from loader.battery import LoaderError
from loader.readers.units import unit as is_unit
from loader.reading import ROLES, Column, Reading

SIGNS = ("charge-positive", "discharge-positive")

SUMMARY = """\
Load battery recordings into the staging tables of PostgreSQL, whatever cycler wrote them: MATLAB
files, text tables, workbooks, Parquet, Neware's binary files; compressed or in archives too. What
is loaded already is left alone. docs/formats.md lists what is read, and how it is recognised."""
OTHERS = """\
python -m loader inspect     how a file would be read
python -m loader status      what is loaded
python -m loader watch       load what appears in a folder
python -m loader remove      take batteries, or pieces of one, out again
python -m loader download    NASA's public archives"""


@dataclass(frozen=True)
class Options:
    """What to load, and how; `jobs` is how many files are worked on at once."""

    paths: list[str]
    jobs: int
    dry_run: bool
    fail_fast: bool
    reading: Reading
    replace: tuple[str, ...] = ()  # pieces that are to be replaced


def parse(arguments: list[str]) -> Options:
    """Parse the command line; ends the process with a usage message where it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m loader",
        description=SUMMARY,
        epilog=OTHERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="file, folder searched for files, or pattern")
    add_jobs(parser)
    add("--dry-run", action="store_true", help="read everything, write nothing")
    add("--fail-fast", action="store_true", help="stop at the first file that fails")
    add("--replace", action="append", default=[], metavar="PIECE",
        help="the files take the place of this piece of their battery (status names them), even "
        "where they cover another time")  # fmt: skip
    add_reading(parser)
    given = parser.parse_args(arguments)
    return Options(
        given.paths,
        given.jobs,
        given.dry_run,
        given.fail_fast,
        reading(given, parser),
        tuple(given.replace),
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many files are worked on at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument(
        "--jobs", type=_count, default=cores, metavar="N", help=f"at a time (default: {cores})"
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the options that say of files what their bytes do not."""
    battery = parser.add_argument_group("what a file cannot say of a battery")
    add = battery.add_argument
    add("--rated-capacity-ah", type=_positive, metavar="AH", help="without it SOH is not known")
    add("--cutoff-v", type=_positive, metavar="V", help="voltage where capacity is defined")
    add("--full-charge-v", type=_positive, metavar="V",
        help="a battery resting below it has not been fully charged")  # fmt: skip
    add("--ambient-temperature-c", type=_number, metavar="C", help="where no sensor tells it")
    table = parser.add_argument_group("tables, a row per sample")
    add = table.add_argument
    add(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME[:UNIT]",
        help=f"column with {', '.join(it for it in ROLES if it != 'battery')}, where its header "
        "does not tell; the unit of a clock is its format: clock=When:%%d/%%m/%%Y %%H:%%M",
    )
    add(
        "--current-sign",
        choices=SIGNS,
        help="where neither states nor counters tell (default: charge-positive)",
    )
    names = table.add_mutually_exclusive_group()
    names.add_argument("--battery-id", metavar="ID", help="all files are of this battery")
    names.add_argument("--battery-column", metavar="NAME", help="column that tells the battery")


def reading(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Reading:
    """What the options say of files, as the readers take it."""
    facts = ("rated_capacity_ah", "cutoff_v", "full_charge_v", "ambient_temperature_c")
    try:
        named = columns(given.column)
    except LoaderError as error:
        parser.error(str(error))
    return Reading(
        columns=named,
        current_sign=given.current_sign,
        battery_id=given.battery_id,
        battery_column=given.battery_column,
        **{name: getattr(given, name, None) for name in facts},
    )


def columns(given: Iterable[str]) -> dict[str, Column]:
    """Read what was written as ROLE=NAME[:UNIT]; raises LoaderError for what was not."""
    found = {}
    for text in given:
        role, _, name = text.partition("=")
        if role not in ROLES or not name:
            raise LoaderError(
                f"--column {text}: write ROLE=NAME[:UNIT], ROLE one of {', '.join(ROLES)}"
            )
        if ":%" in name:
            name, _, unit = name.partition(":%")
            found[role] = Column(name, f"%{unit}")
        elif ":" in name and is_unit(name.rpartition(":")[2]):
            found[role] = Column(name.rpartition(":")[0], name.rpartition(":")[2])
        else:
            found[role] = Column(name)
    return found


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        _reject(f"{text} is not a number of processes")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        _reject(f"{text} is not a positive number")
    return number


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not -273.15 <= number < float("inf"):
        _reject(f"{text} is not a temperature in °C")
    return number


def _reject(reason: str) -> NoReturn:
    raise argparse.ArgumentTypeError(reason)
