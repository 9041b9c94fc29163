"""Take batteries out of the staging tables: `python -m loader remove BATTERY…`."""

import argparse
from contextlib import closing

import database
from loader import staging


def main(arguments: list[str]) -> int:
    """Remove the batteries named, all or, where one is not loaded, none; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m loader remove",
        description="Take batteries out of the staging tables. Their features go with the next "
        "`python -m dbt_project build`; their files stay.",
    )
    parser.add_argument("battery_ids", nargs="+", metavar="BATTERY")
    battery_ids = parser.parse_args(arguments).battery_ids
    with closing(database.connect()) as server:
        staging.remove(server, battery_ids)
    print(f"removed {', '.join(battery_ids)}: `python -m dbt_project build` removes the features")
    return 0
