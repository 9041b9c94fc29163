"""Simulate batteries: files in NASA's two .mat layouts, or a fleet straight into staging.

python -m loader.simulate DIR [--aging N] [--randomized N] [--cycles N] [--seed S]
python -m loader.simulate --into-staging --cells N [--cycles N] [--seed S] [--jobs N]
"""

import argparse
import sys
from pathlib import Path

import database
from loader import options as knobs
from loader.battery import LoaderError
from loader.simulate_aging import simulate_aging
from loader.simulate_randomized import NUMBERS, simulate_randomized
from loader.simulate_staging import simulate_staging

__all__ = ["main", "simulate_aging", "simulate_randomized"]

SUMMARY = """\
Simulate batteries: as files in NASA's two .mat layouts, in DIR, or as a fleet of sparsely sampled
cells, several chemistries and all their faults, straight into the staging tables."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m loader.simulate", description=SUMMARY)
    parser.add_argument(
        "folder", metavar="DIR", type=Path, nargs="?", help="where to write; made if missing"
    )
    parser.add_argument(
        "--into-staging", action="store_true", help="no files: the rows of --cells cells"
    )
    for name, default, meaning in (
        ("aging", 4, "cells cycled at constant current: S0001.mat, ..."),
        (
            "randomized",
            1,
            "cells under random load, NASA's seven protocols in turn: SRW1.mat, SRW3.mat, ...",
        ),
        ("cells", 100, "cells of the fleet in staging: SF00001, ..."),
        ("cycles", 168, "discharges per cell, other than under random load"),
        ("seed", 0, "another seed, other cells"),
    ):
        text = f"{meaning} (default {default})"
        parser.add_argument(f"--{name}", metavar="N", type=int, default=default, help=text)
    knobs.add_jobs(parser)
    options = parser.parse_args(arguments)
    if min(options.aging, options.randomized, options.seed) < 0:
        parser.error("numbers must not be negative")
    if min(options.cycles, options.cells) < 1:
        parser.error("--cycles and --cells must be at least 1")
    if options.randomized > len(NUMBERS):
        parser.error(f"--randomized {options.randomized}: NASA has {len(NUMBERS)} such cells")
    if options.into_staging == bool(options.folder):
        parser.error("name a folder for files, or --into-staging")
    try:
        if options.into_staging:
            made = simulate_staging(options.cells, options.cycles, options.seed, options.jobs)
            print(
                f"staged {made} cells of {options.cycles} cycles, {options.cells - made} were there"
            )
        else:
            _write(options)
    except (LoaderError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or options.folder
        print(f"loader.simulate: cannot write {where}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interrupted: files that were named, and cells in staging, are whole", file=sys.stderr
        )
        return 130
    return 0


def _write(options: argparse.Namespace) -> None:
    """Write the files that are asked for; raises OSError."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.aging):
        path = folder / f"S{number + 1:04d}.mat"
        simulate_aging(path, seed=options.seed, cycles=options.cycles)
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    for number in NUMBERS[: options.randomized]:
        path = folder / f"SRW{number}.mat"
        simulate_randomized(path, seed=options.seed)
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
