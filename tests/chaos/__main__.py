"""Lets befall the project what befalls a machine, and compares with a clean build.

    python -m tests.chaos [--seed N] [--rounds N]

Loaders are killed, Postgres is stopped at once, its disk is full, builds meet, a model is replaced
while it is asked: each at random moments, until so many have hit. All in a server of its own.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos import serving, storing
from tests.chaos.contents import contents, differences
from tests.chaos.ground import Ground
from tests.chaos.scenario import Scenario

SCENARIOS: dict[str, Callable[[Ground, Scenario], None]] = {
    "loaders killed": storing.loaders_killed,
    "Postgres stopped while loading": storing.stopped_while_loading,
    "Postgres stopped while building": storing.stopped_while_building,
    "disk full while loading": storing.disk_full_while_loading,
    "disk full while building": storing.disk_full_while_building,
    "two builds at once": storing.two_builds_at_once,
    "Postgres stopped while serving": serving.stopped_while_serving,
    "model replaced while asked": serving.replaced_while_asked,
}
ROUNDS_OF_REPLACING = 10  # for each of another scenario: one takes a quarter of a second
SHOWN = 4  # different things that users saw


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the same moments again, about")
    parser.add_argument("--rounds", type=int, default=2, help="hits of each scenario (default 2)")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    done: list[Scenario] = []
    left: list[str] = []
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="battery-chaos-", dir="/tmp") as folder:
        ground = Ground(Path(folder), random.Random(seed))
        try:
            print("loading and building once without a fault", flush=True)
            ground.make_the_truth()
            for name, befall in SCENARIOS.items():
                more = ROUNDS_OF_REPLACING if befall is serving.replaced_while_asked else 1
                done.append(Scenario(name, options.rounds * more))
                befall(ground, done[-1])
            left = differences(ground.truth, contents(ground.url))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        finally:
            ground.clear()
    show(done, left)
    return 1 if left or any(it.faults for it in done) else 0


def show(done: list[Scenario], left: list[str]) -> None:
    """Print the table, and the verdict."""
    print(f"\n{'scenario':34}{'tries':>6}{'hits':>6}{'seconds':>9}   what users saw")
    for it in done:
        seen = [f"{count} × {what}" for what, count in it.seen.most_common(SHOWN)] or ["nothing"]
        print(f"{it.name:34}{it.tries:6}{it.hits:6}{it.seconds:9.0f}   {seen[0]}")
        for more in seen[1:]:
            print(f"{'':58}{more}")
        for fault in it.faults:
            print(f"    FAULT: {fault}")
    print(f"\nequals a clean build: {'no' if left else 'yes'}")
    for difference in left:
        print(f"    {difference}")


if __name__ == "__main__":
    begun = time.monotonic()
    status = main()
    print(f"{time.monotonic() - begun:.0f} s")
    sys.exit(status)
