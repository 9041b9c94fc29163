"""Windows as networks are asked about them, and what is answered: a Prediction of each."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from model import state
from model.asked import Asked
from model.columns import Array
from model.fade import MOST_SOH
from model.familiarity import FINEST, LOAD, STATE
from model.model_file import Trained
from model.state import Refused, States, WindowError


class Prediction(NamedTuple):
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
    rest_source: str | None  # "given", and whether it counts, or "window median"
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
LIKE = "like what it learned from"
UNLIKE = "unlike what it learned from, and there is no other that can answer"
AnyTrained = TypeVar("AnyTrained", bound=Trained)


class Foretold(NamedTuple):
    """What a network says of the next cycles: SOH with its 90 % interval, [windows] each."""

    soh: Array
    low: Array
    high: Array
    refused: Refused


@dataclass(frozen=True)
class Windows(ABC, Generic[AnyTrained]):
    """Windows as one network is asked about them."""

    forecaster: AnyTrained
    asked: Asked

    @abstractmethod
    def lack(self, at: int) -> str | None:
        """Say which feature the cycles of a window lack; None if none."""

    @abstractmethod
    def foretell(self, states: States, unlike: Sequence[list[str]]) -> Foretold:
        """Ask the network about all of them in one pass."""

    @abstractmethod
    def rest(self) -> tuple[Array, list[str | None]]:
        """Return what stands for a rest still to come, hours [windows], and where it is from."""

    @property
    def lacking(self) -> NDArray[np.bool_]:
        """Where a feature that is needed is lacking, [windows, …]."""
        return np.zeros((len(self.asked), 0), dtype=bool)

    @property
    def capacity_line(self) -> list[float]:
        """Slope and offset of capacity by the time to discharge, where nothing else tells it."""
        return [np.nan, np.nan]

    @property
    def judged_cycles(self) -> int:
        """How many of the last cycles tell whether a window is like training."""
        return int(self.asked.values.shape[1])

    def known(self) -> tuple[States, Refused]:
        """Return the states they tell, and the windows that tell none."""
        rating_ah = float(self.forecaster.rated_capacity_ah)
        return state.of(state.told(self.asked), self.asked.rated_ah, rating_ah, self.capacity_line)

    def judged(self, states: States) -> Array:
        """Return what tells whether they are like training, [windows, judged, familiarity.names]"""
        names = self.forecaster.familiarity.names
        judged = self.asked.measured(names)
        judged[..., names.index(LOAD)] = states.current_a
        judged[..., names.index(STATE)] = states.soh
        return judged[:, -self.judged_cycles :]

    def verdicts(self) -> tuple[list[list[str]], list[list[str]]]:
        """Name what of each is unlike training, and what beyond, in as many cycles as there are."""
        states, refused = self.known()
        # of a state that is not known nothing is known to be alike
        unlike, beyond = (
            [[STATE] if at in refused else names for at, names in enumerate(it)]
            for it in self.forecaster.familiarity.judge(self.judged(states))
        )
        return unlike, beyond

    def take(self, rows: Sequence[int]) -> "Windows[AnyTrained]":
        """Return some of the windows."""
        return type(self)(self.forecaster, self.asked.take(rows))


@state.FAR
def answer(asked: Windows[AnyTrained], reasons: Sequence[str] = ()) -> list[Answer]:
    """Answer each window in one pass of the network, with the reason why this one answers.

    Where none is given it is that the windows are like training, or that there is no other.
    """
    answers: dict[int, Answer] = {}
    left = list(range(len(asked.asked)))

    def without(refused: Refused) -> list[int]:
        nonlocal left
        answers.update((left[at], error) for at, error in refused.items())
        stay = [at for at in range(len(left)) if at not in refused]
        left = [left[at] for at in stay]
        return stay

    lacking = np.flatnonzero(asked.lacking.any(axis=1)).tolist()
    states, refused = asked.known()
    refused |= {at: WindowError(why) for at in lacking if (why := asked.lack(at))}
    if refused:
        rows = without(refused)
        asked, states = asked.take(rows), states.take(rows)
    if left:
        judged = asked.judged(states)
        unlike, beyond = asked.forecaster.familiarity.judge(judged)
        states, refused = state.settled(states, beyond)
        if refused:
            rows = without(refused)
            asked, states = asked.take(rows), states.take(rows)
            unlike = [unlike[at] for at in rows]
    if left:
        whys = [UNLIKE if it else LIKE for it in unlike]
        if reasons:
            whys = [reasons[at] for at in left]
        answers |= zip(left, _predictions(asked, states, unlike, whys), strict=True)
    return [answers[at] for at in range(len(answers))]


def _predictions(
    asked: Windows[AnyTrained], states: States, unlike: Sequence[list[str]], why: Sequence[str]
) -> list[Answer]:
    soh, low, high, refused = asked.foretell(states, unlike)
    # at a load that may differ by so much from the training cells'
    doubt = np.where(states.is_by_time, FINEST * soh, 0.0)
    by_soh = np.array([soh, np.fmax(low - doubt, 0.0), np.fmin(high + doubt, MOST_SOH)])
    is_told = states.source != None  # noqa: E711, of each
    hours, sources = asked.rest()
    numbers = np.array([*np.where(is_told, by_soh, np.nan), *by_soh * states.rated_ah, hours])
    features = asked.forecaster.config.preset
    answers: list[Answer] = []
    for row, source, reason, rest_source, names in zip(
        numbers.T.tolist(), states.source.tolist(), why, sources, unlike, strict=True
    ):
        told = [it if it == it else None for it in row]  # NaN is not like itself
        answers.append(
            Prediction(
                soh=told[0],
                soh_low=told[1],
                soh_high=told[2],
                capacity_ah=told[3],
                capacity_low_ah=told[4],
                capacity_high_ah=told[5],
                soh_source=source,
                features=features,
                reason=reason,
                rest_hours=told[6],
                rest_source=rest_source,
                unlike_training=names,
            )
        )
    for at in np.flatnonzero(~((soh >= 0) & (soh <= MOST_SOH))).tolist():
        answers[at] = WindowError(
            f"the network says {soh[at]:.3g} of the rated capacity: no cell has that"
        )
    for at, error in refused.items():
        answers[at] = error
    return answers
