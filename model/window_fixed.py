"""Windows of one length, as `spec`, `extended` and networks with features of one's own see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from model import columns, rests, spread, state
from model.columns import Array
from model.intervals import conformal
from model.model_file import Forecaster
from model.state import Cycle, State, WindowError
from model.window import Foretold, Window


@dataclass(frozen=True)
class FixedWindow(Window):
    """A window with the features that the network was trained on."""

    forecaster: Forecaster
    measured: Array  # [window, names]
    rests_after: Array  # [window, 2], hours, the last still to come

    @property
    def capacity_line(self) -> list[float]:
        line: list[float] = self.forecaster.capacity_line.tolist()
        return line

    def lack(self) -> str | None:
        count = len(self.measured)
        names = self.forecaster.config.measured
        for name, absent in zip(names, np.isnan(self.measured).sum(axis=0), strict=True):
            if absent == count:
                sensor = ": is there no temperature sensor?" if name == "max_temperature" else ""
                return (
                    f"none of the last {count} cycles has {name}, which the network needs{sensor}"
                )
            if absent:
                return f"{absent} of the last {count} cycles lack {name}, which the network needs"
        return None

    @classmethod
    def foretell(
        cls, windows: Sequence[Self], states: Sequence[State], unlike: Sequence[list[str]]
    ) -> list[Foretold | WindowError]:
        forecaster = windows[0].forecaster
        inputs = np.stack([np.hstack([it.measured, it.rests_after]) for it in windows])
        last_soh = np.array([known.soh[-1] for known in states])
        said = forecaster.network.run(inputs, last_soh).tolist()
        made: list[Foretold | WindowError] = []
        for soh, known, names in zip(said, states, unlike, strict=True):
            half = _half_width(forecaster, known, soh, bool(names))
            made.append(Foretold(soh, soh - half, soh + half))
        return made


def cut(
    forecaster: Forecaster,
    history: Sequence[Cycle],
    width: int,
    given_rest: float | None,
    rated_ah: float | None,
) -> list[FixedWindow]:
    """Cut all windows of so many consecutive cycles; the last ends where the history does."""
    if len(history) < width:
        return []
    measured = columns.measured(history, forecaster.config.measured)
    after, hours = _rests_after(forecaster, history, width, given_rest)
    told = state.told(history)
    source = "window median" if given_rest is None else "given"
    cuts = []
    for end in range(width, len(history) + 1):
        rows = slice(end - width, end)
        is_told = bool(forecaster.config.rests) and end == len(history)
        cuts.append(
            FixedWindow(
                forecaster=forecaster,
                cycles=history[rows],
                told=told[rows],
                rated_ah=rated_ah,
                rest_hours=hours if is_told else None,
                rest_source=source if is_told else None,
                measured=measured[rows],
                rests_after=after[rows],
            )
        )
    return cuts


def _half_width(forecaster: Forecaster, known: State, soh: float, is_unlike: bool) -> float:
    """Half-width of the 90 % interval of the next cycle.

    In training the errors on batteries left out tell, in the window's own spread. Of a window
    unlike training these say nothing, but its own changes from one measured SOH to the next do.
    """
    last = float(known.soh[-1])
    half = forecaster.interval.half_width() * spread.of_window(known.truth) * last
    if not is_unlike:
        return half
    measured = known.truth[np.isfinite(known.truth)]
    own = conformal(np.diff(measured)) if len(measured) > 1 else half
    return max(half, own) + abs(soh - last)


def _rests_after(
    forecaster: Forecaster, history: Sequence[Cycle], width: int, given: float | None
) -> tuple[Array, float]:
    """Hours of rest, discharged and charged, after each cycle [cycles, 2]; the coming time in all.

    The last of them is still to come.
    """
    if not forecaster.config.rests:
        return np.zeros((len(history), 2)), 0.0
    after, before, hours = rests.coming(history[-width:], given)
    return np.append(rests.parts(history)[1:], [[after, before]], axis=0), hours
