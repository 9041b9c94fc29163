"""How a model is asked for a forecast: with columns, all of this package that api imports.

Asked is a window: the last cycles of a cell, oldest first, with its rated capacity and what is
known of the cycle to come. Answered is a Prediction, a function of that window alone; or a
WindowError, which says what to send instead. The network whose training it resembles answers.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import columns, model_file, trial
from model.asked import Asked, after_each, together
from model.columns import Cycle, column
from model.data import ModelError, TooFewCyclesError, UnknownBatteryError, listed
from model.fade import END_OF_LIFE_SOH, Course, Trajectory
from model.fleet import Coming
from model.model_file import Forecaster, MismatchError, Model, companions
from model.state import WindowError
from model.trajectory import course, courses, forecast, in_days, is_due, next_truth
from model.window import Answer, Prediction, answer
from model.window_fixed import FixedWindows
from model.window_fleet import FleetWindows

__all__ = [
    "END_OF_LIFE_SOH",
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

NOBODY = WindowError(
    "no network here can answer at another load or temperature than the last one's: train one with "
    "`python -m model.train --features fleet --train all`"
)


def load(path: Path) -> Model:
    """Load a model file and those beside it, tried and ready to answer.

    Raises ModelError when one cannot be had or used; MismatchError when they do not belong
    together.
    """
    model = model_file.load(path)
    for it in model.networks:
        it.network.speed_up()
    return trial.passed(model, path)


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
    for cycles in windows:
        if len(cycles) < model.shortest:
            raise TooFewCyclesError(f"{len(cycles)} cycles, the model needs {model.shortest}")
    made: dict[int, Answer] = {}
    for rows, asked in together(
        windows,
        model.window,
        rest_hours or [None] * count,
        rated_capacity_ah or [None] * count,
        coming or [Coming()] * count,
    ):
        made |= zip(rows, _by_the_likest(model, asked), strict=True)
    return [made[at] for at in range(count)]


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
    asked = after_each(history, model.shortest, model.window, rated_capacity_ah)
    is_wanted = [*np.isfinite(column(history, "soh_target")[model.shortest :]), True]
    rows = np.flatnonzero(is_wanted[: len(asked)]).tolist()
    return _numbered(model, rows, _by_the_likest(model, asked.take(rows)))


def backtest(model: Model, history: Sequence[Cycle]) -> dict[int, Prediction]:
    """Predict after each past cycle that ends a window what `predict` would have said then.

    By the number of the cycle to come. Unlike `one_steps`, nothing is known of it before it begins.
    """
    cycles = columns.of(history)
    ends = range(model.shortest, len(cycles) + 1)
    made = answers(model, [cycles[max(0, end - model.window) : end] for end in ends])
    return _numbered(model, range(len(made)), made)


def unlike_training(
    model: Model, history: Sequence[Cycle], rated_capacity_ah: float | None = None
) -> list[str]:
    """Name what is unlike training in the last window, or in as many cycles as there are.

    It is the verdict that `answers` gives, for forecasts that need no whole window.
    """
    asked = _last(model, history, rated_capacity_ah)
    unlike, _ = FixedWindows(_network(model, asked), asked).verdicts()
    if model.fleet:
        unlike += FleetWindows(model.fleet, asked).verdicts()[0]
    return min(unlike, key=len)


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
    is_beyond = bool(model.fleet) and not (told and told.features != "fleet")
    if is_beyond:
        asked = _last(model, cycles, rated_capacity_ah)
        _, (beyond,) = FixedWindows(_network(model, asked), asked).verdicts()
        is_beyond = bool(beyond)
    if told is None:
        is_unlike = bool(unlike_training(model, cycles, rated_capacity_ah))
        return None, is_beyond, is_unlike
    return told.next_soh if is_due(course) else None, is_beyond, told.is_unlike_training


def _last(model: Model, cycles: Sequence[Cycle], rated_ah: float | None) -> Asked:
    """The last window, or as many cycles as there are."""
    ((_, asked),) = together([cycles], model.window, [None], [rated_ah], [Coming()])
    return asked


def _by_the_likest(model: Model, asked: Asked) -> list[Answer]:
    """Answer by the network for windows of one length where a window is like what it learned from.

    Elsewhere by the fleet network, where there is one that can answer.
    """
    made: dict[int, Answer] = {}
    is_whole = (asked.count == model.window) & ~asked.is_elsewhere()
    for network, rows in _networks(model, asked, is_whole):
        some = asked if len(rows) == len(asked) else asked.take(rows)
        made |= zip(rows, answer(FixedWindows(network, some)), strict=True)
    others = [at for at in range(len(asked)) if not _is_alike(made.get(at))]
    if model.fleet and others:
        reasons = [_reason(model, made.get(at), int(asked.count[at])) for at in others]
        answers = answer(FleetWindows(model.fleet, asked.take(others)), reasons)
        for at, it in zip(others, answers, strict=True):
            if isinstance(it, Prediction) or at not in made:
                made[at] = it
    return [made.get(at, NOBODY) for at in range(len(asked))]


def _is_alike(told: Answer | None) -> bool:
    return isinstance(told, Prediction) and not told.unlike_training


def _network(model: Model, asked: Asked) -> Forecaster:
    """The extended network where there is one and the only window tells of rests."""
    ((network, _),) = _networks(model, asked, np.array([True]))
    return network


def _networks(
    model: Model, asked: Asked, is_asked: NDArray[np.bool_]
) -> Iterator[tuple[Forecaster, list[int]]]:
    """The network for each window: the extended one where there is one and rests are told."""
    knows_rests = np.isfinite(asked.column("rest_hours")).any(axis=1) & bool(model.extended)
    for network, rows in (
        (model.extended, is_asked & knows_rests),
        (model.spec, is_asked & ~knows_rests),
    ):
        if network and rows.any():
            yield network, np.flatnonzero(rows).tolist()


def _reason(model: Model, fixed: Answer | None, count: int) -> str:
    """Say why the fleet network is asked."""
    if isinstance(fixed, Prediction):
        return f"unlike what {fixed.features} learned from: {', '.join(fixed.unlike_training)}"
    if fixed:
        return f"{model.spec.config.preset} cannot answer: {fixed}"
    if count < model.window:
        return f"fewer than {model.window} cycles"
    return "the coming cycle is at another operating point"


def _numbered(
    model: Model, rows: Iterable[int], answers: Sequence[Answer]
) -> dict[int, Prediction]:
    first = model.shortest + 1
    numbered = zip(rows, answers, strict=True)
    return {first + at: it for at, it in numbered if isinstance(it, Prediction)}
