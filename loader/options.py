"""Options of `python -m loader PATH…`."""

import argparse
import os
from dataclasses import dataclass
from typing import NoReturn

from loader.mapping import COLUMNS, Mapping

SUMMARY = """\
Load battery recordings into the staging tables of PostgreSQL: NASA's .mat files, zip archives of
them, and CSV (also .gz, .zst) and Parquet time series. What is loaded already is left alone."""
OTHERS = """\
python -m loader status      what is loaded
python -m loader download    NASA's public archives"""


@dataclass(frozen=True)
class Options:
    """What to load, and how; `jobs` is how many files are worked on at once."""

    paths: list[str]
    jobs: int
    dry_run: bool
    fail_fast: bool
    mapping: Mapping


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    add("--jobs", type=_count, default=cores, metavar="N", help=f"at a time (default: {cores})")
    add("--dry-run", action="store_true", help="read everything, write nothing")
    add("--fail-fast", action="store_true", help="stop at the first file that fails")
    table = parser.add_argument_group("CSV and Parquet, a row per sample")
    add = table.add_argument
    roles = ", ".join(COLUMNS)
    add(
        "--column",
        action="append",
        default=[],
        metavar="WHAT=NAME",
        help=f"name of the column with {roles} (default: the Battery Data Format's names)",
    )
    signs = ("charge-positive", "discharge-positive")
    add("--current-sign", default=signs[0], choices=signs, help=f"default: {signs[0]}")
    names = table.add_mutually_exclusive_group()
    names.add_argument("--battery-id", metavar="ID", help="all files are of this battery")
    names.add_argument("--battery-column", metavar="NAME", help="column that tells the battery")
    add("--rated-capacity-ah", type=_positive, metavar="AH", help="without it SOH is not known")
    add("--cutoff-v", type=_positive, metavar="V", help="voltage where capacity is defined")
    given = parser.parse_args(arguments)
    mapping = Mapping(
        columns=_columns(given.column, parser),
        current_sign=given.current_sign,
        battery_id=given.battery_id,
        battery_column=given.battery_column,
        rated_capacity_ah=given.rated_capacity_ah,
        cutoff_v=given.cutoff_v,
    )
    return Options(given.paths, given.jobs, given.dry_run, given.fail_fast, mapping)


def _columns(given: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    columns = {}
    for text in given:
        role, _, name = text.partition("=")
        if role not in COLUMNS or not name:
            parser.error(f"--column {text}: write WHAT=NAME, WHAT one of {', '.join(COLUMNS)}")
        columns[role] = name
    return columns


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


def _reject(reason: str) -> NoReturn:
    raise argparse.ArgumentTypeError(reason)
