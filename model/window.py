"""What is asked, a window, and what is answered, a Prediction; networks run over many at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

import numpy as np

from model import columns, state
from model.columns import Array
from model.familiarity import FINEST, LOAD, STATE
from model.model_file import Trained
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
    features: str  # "spec", "extended", "fleet" or "custom": which network answered
    reason: str  # why this one
    rest_hours: float | None  # rest before the cycle that was reckoned with
    rest_source: str | None  # "given" or "window median"
    unlike_training: list[str]  # what of the window none of that network's training resembles

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


class Foretold(NamedTuple):
    """What a network says of the next cycle: SOH with its 90 % interval."""

    soh: float
    low: float
    high: float


@dataclass(frozen=True)
class Window(ABC):
    """A window as one network is asked about it."""

    forecaster: Trained
    cycles: Sequence[Cycle]  # [window]
    told: Told  # [window]
    rated_ah: float | None
    rest_hours: float | None  # what stands for a rest still to come
    rest_source: str | None

    @abstractmethod
    def lack(self) -> str | None:
        """Say which feature cycles lack; None if none."""

    @classmethod
    @abstractmethod
    def foretell(
        cls, windows: Sequence[Self], states: Sequence[State], unlike: Sequence[list[str]]
    ) -> list[Foretold | WindowError]:
        """Ask the network, the same for all, about some windows in one pass."""

    @property
    def capacity_line(self) -> list[float]:
        """Slope and offset of capacity by the time to discharge, where nothing else tells it."""
        return [np.nan, np.nan]

    @property
    def judged_cycles(self) -> int:
        """How many of the last cycles tell whether it is like training."""
        return len(self.cycles)

    def state(self) -> State:
        """Return the state it tells; raises WindowError, too where a cycle lacks a feature."""
        if lack := self.lack():
            raise WindowError(lack)
        return self.known()

    def known(self) -> State:
        """Return the state it tells; raises WindowError."""
        rated_ah = float(self.forecaster.rated_capacity_ah)
        return state.of(self.told, self.rated_ah, rated_ah, self.capacity_line)

    def judged(self, known: State) -> Array:
        """Return what tells whether it is like training, [judged cycles, names of familiarity]."""
        names = self.forecaster.familiarity.names
        told = dict(zip(names, columns.measured(self.cycles, names).T, strict=True))
        told |= {LOAD: known.current_a, STATE: known.soh}
        return np.column_stack([told[name] for name in names])[-self.judged_cycles :]

    def unlike_training(self) -> list[str]:
        """Name what is unlike training, in as many cycles as there are."""
        return self._judge(self.forecaster.familiarity.unlike)

    def beyond_training(self) -> list[str]:
        """Name what lies beyond all training cycles, in as many cycles as there are."""
        return self._judge(self.forecaster.familiarity.beyond)

    def _judge(self, verdicts: Callable[[Array], list[list[str]]]) -> list[str]:
        known = _attempt(self.known)
        if isinstance(known, WindowError):  # of a state that is not known nothing is known alike
            return [STATE]
        (names,) = verdicts(self.judged(known)[None])
        return names

    def prediction(
        self, known: State, foretold: Foretold | WindowError, unlike: list[str]
    ) -> Prediction:
        """Return the answer from the network's; raises WindowError for what cannot be."""
        if isinstance(foretold, WindowError):
            raise foretold
        soh, low, high = foretold
        if not 0 <= soh <= MOST_SOH:
            raise WindowError(f"the network says {soh:.3g} of the rated capacity: no cell has that")
        # at a load that may differ by so much from the training cells'
        doubt = FINEST * soh if known.is_by_time else 0.0
        low, high = max(low - doubt, 0.0), min(high + doubt, MOST_SOH)
        is_told, rated_ah = known.source is not None, known.rated_ah
        return Prediction(
            soh=soh if is_told else None,
            soh_low=low if is_told else None,
            soh_high=high if is_told else None,
            capacity_ah=soh * rated_ah if rated_ah else None,
            capacity_low_ah=low * rated_ah if rated_ah else None,
            capacity_high_ah=high * rated_ah if rated_ah else None,
            soh_source=known.source,
            features=self.forecaster.config.preset,
            reason="",
            rest_hours=self.rest_hours,
            rest_source=self.rest_source,
            unlike_training=unlike,
        )


def answer(asked: Sequence[Window]) -> list[Answer]:
    """Answer each window: those of one network in one pass."""
    states = [_attempt(it.state) for it in asked]
    made: dict[int, Answer] = {
        row: it for row, it in enumerate(states) if isinstance(it, WindowError)
    }
    # windows of one length share a pass
    kinds = [(id(it.forecaster), min(len(it.cycles), it.judged_cycles)) for it in asked]
    for kind in dict.fromkeys(kinds):
        known = {
            row: it for row, it in enumerate(states) if isinstance(it, State) and kinds[row] == kind
        }
        if known:
            windows = [asked[row] for row in known]
            made |= zip(known, _of_network(windows, list(known.values())), strict=True)
    return [made[row] for row in range(len(asked))]


def _of_network(asked: Sequence[Window], states: Sequence[State]) -> list[Answer]:
    judged = np.stack([it.judged(known) for it, known in zip(asked, states, strict=True)])
    familiarity = asked[0].forecaster.familiarity
    unlike = familiarity.unlike(judged)
    beyond = familiarity.beyond(judged)
    made: dict[int, Answer] = {}
    settled: dict[int, State] = {}
    for row, (known, names) in enumerate(zip(states, beyond, strict=True)):
        it = _attempt(state.settled, known, names)
        if isinstance(it, State):
            settled[row] = it
        else:
            made[row] = it
    if settled:
        said = type(asked[0]).foretell(
            [asked[row] for row in settled],
            list(settled.values()),
            [unlike[row] for row in settled],
        )
        for (row, known), foretold in zip(settled.items(), said, strict=True):
            made[row] = _attempt(asked[row].prediction, known, foretold, unlike[row])
    return [made[row] for row in range(len(asked))]


def _attempt(step: Callable[..., T], *given: object) -> T | WindowError:
    """Return a refusal like an answer: that of one window must not fail its neighbours."""
    try:
        return step(*given)
    except WindowError as error:
        return error
