"""Windows of any length from 5 cycles on, as the fleet network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from model import columns, fleet, rests, state
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
        forecaster = windows[0].forecaster
        seen = _steps(windows, states)
        changes, errors = forecaster.network.gated(seen, forecaster.network.run(fleet.masked(seen)))
        made: list[Foretold | WindowError] = []
        for at, (it, known) in enumerate(zip(windows, states, strict=True)):
            if seen.is_new_point[at]:
                made.append(it._elsewhere(known))
                continue
            age = int(seen.age[at])
            last, spread = float(known.truth[-1 - age]), float(seen.spread[at, seen.count[at] - 1])
            soh = last * (1 + spread * float(changes[at]))
            own = errors[at][np.isfinite(errors[at])]
            # what it goes on from is so many cycles old
            half = last * spread * forecaster.interval.half_width(own) * np.sqrt(1 + age)
            made.append(Foretold(soh, soh - half, soh + half))
        return made

    def _elsewhere(self, known: State) -> Foretold | WindowError:
        if known.source not in (TOLD, RATED) or not known.rated_ah:
            return WindowError(
                "the coming cycle is at another load or temperature than all of the window: send "
                "rated_capacity_ah"
            )
        at = int(np.flatnonzero(np.isfinite(known.truth))[-1])
        seen = columns.measured([self.cycles[at]], fleet.POINT)[0]
        seen[0] = known.current_a[at]  # capacity ÷ time where it is not given
        planned = columns.measured([vars(self.coming)], fleet.POINT)[0]
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


def _steps(windows: Sequence[FleetWindow], states: Sequence[State]) -> Steps:
    """Return what the network sees of the windows, whatever their lengths."""
    longest = max(len(it.cycles) for it in windows)
    told = np.full((len(windows), longest + 1, len(fleet.NAMES)), np.nan)
    capacity = np.full((len(windows), longest), np.nan)
    for at, (it, known) in enumerate(zip(windows, states, strict=True)):
        told[at, longest - len(it.cycles) : -1] = columns.measured(it.cycles, fleet.NAMES)
        told[at, -1] = columns.measured([vars(it.coming)], fleet.NAMES)[0]
        capacity[at, longest - len(it.cycles) :] = known.truth * (known.rated_ah or 1.0)
    return fleet.steps(told, capacity)
