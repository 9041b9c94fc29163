"""How a model is asked for a forecast: all of this package that api imports."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model import data
from model.data import Array, ModelError, TooFewCyclesError, UnknownBatteryError, listed
from model.fade import Course, Trajectory
from model.intervals import MEMORY
from model.model_file import Cycle, Forecaster, Model, extended_path, load
from model.trajectory import course, courses, forecast, in_days, next_by_network, next_truth

__all__ = [
    "Course",
    "Forecaster",
    "Model",
    "ModelError",
    "Prediction",
    "TooFewCyclesError",
    "Trajectory",
    "UnknownBatteryError",
    "backtest",
    "course",
    "courses",
    "extended_path",
    "forecast",
    "in_days",
    "lacking",
    "listed",
    "load",
    "next_by_network",
    "next_truth",
    "one_steps",
    "predict",
]


@dataclass(frozen=True)
class Prediction:
    """The forecast of one cycle ahead."""

    soh: float  # a fraction
    soh_low: float  # 90 % interval
    soh_high: float
    capacity_ah: float  # soh × rated capacity: the battery's own where known, else in training
    features: str  # "spec", "extended" or "custom": which network answered
    rest_hours: float | None  # rest before the cycle that was reckoned with
    rest_source: str | None  # "given" or "window median"
    unlike_training: list[str]  # features of the window that no training window resembles


def lacking(model: Model, history: Sequence[Cycle]) -> str | None:
    """Say what the last window of a history lacks that no network can do without; None if nothing.

    A history shorter than a window lacks nothing by this.
    """
    window = history[-model.window :]
    names = model.spec.config.measured
    absent = np.isnan(data.measured(window, names))
    for at, name in enumerate(names):
        if absent[:, at].all():
            sensor = ": is there no temperature sensor?" if name == "max_temperature" else ""
            return (
                f"none of the last {len(window)} cycles has {name}, which the network needs{sensor}"
            )
        if absent[:, at].any():
            count = int(absent[:, at].sum())
            return f"{count} of the last {len(window)} cycles lack {name}, which the network needs"
    return None


def predict(
    model: Model,
    histories: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None] | None = None,
) -> list[Prediction]:
    """Predict the SOH of the cycle after each history, all in one pass of each network.

    A history is `model.window` cycles or more in time order, each with the features of
    cycle_series; those before the window show how far earlier forecasts were off, and adapt the
    interval.
    `rest_hours` is the time between the last discharge and the cycle to predict; where it is not
    given, the median of the window stands in. Histories that tell of rests are answered by the
    extended network, where there is one.
    """
    rest_hours = rest_hours or [None] * len(histories)
    answers: dict[int, Prediction] = {}
    for forecaster in filter(None, (model.spec, model.extended)):
        members = [row for row, it in enumerate(histories) if _choose(model, it) is forecaster]
        if members:
            runs = _run(
                forecaster,
                [histories[row] for row in members],
                [rest_hours[row] for row in members],
                is_last_only=True,
            )
            unlike = forecaster.familiarity.unlike(np.stack([run.inputs[-1] for run in runs]))
            for row, run, names in zip(members, runs, unlike, strict=True):
                answers[row] = run.prediction(len(run.soh) - 1, names)
    return [answers[row] for row in range(len(histories))]


def one_steps(model: Model, history: Sequence[Cycle]) -> list[Prediction | None]:
    """Predict every cycle that has a window before it, from that window and nothing after it.

    The last one is the cycle still to come. The interval of each follows the errors before it.
    None stands where the window lacks a feature.
    """
    (run,) = _run(_choose(model, history), [history], [None])
    unlike = run.forecaster.familiarity.unlike(run.inputs)
    return [
        run.prediction(at, names) if np.isfinite(run.soh[at]) else None
        for at, names in enumerate(unlike)
    ]


def backtest(model: Model, history: Sequence[Cycle]) -> list[Prediction | None]:
    """Predict after each past cycle that ends a window what `predict` would have said then.

    Unlike `one_steps`, not even the rest before the coming cycle is known. The interval follows the
    errors before, as they were found then: with the rests that had come. None stands where the
    window lacks a feature.
    """
    ends = range(model.window, len(history) + 1)
    chosen = [_choose(model, history[end - model.window : end]) for end in ends]
    answers: list[Prediction | None] = [None] * len(chosen)
    for forecaster in filter(None, (model.spec, model.extended)):
        members = [at for at, it in enumerate(chosen) if it is forecaster]
        if not members:
            continue
        (run,) = _run(forecaster, [history], [None])
        run = _as_then(run)
        unlike = forecaster.familiarity.unlike(run.inputs)
        for at in members:
            if np.isfinite(run.soh[at]):
                answers[at] = run.prediction(at, unlike[at])
    return answers


def _choose(model: Model, history: Sequence[Cycle]) -> Forecaster:
    """The extended network where there is one and the window tells of rests, else the other."""
    window = history[-model.window :]
    knows_rests = any(cycle.get("rest_hours") is not None for cycle in window)
    return model.extended if model.extended and knows_rests else model.spec


@dataclass(frozen=True)
class _Run:
    """A forecaster's output for every window of one history, the last of them still to come."""

    forecaster: Forecaster
    history: Sequence[Cycle]
    soh: Array  # [windows], predicted; NaN where the network was not asked, or could not tell
    errors: Array  # [windows - 1], of these but the last; NaN where the truth is not known
    inputs: Array  # [windows, window, names + 2]
    last_soh: Array  # [windows], the last SOH known within the window
    rest_hours: list[float | None]  # [windows], what stood for a rest still to come
    is_rest_given: bool

    def prediction(self, at: int, unlike: list[str]) -> Prediction:
        """Return the prediction made from window `at`, with an interval from the errors before."""
        errors = self.errors[:at]
        half = self.forecaster.interval.half_width(errors[np.isfinite(errors)])
        soh = float(self.soh[at])
        past = self.history[: at + self.forecaster.config.window]
        is_told = self.rest_hours[at] is not None
        return Prediction(
            soh=soh,
            soh_low=max(soh - half, 0.0),
            soh_high=soh + half,
            capacity_ah=soh * _rated_capacity_ah(self.forecaster, past),
            features=self.forecaster.config.preset,
            rest_hours=self.rest_hours[at],
            rest_source=("given" if self.is_rest_given else "window median") if is_told else None,
            unlike_training=unlike,
        )


