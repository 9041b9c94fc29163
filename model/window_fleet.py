"""Windows of any length from 5 cycles on, as the fleet network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model import fleet, rests
from model.asked import after_each
from model.columns import Array
from model.data import Series
from model.fleet import FOREKNOWN, SHORTEST
from model.levels import Point
from model.model_file import FleetForecaster
from model.state import RATED, TOLD, Refused, States, WindowError
from model.window import Foretold, Windows

REST_AFTER, REST_BEFORE = map(FOREKNOWN.index, ("rest_after_hours", "rest_before_hours"))


@dataclass(frozen=True)
class FleetWindows(Windows[FleetForecaster]):
    """Windows, and what is known of the coming cycle before it begins."""

    def unknowing(self) -> "FleetWindows":
        """Return the same windows, with no more known of the coming cycles than where they are."""
        is_where = [name in fleet.POINT for name in FOREKNOWN]
        coming = np.where(is_where, self.asked.coming, np.nan)
        return replace(self, asked=replace(self.asked, coming=coming))

    @property
    def judged_cycles(self) -> int:
        return SHORTEST

    def lack(self, at: int) -> str | None:
        return None

    def rest(self) -> tuple[Array, list[str | None]]:
        given = self.asked.given_rest
        return given, ["given" if it else None for it in np.isfinite(given).tolist()]

    def foretell(self, states: States, unlike: Sequence[list[str]]) -> Foretold:
        network = self.forecaster.network
        seen = fleet.steps(self._told(), states.truth * _or_one(states.rated_ah)[:, None])
        changes, errors = network.gated(seen, network.run(fleet.masked(seen)))
        windows = np.arange(len(seen.age))
        last, own = states.truth[windows, -1 - seen.age], seen.last(seen.spread)
        soh = last * (1 + own * changes)
        # what it goes on from is so many cycles old
        half = last * own * self.forecaster.interval.half_widths(errors) * np.sqrt(1 + seen.age)
        made = np.stack([soh, soh - half, soh + half])
        refused: Refused = {}
        for at in np.flatnonzero(seen.is_new_point).tolist():
            try:
                made[:, at] = self._elsewhere(states, at)
            except WindowError as error:
                refused[at] = error
        return Foretold(made[0], made[1], made[2], refused)

    def _told(self) -> Array:
        """Features of the cycles, and what is known of the coming one, [windows, cycles + 1]."""
        asked = self.asked
        told = np.full((len(asked), asked.values.shape[1] + 1, len(fleet.NAMES)), np.nan)
        told[:, :-1] = asked.measured(fleet.NAMES)
        told[:, -1, fleet.FOREKNOWN_AT] = self._coming()
        return told

    def _coming(self) -> Array:
        is_given = np.isfinite(self.asked.given_rest)
        if not is_given.any():
            return self.asked.coming
        coming = self.asked.coming.copy()
        told = self.asked.measured(rests.NAMES)
        rested = rests.coming(told, rests.parts(told), self.asked.given_rest)
        for name, at in ((REST_AFTER, 0), (REST_BEFORE, 1)):
            coming[:, name] = np.where(is_given, rested[:, at], coming[:, name])
        return coming

    def _elsewhere(self, states: States, at: int) -> tuple[float, float, float]:
        """Return SOH with its interval where the coming cycle is at a point of its own."""
        rated_ah = float(states.rated_ah[at])
        if states.source[at] not in (TOLD, RATED) or np.isnan(rated_ah):
            raise WindowError(
                "the coming cycle is at another load or temperature than all of the window: send "
                "rated_capacity_ah"
            )
        last = int(np.flatnonzero(np.isfinite(states.truth[at]))[-1])
        seen = self.asked.measured(fleet.POINT)[at, last]
        seen[0] = states.current_a[at, last]  # capacity ÷ time where it is not given
        planned = self.asked.coming[at, [FOREKNOWN.index(name) for name in fleet.POINT]]
        here, there = (
            Point(load / rated_ah, ambient, float(states.truth[at, last]))
            for load, ambient in (seen, np.where(np.isnan(planned), seen, planned))
        )
        return self.forecaster.levels.forecast(here, there)


def past(forecaster: FleetForecaster, series: Series, width: int) -> FleetWindows:
    """Cut the windows of up to so many cycles before each of a battery's, from the sixth on."""
    asked = after_each(series.cycles, SHORTEST, width)
    return FleetWindows(forecaster, asked.take(range(len(asked) - 1)))


def _or_one(rated_ah: Array) -> Array:
    return np.where(np.isnan(rated_ah), 1.0, rated_ah)
