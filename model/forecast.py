"""How a model is asked for a forecast: all of this package that api imports."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model import data
from model.data import Array, ModelError, TooFewCyclesError, UnknownBatteryError, listed
from model.fade import Trajectory
from model.forecaster import Cycle, Forecaster, Model, extended_path, load

__all__ = [
    "Forecaster",
    "Model",
    "ModelError",
    "Prediction",
    "TooFewCyclesError",
    "Trajectory",
    "UnknownBatteryError",
    "extended_path",
    "forecast",
    "lacking",
    "listed",
    "load",
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


def forecast(model: Model, soh: Sequence[float], horizon: int) -> Trajectory:
    """Continue a battery's SOH, one value for each of its past cycles, for `horizon` cycles."""
    if len(soh) == 0:
        raise TooFewCyclesError("no cycle with a known state of health: one at least is needed")
    return model.spec.fade.forecast(np.asarray(soh, dtype=np.float64), horizon)


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
    soh: Array  # [windows], predicted
    errors: Array  # [windows - 1], of these but the last; NaN where the truth is not known
    inputs: Array  # [windows, window, names + 2]
    rest_hours: float
    is_rest_given: bool

    def prediction(self, at: int, unlike: list[str]) -> Prediction:
        """Return the prediction made from window `at`, with an interval from the errors before."""
        errors = self.errors[:at]
        half = self.forecaster.interval.half_width(errors[np.isfinite(errors)])
        soh = float(self.soh[at])
        is_told = bool(self.forecaster.config.rests) and at == len(self.soh) - 1
        return Prediction(
            soh=soh,
            soh_low=max(soh - half, 0.0),
            soh_high=soh + half,
            capacity_ah=soh * _rated_capacity_ah(self.forecaster, self.history),
            features=self.forecaster.config.preset,
            rest_hours=self.rest_hours if is_told else None,
            rest_source=("given" if self.is_rest_given else "window median") if is_told else None,
            unlike_training=unlike,
        )


def _run(
    forecaster: Forecaster,
    histories: Sequence[Sequence[Cycle]],
    rest_hours: Sequence[float | None],
) -> list[_Run]:
    """Run the network over every window of every history, in one pass."""
    window = forecaster.config.window
    inputs, last_soh, truths, rests = [], [], [], []
    for history, given in zip(histories, rest_hours, strict=True):
        measured = data.measured(history, forecaster.config.measured)
        after, hours = _rests_after(forecaster, history, given)
        inputs.append(_all_windows(np.hstack([measured, after]), window))
        truth, known = _soh(forecaster, history)
        truths.append(truth)
        last_soh.append(known)
        rests.append(hours)
    everything = np.concatenate(inputs)
    ends = np.cumsum([len(it) for it in inputs])[:-1]
    predicted = np.split(forecaster.network.run(everything, np.concatenate(last_soh)), ends)
    return [
        _Run(
            forecaster=forecaster,
            history=history,
            soh=soh,
            errors=soh[:-1] - truth[1:],
            inputs=cut,
            rest_hours=hours,
            is_rest_given=given is not None,
        )
        for history, soh, truth, cut, hours, given in zip(
            histories, predicted, truths, inputs, rests, rest_hours, strict=True
        )
    ]


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
    parts = np.array([(*data.rests(it), it.get("rest_hours")) for it in history], dtype=float)
    window = parts[-forecaster.config.window :]
    window = window[np.isfinite(window[:, 2])]  # [cycles that tell of rest, 3]
    if not len(window):
        return np.vstack([parts[1:, :2], (0.0, given or 0.0)]), given or 0.0
    charging = np.maximum(window[:, 2] - window[:, 0] - window[:, 1], 0)
    after, before, hours, charging = np.median(np.column_stack([window, charging]), axis=0).tolist()
    if given is not None:
        idle = max(given - charging, 0.0)
        before = min(before, idle)
        after, hours = idle - before, given
    return np.vstack([parts[1:, :2], (after, before)]), hours


def _all_windows(rows: Array, window: int) -> Array:
    """Cut all windows of consecutive rows, [cycles, inputs] to [windows, window, inputs]."""
    cut: Array = np.lib.stride_tricks.sliding_window_view(rows, window, axis=0)
    return cut.transpose(0, 2, 1)
