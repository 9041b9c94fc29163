"""What is loaded, one line per battery: `python -m loader status`."""

import argparse
import json
from contextlib import closing

import database
from loader import staging


def main(arguments: list[str]) -> int:
    """Print the table, or with --json an array of objects."""
    parser = argparse.ArgumentParser(
        prog="python -m loader status", description="Tell what is loaded, one line per battery."
    )
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    options = parser.parse_args(arguments)
    with closing(database.connect()) as server:
        loaded = staging.status(server)
    if options.json:
        rows = [row._asdict() | {"loaded_at": row.loaded_at.isoformat()} for row in loaded]
        print(json.dumps(rows, indent=2))
    elif loaded:
        _print_table(loaded)
    else:
        print("nothing is loaded yet: run `python -m loader PATH`")
    return 0


def _print_table(loaded: list[staging.Loaded]) -> None:
    cells = [list(staging.Loaded._fields)]
    for row in loaded:
        shown = row._replace(loaded_at=row.loaded_at.astimezone().isoformat(" ", "seconds"))  # type: ignore[arg-type]
        cells.append([f"{it:,}" if isinstance(it, int) else str(it) for it in shown])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(it.ljust(width) for it, width in zip(line, widths, strict=True)).rstrip())
