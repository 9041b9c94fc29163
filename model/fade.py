"""Many cycles ahead: the training batteries' mean fade from the same age on, at the battery's pace.

Age is counted in full cycles of the battery as it is: charge delivered ÷ capacity then, which is 1
for a full discharge and less for a random walk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model import pace
from model.columns import Array
from model.data import Series
from model.pace import Library, Past

END_OF_LIFE_SOH = 0.7
FEWEST = 10  # ground truths that tell a course
RECENT = 50  # cycles by which a battery's present age per cycle is told
FIRST = 3  # ground truths whose median is what a battery could do at first
MOST_SOH = 1.3  # no cell delivers more of its rated capacity
LEAST_SOH = 1e-3  # whose logarithm stands for that of a dead battery


@dataclass(frozen=True)
class Course:
    """A battery's ground truths in time order, and where it stands now."""

    cycle: Array  # [truths], cycle_index of each
    age: Array  # [truths], equivalent full cycles delivered by then
    soh: Array  # [truths]
    last_cycle: int  # cycles so far, those without ground truth included
    last_age: float  # equivalent full cycles by then

    @property
    def end_soh(self) -> float:
        """SOH at which the battery is at its end of life.

        Where its first capacities were less already, under this load and temperature, it is that
        share of them: dbt's battery_summary judges by the same.
        """
        first = float(np.median(self.soh[:FIRST]))
        return END_OF_LIFE_SOH * (first if first < END_OF_LIFE_SOH else 1.0)

    @classmethod
    def of(cls, series: Series) -> "Course":
        """Return all of a battery's course, at the last operating point with FEWEST truths.

        Between operating points SOH jumps with load and temperature. Where none has so many, it is
        that of the last truth.
        """
        known = np.isfinite(series.soh)
        point = series.operating_point
        points, counts = np.unique(point[known], return_counts=True)
        enough = known & np.isin(point, points[counts >= FEWEST])
        if known.any():
            known &= point == point[enough if enough.any() else known][-1]
        return cls(
            cycle=series.cycle_index[known].astype(float),
            age=series.age[known],
            soh=series.soh[known],
            last_cycle=int(series.cycle_index[-1]),
            last_age=float(series.age[-1]),
        )

    def past(self) -> Past:
        """Return the truths by age in full cycles of the battery as it was."""
        soh = np.maximum(self.soh, LEAST_SOH)
        between: Array = (soh + np.append(soh[:1], soh[:-1])) / 2
        return Past(np.cumsum(np.diff(self.age, prepend=0) / between), np.log(soh))

    def ages(self, past: Past, horizon: int) -> Array:
        """Age after each of the next cycles [horizon], full cycles, at the present pace."""
        soh = max(float(self.soh[-1]), LEAST_SOH)
        now = float(past.at[-1]) + (self.last_age - float(self.age[-1])) / soh
        older = np.flatnonzero(self.cycle <= self.last_cycle - RECENT)
        cycle = float(self.cycle[older[-1]]) if older.size else 0.0
        at = float(past.at[older[-1]]) if older.size else 0.0
        per_cycle = (now - at) / (self.last_cycle - cycle)
        ages: Array = now + per_cycle * np.arange(1.0, horizon + 1)
        return ages


@dataclass(frozen=True)
class Trajectory:
    """SOH of the cycles to come, with 90 % intervals."""

    soh: list[float]  # [horizon]
    soh_low: list[float]  # [horizon]
    soh_high: list[float]  # [horizon]
    end_soh: float  # at which the battery is at its end of life

    @property
    def end_of_life(self) -> int | None:
        """Cycles until SOH is below `end_soh`; None: not within the horizon."""
        return _crossing(self.soh, self.end_soh)

    @property
    def end_of_life_interval(self) -> tuple[int | None, int | None]:
        """Early and late end of the 90 % interval of `end_of_life`; None: not within the horizon.

        The lower line of SOH gets there first, whichever the model calls low.
        """
        ends = [_crossing(it, self.end_soh) for it in (self.soh_low, self.soh_high)]
        known = [end for end in ends if end is not None]
        return min(known, default=None), max(known) if len(known) == len(ends) else None

    def widened(self, origin: float) -> "Trajectory":
        """Return it with intervals that reach as far again as it leads from the SOH `origin`.

        For batteries unlike any in training: neither that theirs stays as it is nor that it fades
        twice as fast can be ruled out.
        """
        soh, reach = np.array(self.soh), np.abs(np.array(self.soh) - origin)
        low = np.maximum(np.array(self.soh_low) - reach, 0)
        high = np.minimum(np.array(self.soh_high) + reach, MOST_SOH)
        return Trajectory(soh.tolist(), low.tolist(), high.tolist(), self.end_soh)


