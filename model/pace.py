"""The pace of a fade: what a library of batteries tells of another one, and how far that was off.

What fades is the logarithm of SOH; ages are full cycles of the battery as it was then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.columns import Array

STATE = 5.0  # full cycles whose median is a battery's state: one regenerated cycle does not move it
TAIL = 50  # full cycles whose mean fall goes on after the last battery of a library has ended
POWERS = np.linspace(0, 1, 11)  # how much of a battery's pace lasts: 0 nothing, 1 all of it
PACES = (0.1, 10.0)  # the slowest and the fastest that a past is believed to tell
ORIGINS = (1 / 3, 1 / 2, 2 / 3)  # shares of a battery's truths after which the rest is forecast
# full cycles after which half of a first step's error may be left: 4 or more, so that none is seen
HALF_LIVES = 2.0 ** np.arange(2, 8)
BANDS = 2.0 ** np.arange(12)  # horizons, full cycles, for which an interval is measured
COVERAGE = 0.9
UNKNOWN = 3.0  # half-width, in scales of error, where no battery was long enough to measure one
RESOLUTION = 1e-3  # of log SOH: no forecast is better than what two cyclers agree on
NOTHING = 1e-4  # of log SOH: two that have not faded are of one pace


@dataclass(frozen=True)
class Past:
    """What is known of a battery at its last ground truth."""

    at: Array  # [truths], age of each in full cycles
    log_soh: Array  # [truths]

    @cached_property
    def start(self) -> tuple[float, float]:
        """Age and log SOH of the state at the first truth."""
        return self._state(self.at < self.at[0] + STATE)

    @cached_property
    def state(self) -> tuple[float, float]:
        """Age and log SOH of the state now."""
        return self._state(self.at > self.at[-1] - STATE)

    @cached_property
    def smooth(self) -> Array:
        """State at each truth [truths], as it looks in hindsight.

        The median reaches as far back as ahead, at the ends too: a straight fade stays straight.
        """
        reach = np.minimum(STATE / 2, np.minimum(self.at - self.at[0], self.at[-1] - self.at))
        first = np.searchsorted(self.at, self.at - reach - 1e-9)
        after = np.searchsorted(self.at, self.at + reach + 1e-9)
        return np.array([np.median(self.log_soh[a:b]) for a, b in zip(first, after, strict=True)])

    @cached_property
    def falls(self) -> tuple[int, Array]:
        """Number of the first full cycle, and the fall of the state in each from there on."""
        grid = np.arange(int(self.at[0]), int(self.at[-1]) + 1)
        return int(grid[0]), -np.diff(np.interp(grid, self.at, self.smooth))

    @property
    def is_young(self) -> bool:
        """Whether the states at the start and now are one, which tells no pace."""
        return bool(self.at[-1] < self.at[0] + STATE)

    def origins(self) -> list[tuple["Past", Array, Array]]:
        """Return the past at some of its truths, with age and log SOH of those that followed."""
        counts = {int(len(self.at) * share) for share in ORIGINS} - {0}
        return [self._cut(it) for it in sorted(counts)]

    def birth(self) -> list[tuple["Past", Array, Array]]:
        """Return the same for the first truth, where any followed."""
        return [self._cut(1)] if len(self.at) > 1 else []

    def _cut(self, truths: int) -> tuple["Past", Array, Array]:
        past = Past(self.at[:truths], self.log_soh[:truths])
        return past, self.at[truths:], self.log_soh[truths:]

    def _state(self, rows: NDArray[np.bool_]) -> tuple[float, float]:
        return float(np.median(self.at[rows])), float(np.median(self.log_soh[rows]))


@dataclass(frozen=True)
class Library:
    """The mean fade of some batteries."""

    rate: Array  # [full cycles + 1], mean fall of log SOH in each; the last one goes on
    spread: float  # of log SOH about a battery's state

    @classmethod
    def of(cls, batteries: Sequence[Past]) -> "Library":
        """Average the falls, not the levels: a battery that ends early leaves no step."""
        return cls._of(_sums(batteries, _longest(batteries)))

    @classmethod
    def _of(cls, sums: Array) -> "Library":
        falls, counts = sums[:, 1:]
        known = np.flatnonzero(counts)
        rate = np.zeros(len(counts))
        if known.size:
            rate = np.interp(np.arange(known[-1] + 1), known, falls[known] / counts[known])
        # what has risen in training is not forecast to rise for ever
        rate = np.append(rate, max(float(rate[-TAIL:].mean()), 0.0))
        squares, batteries = sums[:, 0]
        return cls(rate, max(float(np.sqrt(squares / batteries)), RESOLUTION))

    @cached_property
    def _fallen(self) -> Array:
        return np.concatenate([[0.0], np.cumsum(self.rate[:-1])])

    def fall(self, since: float, at: Array) -> Array:
        """Fall of log SOH from one age to others [ages]."""
        age = np.append(since, at)
        known = len(self._fallen) - 1
        fallen = np.interp(age, np.arange(known + 1), self._fallen)
        fallen += self.rate[-1] * np.maximum(age - known, 0)
        fall: Array = fallen[1:] - fallen[0]
        return fall

    def paces(self, past: Past) -> Array:
        """Fall of a battery so far ÷ the library's over the same ages, to each power [powers]."""
        if past.is_young:
            return np.ones(len(POWERS))
        own = max(past.start[1] - past.state[1], 0.0) + NOTHING
        theirs = max(self.fall(past.start[0], np.array([past.state[0]]))[0], 0.0) + NOTHING
        paces: Array = np.clip(own / theirs, *PACES) ** POWERS
        return paces

    def evidence(self, past: Past) -> Array:
        """How well each power forecast a battery from several of its truths, a log [powers].

        Gaussian errors of unknown spread, and one effective observation per battery, since errors
        within a battery are near copies of each other.
        """
        squares = []
        for then, at, log_soh in past.origins():
            path = then.state[1] - np.outer(self.paces(then), self.fall(then.state[0], at))
            squares.append(np.mean((path - log_soh) ** 2, axis=1))
        if not squares:
            return np.zeros(len(POWERS))
        evidence: Array = -np.log(np.mean(squares, axis=0) + RESOLUTION**2) / 2
        return evidence

    def pace(self, past: Past, evidence: Array) -> float:
        """Mean over powers of a battery's pace, weighted by the evidence and its own past."""
        evidence = evidence + self.evidence(past)
        weight = np.exp(evidence - evidence.max())
        return float(weight @ self.paces(past) / weight.sum())