def _run(
    forecaster: Forecaster,
    histories: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None],
    is_last_only: bool = False,
) -> list[_Run]:
    """Run the network over every window of every history, in one pass.

    Where only the last prediction of each counts, the others are those that its interval follows.
    """
    window = forecaster.config.window
    runs, counts = [], []
    for history, given in zip(histories, rest_hours, strict=True):
        measured = data.measured(history, forecaster.config.measured)
        after, hours = _rests_after(forecaster, history, given)
        inputs = _all_windows(np.hstack([measured, after]), window)
        truth, known = _soh(forecaster, history)
        told: list[float | None] = [None] * len(inputs)
        if forecaster.config.rests:
            told[-1] = hours
        runs.append(
            _Run(
                forecaster=forecaster,
                history=history,
                soh=np.full(len(inputs), np.nan),
                errors=-truth[1:],
                inputs=inputs,
                last_soh=known,
                rest_hours=told,
                is_rest_given=given is not None,
            )
        )
        counts.append(_counting(inputs, truth) if is_last_only else np.arange(len(inputs)))
    predicted = forecaster.network.run(
        np.concatenate([run.inputs[rows] for run, rows in zip(runs, counts, strict=True)]),
        np.concatenate([run.last_soh[rows] for run, rows in zip(runs, counts, strict=True)]),
    )
    ends = np.cumsum([len(rows) for rows in counts])[:-1]
    for run, rows, soh in zip(runs, counts, np.split(predicted, ends), strict=True):
        run.soh[rows] = soh
        run.errors[:] += run.soh[:-1]
    return runs


def _counting(inputs: Array, truth: Array) -> Array:
    """Rows of the last window and of those whose errors its interval follows."""
    is_told = np.isfinite(truth[1:]) & np.isfinite(inputs[:-1]).all(axis=(1, 2))
    return np.append(np.flatnonzero(is_told)[-MEMORY:], len(inputs) - 1)


def _as_then(run: _Run) -> _Run:
    """Predict again from every window what was predicted when its cycle had yet to come."""
    config = run.forecaster.config
    if not config.rests:
        return run
    parts = _rest_parts(run.history)
    coming = [
        _coming_rest(parts[at : at + config.window], None) for at in range(len(run.inputs))
    ]  # [windows, 3]
    inputs = run.inputs.copy()
    inputs[:, -1, len(config.measured) :] = np.array(coming)[:, :2]
    return replace(
        run,
        soh=run.forecaster.network.run(inputs, run.last_soh),
        rest_hours=[hours for _, _, hours in coming],
    )


def _soh(forecaster: Forecaster, history: Sequence[Cycle]) -> tuple[Array, Array]:
    """SOH of each window's last cycle as measured, NaN where it is not known, and as carried on.

    Both [windows]. Where no truth is known yet, a cycle's charge serves.
    """
    first = forecaster.config.window - 1
    truth = np.array([forecaster.soh_of(cycle) for cycle in history[first:]])
    known = truth
    if np.isnan(truth).any():
        earlier = [forecaster.soh_of(cycle) for cycle in history[:first]]
        known = data.last_known(np.concatenate([earlier, truth]))[first:]
        for row in np.flatnonzero(np.isnan(known)).tolist():
            known[row] = forecaster.charge_of(history[first + row])
    return truth, known


def _rated_capacity_ah(forecaster: Forecaster, history: Sequence[Cycle]) -> float:
    for cycle in history:
        if cycle.get("soh_target"):
            return float(cycle["discharge_capacity"] / cycle["soh_target"])
    return float(forecaster.rated_capacity_ah)


def _rests_after(
    forecaster: Forecaster, history: Sequence[Cycle], given: float | None
) -> tuple[Array, float]:
    """Hours of rest, discharged and charged, after each cycle [cycles, 2]; the coming time in all.

    The last of them is still to come. Charging and the rest after it take as long as they did in
    the middle of the window; what is left of the time given is rest before charging. Where none is
    given, all of it is as in the middle of the window.
    """
    if not forecaster.config.rests:
        return np.zeros((len(history), 2)), 0.0
    parts = _rest_parts(history)
    after, before, hours = _coming_rest(parts[-forecaster.config.window :], given)
    return np.vstack([parts[1:, :2], (after, before)]), hours


def _rest_parts(history: Sequence[Cycle]) -> Array:
    """Hours of rest before each cycle, discharged, charged, and with the charge, [cycles, 3]."""
    return np.array([(*data.rests(it), it.get("rest_hours")) for it in history], dtype=float)


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


def _all_windows(rows: Array, window: int) -> Array:
    """Cut all windows of consecutive rows, [cycles, inputs] to [windows, window, inputs]."""
    cut: Array = np.lib.stride_tricks.sliding_window_view(rows, window, axis=0)
    return cut.transpose(0, 2, 1)
