"""Windows of any length from 5 cycles on, as the fleet network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from model import data, fleet, rests, state
from model.data import Array
from model.fleet import SHORTEST, Coming, Steps, coming_of
from model.levels import Point
from model.model_file import FleetForecaster
from model.state import RATED, TOLD, Cycle, State, WindowError
from model.window import Foretold, Window


@dataclass(frozen=True)
class FleetWindow(Window):
    """A window, and what is known of the coming cycle before it begins."""

    forecaster: FleetForecaster
    coming: Coming

    def lack(self) -> str | None:
        return None

    def unknowing(self) -> Self:
        """Return the same window, with no more known of the coming cycle than where it is."""
        where = Coming(**{name: getattr(self.coming, name) for name in fleet.POINT})
        return replace(self, coming=where)

    @property
    def judged_cycles(self) -> int:
        return SHORTEST

    @classmethod
    def foretell(
        cls, windows: Sequence[Self], states: Sequence[State], unlike: Sequence[list[str]]
    ) -> list[Foretold | WindowError]:
        network = windows[0].forecaster.network
        seen = [it.steps(known) for it, known in zip(windows, states, strict=True)]
        outputs = network.run(seen)
        return [
            it.foretold(known, steps, output)
            for it, known, steps, output in zip(windows, states, seen, outputs, strict=True)
        ]

    def steps(self, known: State) -> Steps:
        """Return what the network sees of the window."""
        capacity = known.truth * (known.rated_ah or 1.0)
        seen = fleet.steps(self.cycles, capacity, self.coming)
        assert seen is not None  # a state is of one ground truth at least
        return seen

    def foretold(self, known: State, steps: Steps, output: Array) -> Foretold | WindowError:
        """Return what the network and its gate say, or, at a new operating point, other cells."""
        if steps.is_new_point:
            return self._elsewhere(known)
        change, own_errors = self.forecaster.network.gated(steps, output)
        spread, last = float(steps.spread[-1]), float(known.truth[steps.last])
        soh = last * (1 + spread * change)
        # what it goes on from is so many cycles old
        age = len(self.cycles) - 1 - steps.last
        half = last * spread * self.forecaster.interval.half_width(own_errors) * np.sqrt(1 + age)
        return Foretold(soh, soh - half, soh + half)

    def _elsewhere(self, known: State) -> Foretold | WindowError:
        if known.source not in (TOLD, RATED) or not known.rated_ah:
            return WindowError(
                "the coming cycle is at another load or temperature than all of the window: send "
                "rated_capacity_ah"
            )
        at = int(np.flatnonzero(np.isfinite(known.truth))[-1])
        seen = data.measured([self.cycles[at]], fleet.POINT)[0]
        seen[0] = known.current_a[at]  # capacity ÷ time where it is not given
        planned = data.measured([vars(self.coming)], fleet.POINT)[0]
        here, there = (
            Point(load / known.rated_ah, ambient, float(known.truth[at]))
            for load, ambient in (seen, np.where(np.isnan(planned), seen, planned))
        )
        return Foretold(*self.forecaster.levels.forecast(here, there))


def cut(
    forecaster: FleetForecaster,
    history: Sequence[Cycle],
    widths: range,
    coming: Coming,
    given_rest: float | None,
    rated_ah: float | None,
) -> list[FleetWindow]:
    """Cut windows that end after each of a history's cycles, of as many cycles as there are.

    They have no fewer than the least and no more than the largest of the widths. What is known of
    the last coming cycle is told; of the others what was known before they began.
    """
    told = state.told(history)
    if given_rest is not None:
        after, before, _ = rests.coming(history[-widths[-1] :], given_rest)
        coming = replace(coming, rest_after_hours=after, rest_before_hours=before)
    cuts = []
    for end in range(widths[0], len(history) + 1):
        rows = slice(max(0, end - widths[-1]), end)
        is_last = end == len(history)
        cuts.append(
            FleetWindow(
                forecaster=forecaster,
                cycles=history[rows],
                told=told[rows],
                rated_ah=rated_ah,
                rest_hours=given_rest if is_last else None,
                rest_source="given" if is_last and given_rest is not None else None,
                coming=coming if is_last else coming_of(history[end]),
            )
        )
    return cuts
