"""What a benchmark tells: figures, each a ratio of two measured in the same run."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Ours against theirs: what a user could do instead, or the same at a smaller size."""

    what: str
    ours: float
    theirs: float
    unit: str
    than: str  # what theirs is
    at_most: float | None = None  # what the ratio should be
    at_least: float | None = None
    size: int | None = None  # of what grows, where that is what is told

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def is_met(self) -> bool | None:
        """Whether the ratio is what it should be; None where nothing is asked."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_least or 0) <= self.ratio <= (self.at_most or float("inf"))

    @property
    def asked(self) -> str:
        """What the ratio should be, in words."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:g}" if self.at_least is not None else ""


def told(figures: Iterable[Figure]) -> list[Figure]:
    """Print each figure when it is there, and return them all."""
    every = []
    for it in figures:
        verdict = {None: "", True: "met", False: "MISSED"}[it.is_met]
        sides = f"{it.ours:.3g} against {it.theirs:.3g} {it.unit}"
        print(f"{it.what}: {it.ratio:.2f} × {it.than} ({sides}) {it.asked} {verdict}", flush=True)
        every.append(it)
    return every
