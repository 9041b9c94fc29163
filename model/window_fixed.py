"""Windows of one length, as `spec`, `extended` and networks with features of one's own see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model import rests, spread
from model.columns import Array
from model.intervals import conformal
from model.model_file import Forecaster
from model.state import States
from model.window import Foretold, Windows

MEDIAN = "window median"
NOTHING = "no cycle tells one: reckoned as none"
UNUSED = "given, but this network sees no rests"


@dataclass(frozen=True)
class FixedWindows(Windows[Forecaster]):
    """Windows with the features that the network was trained on."""

    @cached_property
    def measured(self) -> Array:
        """What the network sees of each cycle, [windows, cycles, names]."""
        return self.asked.measured(self.forecaster.config.measured)

    @cached_property
    def coming_rests(self) -> Array:
        """Hours discharged, charged and in all before the cycle still to come, [windows, 3]."""
        return rests.coming(self._rests, self._spent, self.asked.given_rest)

    @cached_property
    def _rests(self) -> Array:
        return self.asked.measured(rests.NAMES)

    @cached_property
    def _spent(self) -> Array:
        return rests.parts(self._rests)

    @property
    def capacity_line(self) -> list[float]:
        line: list[float] = self.forecaster.capacity_line.tolist()
        return line

    @property
    def lacking(self) -> NDArray[np.bool_]:
        return np.asarray(np.isnan(self.measured).any(axis=1))

    def lack(self, at: int) -> str | None:
        count = self.measured.shape[1]
        names = self.forecaster.config.measured
        for name, absent in zip(names, np.isnan(self.measured[at]).sum(axis=0), strict=True):
            if absent == count:
                sensor = ": is there no temperature sensor?" if name == "max_temperature" else ""
                return (
                    f"none of the last {count} cycles has {name}, which the network needs{sensor}"
                )
            if absent:
                return f"{absent} of the last {count} cycles lack {name}, which the network needs"
        return None

    def foretell(self, states: States, unlike: Sequence[list[str]]) -> Foretold:
        inputs = np.concatenate([self.measured, self._rests_after()], axis=-1)
        soh = self.forecaster.network.run(inputs, states.soh[:, -1])
        half = self._half_widths(states, soh, unlike)
        return Foretold(soh, soh - half, soh + half, {})

    def rest(self) -> tuple[Array, list[str | None]]:
        is_given = np.isfinite(self.asked.given_rest).tolist()
        if not self.forecaster.config.rests:
            return np.full(len(is_given), np.nan), [UNUSED if it else None for it in is_given]
        hours = np.where(np.isnan(self.asked.rests[:, 0]), self.coming_rests[:, 2], np.nan)
        is_told = np.any(np.isfinite(self._rests[..., 2]), axis=1)
        return hours, [
            None if hour != hour else "given" if given else MEDIAN if told else NOTHING
            for hour, given, told in zip(hours.tolist(), is_given, is_told.tolist(), strict=True)
        ]

    def _rests_after(self) -> Array:
        """Hours of rest, discharged and charged, after each cycle, [windows, cycles, 2]."""
        after = np.zeros((*self.measured.shape[:2], 2))
        if self.forecaster.config.rests:
            after[:, :-1] = self._spent[:, 1:]
            recorded = self.asked.rests
            after[:, -1] = np.where(np.isnan(recorded), self.coming_rests[:, :2], recorded)
        return after

    def _half_widths(self, states: States, soh: Array, unlike: Sequence[list[str]]) -> Array:
        """Half-widths of the 90 % intervals of the next cycles, [windows].

        In training the errors on batteries left out tell, in the window's own spread. Of a window
        unlike training these say nothing, but its own changes from one measured SOH to the next do.
        """
        last = states.soh[:, -1]
        half = self.forecaster.interval.half_width() * spread.of_each(states.truth) * last
        for at in (at for at, names in enumerate(unlike) if names):
            measured = states.truth[at][np.isfinite(states.truth[at])]
            own = float(conformal(np.diff(measured))) if len(measured) > 1 else half[at]
            half[at] = max(half[at], own) + abs(soh[at] - last[at])
        return half
