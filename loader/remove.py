"""Take batteries out of the staging tables: `python -m loader remove BATTERY…`."""

import argparse
import sys
from contextlib import closing

import database
from loader import inventory


def main(arguments: list[str]) -> int:
    """Remove the batteries named, or of one a piece; all or, where one is not loaded, none."""
    parser = argparse.ArgumentParser(
        prog="python -m loader remove",
        description="Take batteries, or a piece of one, out of the staging tables. Their features "
        "go with the next `python -m dbt_project build`; their files stay.",
    )
    parser.add_argument("battery_ids", nargs="+", metavar="BATTERY")
    parser.add_argument("--piece", metavar="FILE", help="only this piece, as status names it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    if given.piece and len(given.battery_ids) > 1:
        parser.error("--piece goes with one battery")
    what = (
        f"{given.piece} of {given.battery_ids[0]}" if given.piece else ", ".join(given.battery_ids)
    )
    if not given.yes and not _is_meant(what):
        print("nothing was removed", file=sys.stderr)
        return 1
    with closing(database.connect()) as server:
        inventory.remove(server, given.battery_ids, given.piece)
    print(f"removed {what}: `python -m dbt_project build` removes the features")
    return 0


def _is_meant(what: str) -> bool:
    if not sys.stdin.isatty():
        print("nobody is there to be asked: say --yes", file=sys.stderr)
        return False
    return input(f"remove {what} from the database? [y/N] ").strip().lower() in ("y", "yes")
