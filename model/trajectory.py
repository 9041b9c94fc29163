"""Many cycles ahead of one battery: what is known of it, how far, and in days."""

from collections.abc import Iterator, Sequence

import numpy as np

from model import columns
from model.columns import Array, Cycle
from model.data import TooFewCyclesError
from model.fade import Course, Trajectory
from model.model_file import Model

SPACINGS = 10  # between the last ground truths, whose median tells when the next one is due


def course(history: Sequence[Cycle]) -> Course:
    """Return the ground truths among all of a battery's cycles so far, for `forecast`.

    Of a battery at several operating points those at the last one, as battery_history has them.
    """
    return _course(_marks(history))


def courses(history: Sequence[Cycle]) -> Iterator[Course]:
    """Return the course after each of a battery's cycles, as it was then."""
    marks = _marks(history)
    return (_course(marks[:end]) for end in range(1, len(marks) + 1))


def _marks(history: Sequence[Cycle]) -> Array:
    names = ["soh_target", "equivalent_full_cycles", "operating_point"]
    return columns.measured(history, names).reshape(-1, len(names))


def _course(marks: Array) -> Course:
    soh, age, point = marks.T
    age, point = np.nan_to_num(age), np.nan_to_num(point, nan=1.0)
    known = np.isfinite(soh)
    if known.any():
        known &= point == point[known][-1]
    cycle = np.arange(1.0, len(marks) + 1)
    last_age = float(age[-1]) if len(age) else 0.0
    return Course(cycle[known], age[known], soh[known], len(marks), last_age)


def next_truth(course: Course) -> int:
    """Number of the cycle that is due to have the next ground truth, at their present spacing."""
    spacing = np.median(np.diff(course.cycle[-SPACINGS - 1 :])) if len(course.cycle) > 1 else 1.0
    return max(int(course.cycle[-1] + np.round(spacing)), course.last_cycle + 1)


def is_due(course: Course) -> bool:
    """Tell whether the next cycle is due to have a ground truth; a network tells of no other."""
    return len(course.soh) > 0 and next_truth(course) == course.last_cycle + 1


def forecast(
    model: Model,
    course: Course,
    horizon: int,
    next_soh: tuple[float, float, float] | None = None,
    is_beyond: bool = False,
    is_unlike_training: bool = False,
) -> Trajectory:
    """Forecast the SOH of each of the next `horizon` cycles of a battery, as `Fade.forecast`.

    A battery with cycles beyond what `spec` learned from goes on as those of the fleet fade, where
    there is a fleet model. Of one unlike training intervals are wider: see `Trajectory.widened`.
    Raises TooFewCyclesError without a ground truth.
    """
    if len(course.soh) == 0:
        raise TooFewCyclesError("no cycle with a known state of health: one at least is needed")
    by = model.fleet if model.fleet and is_beyond else model.spec
    made = by.fade.forecast(course, horizon, next_soh)
    if is_unlike_training:
        return made.widened(next_soh[0] if next_soh else float(course.soh[-1]))
    return made


def in_days(cycles: int | None, hours_per_cycle: float | None) -> float | None:
    """Cycles at a battery's pace, in days; None where either is not known."""
    return None if cycles is None or hours_per_cycle is None else cycles * hours_per_cycle / 24
