"""Many cycles ahead: the training batteries' mean fade from the same age on, at their own pace.

The pace is (own fade so far ÷ theirs at that age) to a power between 0, all fade alike, and 1, this
battery's past says it all. The power is chosen by leaving training batteries out.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.data import Array, Series

END_OF_LIFE_SOH = 0.7
LENGTH = 2000  # cycles that the curve is kept for
ANCHOR = 5  # cycles whose median is a battery's state: one regenerated cycle does not move it
LAG = ANCHOR // 2  # cycles by which that median is behind: a straight fade must go straight on
TAIL = 50  # cycles whose mean fade goes on after the last training battery has ended
BAND = 10  # neighbouring horizons that share a half-width
POWERS = np.arange(0, 1.01, 0.05)
ORIGINS = range(15, 101, 5)  # ages from which training batteries are forecast to choose the power


@dataclass(frozen=True)
class Course:
    """A battery's ground truths in time order, and where it stands now."""

    cycle: Array  # [truths], cycle_index of each
    age: Array  # [truths], equivalent full cycles delivered by then
    soh: Array  # [truths]
    last_cycle: int  # cycles so far, those without ground truth included
    last_age: float  # equivalent full cycles by then

    @classmethod
    def of(cls, series: Series) -> "Course":
        """Return all of a battery's course."""
        known = np.isfinite(series.soh)
        return cls(
            cycle=series.cycle_index[known].astype(float),
            age=series.age[known],
            soh=series.soh[known],
            last_cycle=int(series.cycle_index[-1]),
            last_age=float(series.age[-1]),
        )

    @classmethod
    def by_number(cls, soh: Array) -> "Course":
        """Return the course of a battery each of whose cycles [cycles] is a full one."""
        cycle = np.arange(1.0, len(soh) + 1)
        return cls(cycle, np.cumsum(soh), soh, len(soh), float(soh.sum()))

    def by_cycle(self) -> Array:
        """SOH of every cycle from the first ground truth on, the last one known."""
        lasts = np.diff(np.append(self.cycle, self.last_cycle + 1)).astype(int)
        return np.repeat(self.soh, lasts)


@dataclass(frozen=True)
class Trajectory:
    """SOH of the cycles to come, with 90 % intervals."""

    soh: list[float]  # [horizon]
    soh_low: list[float]  # [horizon]
    soh_high: list[float]  # [horizon]
    end_of_life: int | None  # cycles until SOH is below 0.7; None: not within the horizon
    end_of_life_low: int | None
    end_of_life_high: int | None

    @property
    def end_of_life_interval(self) -> tuple[int | None, int | None]:
        """Early and late end of the 90 % interval of `end_of_life`; None: not within the horizon.

        The lower line of SOH gets there first, whichever the model calls low.
        """
        ends = (self.end_of_life_low, self.end_of_life_high)
        known = [end for end in ends if end is not None]
        return min(known, default=None), max(known) if len(known) == len(ends) else None


class Fade(nn.Module):
    """The training batteries' mean fade, and how far forecasts made with it were off."""

    increments: Tensor
    faded: Tensor
    power: Tensor
    half_width: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("increments", "faded", "half_width"):
            self.register_buffer(name, torch.zeros(LENGTH, dtype=torch.float64))
        self.register_buffer("power", torch.zeros((), dtype=torch.float64))

    def fit(self, batteries: list[Course], groups: list[str] | None = None) -> None:
        """Learn from two or more training batteries; `groups` names the conditions of each."""
        self._fit([it.by_cycle() for it in batteries])

    def _fit(self, batteries: list[Array]) -> None:
        power = _power(batteries)
        increments, faded = _mean_curve(batteries)
        errors = _left_out_errors(batteries, power)
        self.increments, self.faded = torch.as_tensor(increments), torch.as_tensor(faded)
        self.power = torch.tensor(power, dtype=torch.float64)
        # batteries too short for any forecast leave only their whole range to go by
        widths = _half_widths(errors) if any(errors) else np.full(LENGTH, np.ptp(batteries[0]))
        self.half_width = torch.as_tensor(widths)

    def forecast(
        self, course: Course, horizon: int, next_soh: tuple[float, float, float] | None = None
    ) -> Trajectory:
        """Forecast the SOH of each of the next `horizon` cycles of a battery.

        `next_soh` is the SOH of the next cycle with its 90 % interval, where it is known better.
        """
        soh = course.by_cycle()
        path = _continue(
            soh, horizon, self.increments.numpy(), self.faded.numpy(), float(self.power)
        )
        widths = self.half_width.numpy()
        half = widths[np.minimum(np.arange(horizon), len(widths) - 1)]
        low, high = np.maximum(path - half, 0), path + half
        return Trajectory(
            soh=np.maximum(path, 0).tolist(),
            soh_low=low.tolist(),
            soh_high=high.tolist(),
            end_of_life=_crossing(path),
            end_of_life_low=_crossing(low),
            end_of_life_high=_crossing(high),
        )


