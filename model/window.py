"""What is asked, a window, and what is answered, a Prediction; networks run over many at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from model import data, state
from model.data import Array
from model.familiarity import FINEST, LOAD, STATE
from model.intervals import conformal
from model.model_file import Forecaster
from model.state import MOST_SOH, Cycle, State, Told, WindowError


@dataclass(frozen=True)
class Prediction:
    """The forecast of one cycle ahead, with its 90 % interval."""

    soh: float | None  # a fraction; None where no rated capacity is known
    soh_low: float | None
    soh_high: float | None
    capacity_ah: float | None  # None where no cycle tells its capacity, nor the caller the rating
    capacity_low_ah: float | None
    capacity_high_ah: float | None
    soh_source: str | None  # state.TOLD, RATED or TRAINING: what SOH was known by; None as soh
    features: str  # "spec", "extended" or "custom": which network answered
    rest_hours: float | None  # rest before the cycle that was reckoned with
    rest_source: str | None  # "given" or "window median"
    unlike_training: list[str]  # what of the window no training window resembles

    @property
    def is_unlike_training(self) -> bool:
        return bool(self.unlike_training)

    @property
    def next_soh(self) -> tuple[float, float, float] | None:
        """SOH with its interval, for `forecast` to start from."""
        if self.soh is None or self.soh_low is None or self.soh_high is None:
            return None
        return self.soh, self.soh_low, self.soh_high


Answer = Prediction | WindowError
T = TypeVar("T")


def half_width(forecaster: Forecaster, known: Array, change: float, is_unlike: bool) -> float:
    """Half-width of the 90 % interval of the next cycle, as a fraction like the SOH.

    `known` [known] is the SOH measured within the window, `change` the forecast less the last of
    it. In training the errors on batteries left out tell; of a window unlike training these say
    nothing, but its own changes from one measured SOH to the next do.
    """
    ordinary = conformal(forecaster.interval.errors.numpy())
    if not is_unlike:
        return ordinary
    own = conformal(np.diff(known)) if len(known) > 1 else ordinary
    return max(ordinary, own) + abs(change)


@dataclass(frozen=True)
class Window:
    """A window as it is asked about."""

    forecaster: Forecaster
    measured: Array  # [window, names]
    rests_after: Array  # [window, 2], hours, the last still to come
    told: Told  # [window]
    rated_ah: float | None
    hours: float | None  # what stood for a rest still to come
    is_rest_given: bool

    def state(self) -> State:
        """Return the state it tells; raises WindowError, too where a cycle lacks a feature."""
        if lack := self.lack():
            raise WindowError(lack)
        return self.known()

    def known(self) -> State:
        """Return the state it tells; raises WindowError."""
        rated_ah, line = self.forecaster.rated_capacity_ah, self.forecaster.capacity_line
        return state.of(self.told, self.rated_ah, float(rated_ah), line.tolist())

    def judged(self, known: State) -> Array:
        """Return what tells whether it is like training, [window, names of familiarity]."""
        names = self.forecaster.config.measured
        columns = {LOAD: known.current_a, STATE: known.soh}
        columns |= dict(zip(names, self.measured.T, strict=True))
        return np.column_stack([columns[name] for name in self.forecaster.familiarity.names])

    def unlike_training(self) -> list[str]:
        """Name what is unlike training, in as many cycles as there are."""
        known = _attempt(self.known)
        if isinstance(known, WindowError):  # of a state that is not known nothing is known alike
            return [STATE]
        (names,) = self.forecaster.familiarity.unlike(self.judged(known)[None])
        return names

    def lack(self) -> str | None:
        """Say which feature cycles lack; None if none."""
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

    def prediction(self, known: State, soh: float, unlike: list[str]) -> Prediction:
        """Return the answer from the network's output; raises WindowError for what cannot be."""
        if not 0 <= soh <= MOST_SOH:
            raise WindowError(f"the network says {soh:.3g} of the rated capacity: no cell has that")
        half = half_width(self.forecaster, known.known, soh - float(known.soh[-1]), bool(unlike))
        if known.is_by_time:  # at a load that may differ by so much from the training cells'
            half += FINEST * soh
        low, high = max(soh - half, 0.0), soh + half
        is_told, rated_ah = known.source is not None, known.rated_ah
        source = "given" if self.is_rest_given else "window median"
        return Prediction(
            soh=soh if is_told else None,
            soh_low=low if is_told else None,
            soh_high=high if is_told else None,
            capacity_ah=soh * rated_ah if rated_ah else None,
            capacity_low_ah=low * rated_ah if rated_ah else None,
            capacity_high_ah=high * rated_ah if rated_ah else None,
            soh_source=known.source,
            features=self.forecaster.config.preset,
            rest_hours=self.hours,
            rest_source=None if self.hours is None else source,
            unlike_training=unlike,
        )


