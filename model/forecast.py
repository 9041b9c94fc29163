"""How a model is asked for a forecast: all of this package that api imports.

Asked is a window: the last cycles of a cell, oldest first, with its rated capacity and the rest to
come where these are known. Answered is a Prediction, a function of that window alone; or a
WindowError, which says what to send instead.
"""

from collections.abc import Sequence

import numpy as np

from model import data, window
from model.data import ModelError, TooFewCyclesError, UnknownBatteryError, listed
from model.fade import Course, Trajectory
from model.model_file import Forecaster, MismatchError, Model, extended_path, load
from model.state import Cycle, WindowError
from model.window import Answer, Prediction

__all__ = [
    "Answer",
    "Course",
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
    "course",
    "extended_path",
    "forecast",
    "listed",
    "load",
    "one_steps",
    "predict",
    "unlike_training",
]


def _choose(model: Model, cycles: Sequence[Cycle]) -> Forecaster:
    """The extended network where there is one and the window tells of rests, else the other."""
    knows_rests = any(it.get("rest_hours") is not None for it in cycles[-model.window :])
    return model.extended if model.extended and knows_rests else model.spec


def answers(
    model: Model,
    windows: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None] | None = None,
    rated_capacity_ah: Sequence[float | None] | None = None,
) -> list[Answer]:
    """Answer the cycle after each window, all in one pass of each network, or say why not.

    Of more than `model.window` cycles the last count. Each has the features of cycle_series and, it
    may be, its soh_target. `rest_hours` is the time between the last discharge and the cycle to
    predict; where it is not given, the median of the window stands in. Windows that tell of rests
    are answered by the extended network, where there is one. Raises TooFewCyclesError.
    """
    rest_hours = rest_hours or [None] * len(windows)
    rated_capacity_ah = rated_capacity_ah or [None] * len(windows)
    asked = []
    for cycles, hours, rated in zip(windows, rest_hours, rated_capacity_ah, strict=True):
        if len(cycles) < model.window:
            raise TooFewCyclesError(f"{len(cycles)} cycles, the model needs {model.window}")
        last = cycles[-model.window :]
        asked += window.cut(_choose(model, last), last, model.window, hours, rated)
    return window.answer(asked)


def predict(
    model: Model,
    histories: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None] | None = None,
    rated_capacity_ah: Sequence[float | None] | None = None,
) -> list[Prediction]:
    """Predict as `answers`; raises the first WindowError."""
    made = answers(model, histories, rest_hours, rated_capacity_ah)
    for answer in made:
        if isinstance(answer, WindowError):
            raise answer
    return [answer for answer in made if isinstance(answer, Prediction)]


def one_steps(
    model: Model, history: Sequence[Cycle], rated_capacity_ah: float | None = None
) -> list[Prediction | None]:
    """Predict every cycle that has a window before it, from that window and nothing after it.

    The last one is the cycle still to come. Of the others the rests before them are known in
    hindsight. None stands where the window lacks a feature or tells no state of health.
    """
    forecaster = _choose(model, history)
    asked = window.cut(forecaster, history, model.window, None, rated_capacity_ah)
    return _predictions(window.answer(asked))


def backtest(model: Model, history: Sequence[Cycle]) -> list[Prediction | None]:
    """Predict after each past cycle that ends a window what `predict` would have said then.

    Unlike `one_steps`, not even the rest before the coming cycle is known. None stands where the
    window lacks a feature or tells no state of health.
    """
    ends = range(model.window, len(history) + 1)
    return _predictions(answers(model, [history[end - model.window : end] for end in ends]))


def unlike_training(
    model: Model, history: Sequence[Cycle], rated_capacity_ah: float | None = None
) -> list[str]:
    """Name what is unlike training in the last window, or in as many cycles as there are.

    It is the verdict that `answers` gives, for forecasts that need no whole window.
    """
    cycles = history[-model.window :]
    forecaster = _choose(model, cycles)
    (asked,) = window.cut(forecaster, cycles, len(cycles), None, rated_capacity_ah)
    return asked.unlike_training()


def course(history: Sequence[Cycle]) -> Course:
    """Return the ground truths among all of a battery's cycles so far, for `forecast`."""
    soh, age = data.measured(history, ["soh_target", "equivalent_full_cycles"]).T
    known = np.isfinite(soh)
    cycle = np.arange(1.0, len(history) + 1)
    last_age = float(age[-1]) if len(age) else 0.0
    return Course(cycle[known], age[known], soh[known], len(history), last_age)


def forecast(
    model: Model,
    course: Course,
    horizon: int,
    next_soh: tuple[float, float, float] | None = None,
    is_unlike_training: bool = False,
) -> Trajectory:
    """Forecast the SOH of each of the next `horizon` cycles of a battery, as `Fade.forecast`.

    The first of them is `next_soh`, the SOH of the next cycle with its interval, where it is given.
    The intervals of a battery unlike those in training are wider: see `Trajectory.widened`.
    """
    if len(course.soh) == 0:
        raise TooFewCyclesError("no cycle with a known state of health: one at least is needed")
    made = model.spec.fade.forecast(course, horizon, next_soh)
    if is_unlike_training:
        return made.widened(next_soh[0] if next_soh else float(course.soh[-1]))
    return made


def _predictions(answers: Sequence[Answer]) -> list[Prediction | None]:
    return [it if isinstance(it, Prediction) else None for it in answers]