@dataclass(frozen=True)
class Miss:
    """How far a forecast of a battery left out was off."""

    ahead: Array  # [truths], full cycles from the state that it was made from
    error: Array  # [truths], of log SOH
    scale: Array  # [truths], of the error: spread and forecast fall


def left_out(batteries: Sequence[Past], groups: Sequence[str]) -> list[tuple[Past, Library]]:
    """Each battery, with the library of those that stay when its group is left out."""
    members: dict[str, list[Past]] = {}
    for past, group in zip(batteries, groups, strict=True):
        members.setdefault(group, []).append(past)
    if len(members) < 2:
        return []
    longest = _longest(batteries)
    everyone = _sums(batteries, longest)
    others = {it: Library._of(everyone - _sums(own, longest)) for it, own in members.items()}
    return [(past, others[group]) for past, group in zip(batteries, groups, strict=True)]


def _longest(batteries: Sequence[Past]) -> int:
    return max(int(it.at[-1]) for it in batteries) + 1


def _sums(batteries: Sequence[Past], longest: int) -> Array:
    """What a library is the mean of, [2, 1 + full cycles]: sums, and below how many have each.

    First of the squares about a battery's own state, then of the falls in each full cycle.
    """
    sums = np.zeros((2, 1 + longest))
    for it in batteries:
        first, fall = it.falls
        sums[0, 1 + first : 1 + first + len(fall)] += fall
        sums[1, 1 + first : 1 + first + len(fall)] += 1
        sums[0, 0] += np.mean((it.log_soh - it.smooth) ** 2)
        sums[1, 0] += 1
    return sums


def misses(
    origins: list[tuple[Past, Array, Array]], library: Library, evidence: Array
) -> list[Miss]:
    """Errors of the forecasts of a battery left out, made at these points of its past."""
    found = []
    for then, at, log_soh in origins:
        fall = library.pace(then, evidence) * library.fall(then.state[0], at)
        error = log_soh - (then.state[1] - fall)
        found.append(Miss(at - then.state[0], error, library.spread + np.abs(fall)))
    return found


def memory(found: Sequence[Sequence[Miss]]) -> float:
    """Share that is left, a full cycle later, of what the first step of a forecast was off by."""
    shares = 0.5 ** (1 / HALF_LIVES)
    unexplained = [
        np.mean([_unexplained(it, shares) for it in battery], axis=0)
        for battery in found
        if battery
    ]
    if not unexplained:
        return float(shares[len(shares) // 2])
    return float(shares[np.argmin(np.log(unexplained).mean(axis=0))])


def _unexplained(miss: Miss, shares: Array) -> Array:
    """Mean square of errors, in scales, less what is left of the first one [shares]."""
    left = shares[:, None] ** (miss.ahead - miss.ahead[0])  # [shares, truths]
    squares: Array = np.mean(((miss.error - miss.error[0] * left) / miss.scale) ** 2, axis=1)
    return squares + RESOLUTION**2


def widths(found: Sequence[Sequence[Miss]]) -> Array:
    """90 % half-widths in scales of error [bands]; each battery counts alike.

    The band of a horizon reaches from half of it to twice; one without errors is as its neighbours.
    """
    made = []
    for band in BANDS:
        sizes = [
            np.concatenate([
                np.abs(it.error / it.scale)[(it.ahead >= band / 2) & (it.ahead <= band * 2)]
                for it in battery
            ])
            for battery in found
            if battery
        ]  # fmt: skip
        sizes = [it for it in sizes if it.size]
        made.append(_quantile(sizes) if sizes else np.nan)
    known = np.flatnonzero(np.isfinite(made))
    if not known.size:
        return np.full(len(BANDS), UNKNOWN)
    filled: Array = np.interp(np.arange(len(BANDS)), known, np.array(made)[known])
    return filled


def _quantile(sizes: list[Array]) -> float:
    """Return what nine in ten are below, each array counting alike."""
    values = np.concatenate(sizes)
    order = np.argsort(values)
    share = np.cumsum(np.concatenate([np.full(it.size, 1 / it.size) for it in sizes])[order])
    return float(values[order][np.searchsorted(share, COVERAGE * share[-1])])