def cut(
    forecaster: Forecaster,
    history: Sequence[Cycle],
    width: int,
    given_rest: float | None,
    rated_ah: float | None,
) -> list[Window]:
    """Cut all windows of so many consecutive cycles; the last ends where the history does."""
    if len(history) < width:
        return []
    measured = data.measured(history, forecaster.config.measured)
    after, hours = _rests_after(forecaster, history, width, given_rest)
    told = state.told(history)
    return [
        Window(
            forecaster=forecaster,
            measured=measured[end - width : end],
            rests_after=after[end - width : end],
            told=told[end - width : end],
            rated_ah=rated_ah,
            hours=hours if forecaster.config.rests and end == len(history) else None,
            is_rest_given=given_rest is not None,
        )
        for end in range(width, len(history) + 1)
    ]


def answer(asked: Sequence[Window]) -> list[Answer]:
    """Answer each window: those of one network in one pass."""
    states = [_attempt(it.state) for it in asked]
    made: dict[int, Answer] = {
        row: it for row, it in enumerate(states) if isinstance(it, WindowError)
    }
    for forecaster in dict.fromkeys(it.forecaster for it in asked):
        known = {
            row: it
            for row, it in enumerate(states)
            if isinstance(it, State) and asked[row].forecaster is forecaster
        }
        if known:
            windows = [asked[row] for row in known]
            made |= zip(known, _of_network(forecaster, windows, list(known.values())), strict=True)
    return [made[row] for row in range(len(asked))]


def _of_network(
    forecaster: Forecaster, asked: Sequence[Window], states: Sequence[State]
) -> list[Answer]:
    judged = np.stack([it.judged(known) for it, known in zip(asked, states, strict=True)])
    unlike = forecaster.familiarity.unlike(judged)
    beyond = forecaster.familiarity.beyond(judged)
    made: dict[int, Answer] = {}
    settled: dict[int, State] = {}
    for row, (known, names) in enumerate(zip(states, beyond, strict=True)):
        it = _attempt(state.settled, known, names)
        if isinstance(it, State):
            settled[row] = it
        else:
            made[row] = it
    if settled:
        inputs = [np.hstack([asked[row].measured, asked[row].rests_after]) for row in settled]
        last_soh = np.array([known.soh[-1] for known in settled.values()])
        for (row, known), soh in zip(
            settled.items(), forecaster.network.run(np.stack(inputs), last_soh), strict=True
        ):
            made[row] = _attempt(asked[row].prediction, known, float(soh), unlike[row])
    return [made[row] for row in range(len(asked))]


def _attempt(step: Callable[..., T], *given: object) -> T | WindowError:
    """Return a refusal like an answer: that of one window must not fail its neighbours."""
    try:
        return step(*given)
    except WindowError as error:
        return error


def _rests_after(
    forecaster: Forecaster, history: Sequence[Cycle], width: int, given: float | None
) -> tuple[Array, float]:
    """Hours of rest, discharged and charged, after each cycle [cycles, 2]; the coming time in all.

    The last of them is still to come. Charging and the rest after it take as long as they did in
    the middle of the window; what is left of the time given is rest before charging. Where none is
    given, all of it is as in the middle of the window.
    """
    if not forecaster.config.rests:
        return np.zeros((len(history), 2)), 0.0
    parts = np.array([(*data.rests(it), it.get("rest_hours")) for it in history], dtype=float)
    after, before, hours = _coming_rest(parts[-width:], given)
    return np.vstack([parts[1:, :2], (after, before)]), hours


def _coming_rest(window: Array, given: float | None) -> tuple[float, float, float]:
    """Hours, discharged, charged and in all, before the cycle after a window [cycles, 3]."""
    window = window[np.isfinite(window[:, 2])]  # [cycles that tell of rest, 3]
    if not len(window):
        return 0.0, given or 0.0, given or 0.0
    charging = np.maximum(window[:, 2] - window[:, 0] - window[:, 1], 0)
    after, before, hours, charging = np.median(np.column_stack([window, charging]), axis=0).tolist()
    if given is not None:
        idle = max(given - charging, 0.0)
        before = min(before, idle)
        after, hours = idle - before, given
    return after, before, hours
