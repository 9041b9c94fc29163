"""What came of a scenario, and what commands say when they fail."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

REASON = re.compile("could not|server closed|connection to server|terminat|another run of dbt")
SHOWN = 100  # characters of a message


@dataclass
class Scenario:
    """What came of a scenario: how often it was tried, how often it hit, what users saw."""

    name: str
    rounds: int
    tries: int = 0
    hits: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def attempts(self) -> Iterator[int]:
        """Number the tries, until enough of them have hit something."""
        begun = time.monotonic()
        while self.hits < self.rounds and self.tries < 5 * self.rounds:
            self.tries += 1
            print(f"   {self.name}: try {self.tries}, {self.hits} hits", flush=True)
            yield self.tries
        self.seconds = time.monotonic() - begun
        if not self.hits:
            self.faults.append("no try has hit anything")

    def hit(self, seen: str) -> None:
        """Count a hit, and what the user saw of it."""
        self.hits += 1
        self.seen[seen] += 1

    def expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            print(f"   {self.name}: {otherwise}", flush=True)
            self.faults.append(otherwise)


def complaint(said: str) -> str:
    """Return what a command said went wrong, without names and numbers."""
    lines = [it.strip() for it in said.splitlines() if REASON.search(it)]
    return re.sub(r"\S*/|\S*\d\S*\s*", "", lines[0])[:SHOWN] if lines else "nothing"
