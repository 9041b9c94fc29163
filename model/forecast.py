"""How a model is asked for a forecast: all of this package that api imports.

Asked is a window: the last cycles of a cell, oldest first, with its rated capacity and what is
known of the cycle to come. Answered is a Prediction, a function of that window alone; or a
WindowError, which says what to send instead. The network whose training it resembles answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model import window_fixed, window_fleet
from model.columns import column
from model.data import ModelError, TooFewCyclesError, UnknownBatteryError, listed
from model.fade import Course, Trajectory
from model.fleet import Coming, is_elsewhere
from model.model_file import Forecaster, MismatchError, Model, companions, load
from model.state import Cycle, WindowError
from model.trajectory import course, courses, forecast, in_days, is_due, next_truth
from model.window import Answer, Prediction, Window, answer

__all__ = [
    "Answer",
    "Coming",
    "Course",
    "Cycle",
    "Forecaster",
    "MismatchError",
    "Model",
    "ModelError",
    "Prediction",
    "TooFewCyclesError",
    "Trajectory",
    "UnknownBatteryError",
    "WindowError",
    "answers",
    "backtest",
    "companions",
    "course",
    "courses",
    "forecast",
    "going_on",
    "in_days",
    "is_due",
    "listed",
    "load",
    "next_truth",
    "one_steps",
    "predict",
    "unlike_training",
]


NOTHING = Coming()


@dataclass(frozen=True)
class _Question:
    """Cycles, and what is known beside them."""

    cycles: Sequence[Cycle]
    rest_hours: float | None = None
    rated_ah: float | None = None
    coming: Coming = NOTHING


def answers(
    model: Model,
    windows: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None] | None = None,
    rated_capacity_ah: Sequence[float | None] | None = None,
    coming: Sequence[Coming] | None = None,
) -> list[Answer]:
    """Answer the cycle after each window, all in one pass of each network, or say why not.

    Of more than `model.window` cycles the last count. Each has the features of cycle_series and, it
    may be, its soh_target. `rest_hours` is the time between the last discharge and the cycle to
    predict, `coming` what else is known of that cycle. Raises TooFewCyclesError.
    """
    count = len(windows)
    rest_hours = rest_hours or [None] * count
    rated_capacity_ah = rated_capacity_ah or [None] * count
    comings = coming or [Coming()] * count
    fixed: list[Window | None] = []
    questions = []
    for cycles, hours, rated, its in zip(
        windows, rest_hours, rated_capacity_ah, comings, strict=True
    ):
        if len(cycles) < model.shortest:
            raise TooFewCyclesError(f"{len(cycles)} cycles, the model needs {model.shortest}")
        asked = _Question(cycles[-model.window :], hours, rated, its)
        questions.append(asked)
        fixed += _fixed(model, asked, len(asked.cycles))

    def fleet(at: int) -> Window | None:
        return _fleet(model, questions[at], len(questions[at].cycles))[0]

    return _by_the_likest(model, fixed, fleet)


def predict(
    model: Model,
    histories: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None] | None = None,
    rated_capacity_ah: Sequence[float | None] | None = None,
    coming: Sequence[Coming] | None = None,
) -> list[Prediction]:
    """Predict as `answers`; raises the first WindowError."""
    made = answers(model, histories, rest_hours, rated_capacity_ah, coming)
    for it in made:
        if isinstance(it, WindowError):
            raise it
    return [it for it in made if isinstance(it, Prediction)]


def one_steps(
    model: Model, history: Sequence[Cycle], rated_capacity_ah: float | None = None
) -> dict[int, Prediction]:
    """Predict every ground truth that has a window before it, from that and nothing after it.

    By the number of the cycle; the last one is the cycle still to come. Of the others it is known
    what was before they began: rests, the charge, the load. What is no ground truth has no state of
    health to predict; those whose window lacks a feature or tells no state are left out, too.
    """
    asked = _Question(history, rated_ah=rated_capacity_ah)
    wanted = [*np.isfinite(column(history, "soh_target")[model.shortest :]), True]
    fixed, fleet = (
        [it if is_wanted else None for it, is_wanted in zip(cuts, wanted, strict=False)]
        for cuts in (cut(model, asked, model.shortest) for cut in (_fixed, _fleet))
    )
    return _predictions(model, _by_the_likest(model, fixed, fleet.__getitem__))


def backtest(model: Model, history: Sequence[Cycle]) -> dict[int, Prediction]:
    """Predict after each past cycle that ends a window what `predict` would have said then.

    By the number of the cycle to come. Unlike `one_steps`, nothing is known of it before it begins.
    """
    ends = range(model.shortest, len(history) + 1)
    made = answers(model, [history[max(0, end - model.window) : end] for end in ends])
    return _predictions(model, made)


def unlike_training(
    model: Model, history: Sequence[Cycle], rated_capacity_ah: float | None = None
) -> list[str]:
    """Name what is unlike training in the last window, or in as many cycles as there are.

    It is the verdict that `answers` gives, for forecasts that need no whole window.
    """
    asked = _Question(history[-model.window :], rated_ah=rated_capacity_ah)
    fixed = _cut(model, asked, len(asked.cycles))
    fleet = _fleet(model, asked, len(asked.cycles))
    return min((it.unlike_training() for it in (*fixed, *fleet) if it), key=len)


def going_on(
    model: Model,
    course: Course,
    cycles: Sequence[Cycle],
    told: Prediction | None,
    rated_capacity_ah: float | None = None,
) -> tuple[tuple[float, float, float] | None, bool, bool]:
    """Return what `forecast` goes on from, knowing what a network told of the next cycle.

    The next SOH with its interval, where a ground truth is due; whether the cycles lie beyond what
    `spec` learned from; and the verdict: where no network could tell, that on the cycles there are.
    """
    asked = _Question(cycles[-model.window :], rated_ah=rated_capacity_ah)
    is_beyond = bool(model.fleet) and not (told and told.features != "fleet")
    if is_beyond:
        (seen,) = _cut(model, asked, len(asked.cycles))
        is_beyond = seen is None or bool(seen.beyond_training())
    if told is None:
        is_unlike = bool(unlike_training(model, cycles, rated_capacity_ah))
        return None, is_beyond, is_unlike
    return told.next_soh if is_due(course) else None, is_beyond, told.is_unlike_training


def _network(model: Model, cycles: Sequence[Cycle]) -> Forecaster:
    """The extended network where there is one and the window tells of rests, else the other."""
    knows_rests = np.isfinite(column(cycles[-model.window :], "rest_hours")).any()
    return model.extended if model.extended and knows_rests else model.spec


def _fixed(model: Model, asked: _Question, first: int) -> list[Window | None]:
    """Windows for the networks that see one length, after each cycle from the first on."""
    count = len(asked.cycles) + 1 - first
    cuts = _cut(model, asked, max(model.window, first)) if count > 0 else []
    if cuts and is_elsewhere(asked.cycles[-1], asked.coming):
        cuts[-1] = None
    return [*[None] * (count - len(cuts)), *cuts]


def _cut(model: Model, asked: _Question, width: int) -> list[Window | None]:
    network = _network(model, asked.cycles)
    return [*window_fixed.cut(network, asked.cycles, width, asked.rest_hours, asked.rated_ah)]


def _fleet(model: Model, asked: _Question, first: int) -> list[Window | None]:
    """Windows for the fleet network, after each cycle from the first on."""
    if not model.fleet:
        return [None] * (len(asked.cycles) + 1 - first)
    widths = range(first, model.window + 1)
    return [
        *window_fleet.cut(
            model.fleet, asked.cycles, widths, asked.coming, asked.rest_hours, asked.rated_ah
        )
    ]


def _by_the_likest(
    model: Model, fixed: Sequence[Window | None], fleet: Callable[[int], Window | None]
) -> list[Answer]:
    """Answer by the network for windows of one length where a window is like what it learned from.

    Elsewhere by the fleet network, where there is one that can answer: `fleet` cuts its window.
    """
    rows = [at for at, it in enumerate(fixed) if it]
    first = dict(zip(rows, answer([it for it in fixed if it]), strict=True))
    second: dict[int, Window] = {}
    for at in range(len(fixed)):
        told = first.get(at)
        is_like = isinstance(told, Prediction) and not told.unlike_training
        if not is_like and (window := fleet(at)):
            second[at] = window
    others = dict(zip(second, answer(list(second.values())), strict=True))
    return [
        _chosen(model, first.get(at), others.get(at), _reason(model, second.get(at)))
        for at in range(len(fixed))
    ]


def _reason(model: Model, window: Window | None) -> str:
    """Say why no network for windows of one length was asked."""
    if window and len(window.cycles) == model.window:
        return "the coming cycle is at another operating point"
    return f"fewer than {model.window} cycles"


def _chosen(model: Model, fixed: Answer | None, fleet: Answer | None, why: str) -> Answer:
    if isinstance(fleet, Prediction):
        if isinstance(fixed, Prediction):
            why = f"unlike what {fixed.features} learned from: {', '.join(fixed.unlike_training)}"
        elif fixed:
            why = f"{model.spec.config.preset} cannot answer: {fixed}"
        return replace(fleet, reason=why)
    if isinstance(fixed, Prediction):
        like = "unlike what it learned from, and there is no other that can answer"
        return replace(fixed, reason=like if fixed.unlike_training else "like what it learned from")
    return (
        fixed
        or fleet
        or WindowError(
            "no network here can answer at another load or temperature than the last one's: train "
            "one with `python -m model.train --features fleet --train all`"
        )
    )


def _predictions(model: Model, answers: Sequence[Answer]) -> dict[int, Prediction]:
    numbered = enumerate(answers, start=model.shortest + 1)
    return {number: it for number, it in numbered if isinstance(it, Prediction)}