class Fade(nn.Module):
    """The training batteries' mean fade, and how far forecasts made with it were off."""

    rate: Tensor  # [full cycles + 1], `Library.rate`
    spread: Tensor  # `Library.spread`
    evidence: Tensor  # [powers], of all batteries left out
    memory: Tensor  # share of a first step's error that is left a full cycle later
    width: Tensor  # [2, bands], 90 % half-width in scales of error; the second of young batteries

    def __init__(self) -> None:
        super().__init__()
        for name, sizes in (
            ("rate", (0,)),  # as long as the training data
            ("spread", ()),
            ("evidence", pace.POWERS.shape),
            ("memory", ()),
            ("width", (2, *pace.BANDS.shape)),
        ):
            self.register_buffer(name, torch.zeros(sizes, dtype=torch.float64))

    def fit(
        self,
        batteries: list[Course],
        groups: list[str] | None = None,
        elsewhere: Sequence[list[Course]] = (),
    ) -> None:
        """Learn from two or more training batteries.

        Each is left out once, to learn how much of a pace lasts and how wide an interval must be;
        with `groups`, the conditions of each, together with all of its group: for batteries to be
        met under others. `elsewhere` has groups of other kinds: what they fade like is not taken
        over, but they too tell how much of a pace lasts.
        """
        pasts = [it.past() for it in batteries]
        library = Library.of(pasts)
        found = _each_left_out(pasts, groups)
        others = []
        for kin in elsewhere:
            others += _each_left_out([it.past() for it in kin if len(it.soh) >= FEWEST])
        by_battery = [it.evidence(past) for past, it in found + others]
        evidence = np.sum(by_battery, axis=0) if by_battery else np.zeros(len(pace.POWERS))
        misses = [
            pace.misses(past.origins(), it, evidence - own)
            for (past, it), own in zip(found + others, by_battery, strict=True)
        ]
        births = [pace.misses(past.birth(), it, evidence) for past, it in found + others]
        for name, value in (
            ("rate", library.rate),
            ("spread", library.spread),
            ("evidence", evidence),
            ("memory", pace.memory(misses)),
            ("width", (pace.widths(misses[: len(found)]), pace.widths(births))),
        ):
            setattr(self, name, torch.as_tensor(np.array(value), dtype=torch.float64))

    def forecast(
        self, course: Course, horizon: int, next_soh: tuple[float, float, float] | None = None
    ) -> Trajectory:
        """Forecast the SOH of each of the next `horizon` cycles of a battery.

        `next_soh` is the SOH of the next cycle with its 90 % interval, where it is known better:
        the first step is that, and what it differs by dies out as first errors did in training.
        """
        library = Library(self.rate.numpy(), float(self.spread))
        past = course.past()
        since, state = past.state
        at = course.ages(past, horizon)
        fall = library.pace(past, self.evidence.numpy()) * library.fall(since, at)
        path = state - fall
        ahead = np.log2(np.maximum(at - since, pace.BANDS[0]))
        width = np.interp(ahead, np.log2(pace.BANDS), self.width.numpy()[int(past.is_young)])
        half = np.maximum.accumulate(width * (library.spread + np.abs(fall)))
        low, high = path - half, path + half
        if next_soh:
            told = np.log(np.maximum(next_soh, LEAST_SOH))
            left = float(self.memory) ** (at - at[0])  # of what the first step differs by
            path = path + (told[0] - path[0]) * left
            fresh = half * np.sqrt(1 - left**2)
            low = path - np.hypot(fresh, (told[0] - told[1]) * left)
            high = path + np.hypot(fresh, (told[2] - told[0]) * left)
        soh, soh_low, soh_high = np.minimum(np.exp([path, low, high]), MOST_SOH)
        return Trajectory(soh.tolist(), soh_low.tolist(), soh_high.tolist(), course.end_soh)


def _each_left_out(
    pasts: list[Past], groups: list[str] | None = None
) -> list[tuple[Past, Library]]:
    return pace.left_out(pasts, groups or [str(row) for row in range(len(pasts))])


def _crossing(path: list[float], end: float) -> int | None:
    below = np.flatnonzero(np.array(path) < end)
    return int(below[0]) + 1 if below.size else None
