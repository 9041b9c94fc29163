"""Write synthetic battery recordings in NASA's two .mat layouts: data without a download.

python -m loader.simulate DIR [--aging N] [--randomized N] [--cycles N] [--seed S]
"""

import argparse
import sys
from pathlib import Path

from loader.simulate_aging import simulate_aging
from loader.simulate_randomized import NUMBERS, simulate_randomized

__all__ = ["main", "simulate_aging", "simulate_randomized"]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit status."""
    summary = "Write synthetic battery recordings in NASA's two .mat layouts."
    parser = argparse.ArgumentParser(prog="python -m loader.simulate", description=summary)
    parser.add_argument("folder", metavar="DIR", type=Path, help="where to write; made if missing")
    for name, default, meaning in (
        ("aging", 4, "cells cycled at constant current: S0001.mat, ..."),
        (
            "randomized",
            1,
            "cells under random load, NASA's seven protocols in turn: SRW1.mat, SRW3.mat, ...",
        ),
        ("cycles", 168, "discharges per aging cell"),
        ("seed", 0, "another seed, other cells"),
    ):
        text = f"{meaning} (default {default})"
        parser.add_argument(f"--{name}", metavar="N", type=int, default=default, help=text)
    options = parser.parse_args(arguments)
    if min(options.aging, options.randomized, options.seed) < 0 or options.cycles < 1:
        parser.error("numbers must not be negative, and --cycles must be at least 1")
    if options.randomized > len(NUMBERS):
        parser.error(f"--randomized {options.randomized}: NASA has {len(NUMBERS)} such cells")
    folder: Path = options.folder
    aging = [folder / f"S{number + 1:04d}.mat" for number in range(options.aging)]
    randomized = [folder / f"SRW{number}.mat" for number in NUMBERS[: options.randomized]]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in aging + randomized:
            if path in aging:
                simulate_aging(path, seed=options.seed, cycles=options.cycles)
            else:
                simulate_randomized(path, seed=options.seed)
            print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    except OSError as error:
        where = error.filename or folder
        print(f"loader.simulate: cannot write {where}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the files that were named are whole", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
