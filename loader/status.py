"""What is loaded, one line per piece of a battery: `python -m loader status`."""

import argparse
import json
from contextlib import closing
from datetime import datetime

import database
from loader import inventory


def main(arguments: list[str]) -> int:
    """Print the table, or with --json an array of objects."""
    parser = argparse.ArgumentParser(
        prog="python -m loader status",
        description="Tell what is loaded, one line per piece of a battery: a file, or several "
        "that belong together.",
    )
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    options = parser.parse_args(arguments)
    with closing(database.connect()) as server:
        loaded = inventory.status(server)
    if options.json:
        print(json.dumps([row._asdict() for row in loaded], indent=2, default=datetime.isoformat))
    elif loaded:
        _print_table(loaded)
    else:
        print("nothing is loaded yet: run `python -m loader PATH`")
    return 0


def _print_table(loaded: list[inventory.Loaded]) -> None:
    cells = [list(inventory.Loaded._fields), *([_shown(it) for it in row] for row in loaded)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(it.ljust(width) for it, width in zip(line, widths, strict=True)).rstrip())


def _shown(value: str | int | datetime | None) -> str:
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    return f"{value:,}" if isinstance(value, int) else value or ""
