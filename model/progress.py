"""How far long work is: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

EVERY_S = 10.0


@contextmanager
def steps(what: str, total: int, unit: str) -> Iterator[Callable[[], object]]:
    """Give what is to be called after each of so many steps; it tells of them on stderr."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=what, unit=unit) as bar:
            yield bar.update
        return
    began = told = time.monotonic()
    done = 0

    def step() -> None:
        nonlocal done, told
        done += 1
        now = time.monotonic()
        if now - told >= EVERY_S or done == total:
            told = now
            print(f"{what}: {done} of {total} {unit}s after {now - began:.0f} s", file=sys.stderr)

    yield step