def _mean_curve(batteries: list[Array]) -> tuple[Array, Array]:
    """Mean change per cycle by age, and mean fade since the start; both [LENGTH].

    Changes are averaged, not levels: a battery that ends early leaves no step.
    """
    longest = min(max(map(len, batteries)), LENGTH)
    changes = np.full((len(batteries), longest), np.nan)
    fades = np.full((len(batteries), longest), np.nan)
    for row, soh in enumerate(batteries):
        state = _state(soh[:longest])
        changes[row, 1 : len(state)] = np.diff(state)
        fades[row, : len(state)] = np.median(soh[:ANCHOR]) - state
    increments = np.zeros(LENGTH)
    increments[1:longest] = np.nanmean(changes[:, 1:], axis=0)
    increments[longest:] = np.nanmean(changes[:, max(1, longest - TAIL) :])
    faded = np.zeros(LENGTH)
    faded[:longest] = np.nanmean(fades, axis=0)
    faded[longest:] = faded[longest - 1] - np.cumsum(increments[longest:])
    return increments, faded


def _state(soh: Array) -> Array:
    """Trailing median over ANCHOR cycles, [cycles] to [cycles]."""
    return np.array([np.median(soh[max(0, k + 1 - ANCHOR) : k + 1]) for k in range(len(soh))])


def _continue(soh: Array, horizon: int, increments: Array, faded: Array, power: float) -> Array:
    age = len(soh)
    now = float(np.median(soh[-ANCHOR:]))
    own = max(float(np.median(soh[:ANCHOR])) - now, 0.0)
    pace = np.clip(own / max(faded[min(age, LENGTH) - 1], 1e-6), 0.1, 10.0) ** power
    ages = np.minimum(np.arange(age, age + horizon + LAG), LENGTH - 1)
    path: Array = now + pace * np.cumsum(increments[ages])
    return path[LAG:]


def _left_out_errors(batteries: list[Array], power: float) -> list[list[Array]]:
    """Errors of forecasts to each battery's end from the others' curve, by battery and origin."""
    errors = []
    for left_out, soh in enumerate(batteries):
        curve = _mean_curve([it for row, it in enumerate(batteries) if row != left_out])
        errors.append(
            [
                _continue(soh[:origin], len(soh) - origin, *curve, power) - soh[origin:]
                for origin in ORIGINS
                if origin + 10 <= len(soh)
            ]
        )
    return errors


def _power(batteries: list[Array]) -> float:
    """Mean of the powers, each weighted by how well it forecast the batteries left out.

    The weights are a posterior: flat prior, Gaussian errors of unknown spread, and one effective
    observation per battery, since errors within a battery are near copies of each other.
    """
    squares = []
    for power in POWERS:
        by_battery = [it for it in _left_out_errors(batteries, float(power)) if it]
        if not by_battery:  # all too short to be forecast: the middle of the range
            return 0.5
        squares.append(np.mean([np.mean([(error**2).mean() for error in it]) for it in by_battery]))
    # no forecast is better than a cycler's resolution, 0.01 % of SOH
    weights = (np.array(squares) + 1e-8) ** (-len(batteries) / 2)
    return float(weights @ POWERS / weights.sum())


def _half_widths(by_battery: list[list[Array]]) -> Array:
    """90 % half-width by horizon [LENGTH]: never narrowing, past the data that of a random walk."""
    errors = [error for it in by_battery for error in it]
    horizon = np.concatenate([np.arange(1, len(error) + 1) for error in errors])
    size = np.abs(np.concatenate(errors))
    longest = min(int(horizon.max()), LENGTH)
    widths = np.array(
        [np.quantile(size[np.abs(horizon - it) <= BAND], 0.9) for it in range(1, longest + 1)]
    )
    widths = np.maximum.accumulate(widths)
    beyond = widths[-1] * np.sqrt(np.arange(longest + 1, LENGTH + 1) / longest)
    return np.concatenate([widths, beyond])


def _crossing(path: Array) -> int | None:
    below = np.flatnonzero(path < END_OF_LIFE_SOH)
    return int(below[0]) + 1 if below.size else None
