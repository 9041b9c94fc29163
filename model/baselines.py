"""What a network has to beat on the same windows: nothing changes, drift, ridge, boosting."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from model.columns import Array
from model.config import Config
from model.data import Windows

Fit = Callable[[Array, Array], Callable[[Array], Array]]

PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
ROUNDS = (20, 50, 100)
LAGS = 16  # past capacities of the public protocol


def predictions(config: Config, training: list[Windows], test: Windows) -> dict[str, Array]:
    """Predict the SOH [windows] after each test window by every baseline.

    The penalty of ridge and the rounds of boosting are chosen by leaving training batteries out.
    """
    inputs = [_flat(config, windows) for windows in training]
    changes = [windows.target - windows.last_soh for windows in training]
    tested = _flat(config, test)
    ridge = choose([_ridge(penalty) for penalty in PENALTIES], inputs, changes)
    boosting = choose([_boosting(rounds) for rounds in ROUNDS], inputs, changes)
    everything, change = np.concatenate(inputs), np.concatenate(changes)
    return {
        "persistence": test.last_soh,
        "drift": test.last_soh + change.mean(),
        "ridge": test.last_soh + ridge(everything, change)(tested),
        "boosting": test.last_soh + boosting(everything, change)(tested),
    }


def public_protocol(capacities: dict[str, Array]) -> dict[str, dict[str, float]]:
    """Leave each battery out: 16 past capacities [cycles] in Ah to the next; RMSE in Ah by method.

    Targets from cycle 17 on. The method, ridge on the changes within the 16, and its penalty are
    chosen by leaving out, in turn, the batteries it may learn from.
    """
    result = {}
    for left_out, capacity in capacities.items():
        lags = [_lags(it) for name, it in capacities.items() if name != left_out]
        inputs, changes = [it[0] for it in lags], [it[1] for it in lags]
        candidates = [
            _columns(_ridge(penalty), recent)
            for penalty in PENALTIES
            for recent in (0, 5, LAGS - 1)
        ]
        fit = choose(candidates, inputs, changes)
        own_inputs, own_changes = _lags(capacity)
        predicted = fit(np.concatenate(inputs), np.concatenate(changes))(own_inputs)
        result[left_out] = {
            "ridge": float(np.sqrt(((predicted - own_changes) ** 2).mean())),
            "persistence": float(np.sqrt((own_changes**2).mean())),
        }
    return result


def choose(candidates: list[Fit], inputs: list[Array], changes: list[Array]) -> Fit:
    """Return the candidate with the least mean RMSE on batteries left out of those given."""

    def score(fit: Fit) -> float:
        errors = []
        for row, (own_inputs, own_changes) in enumerate(zip(inputs, changes, strict=True)):
            others = [other for other in range(len(inputs)) if other != row]
            predict = fit(
                np.concatenate([inputs[other] for other in others]),
                np.concatenate([changes[other] for other in others]),
            )
            errors.append(np.sqrt(((predict(own_inputs) - own_changes) ** 2).mean()))
        return float(np.mean(errors))

    return min(candidates, key=score)


def _flat(config: Config, windows: Windows) -> Array:
    """Lay a window out as one row, as the network sees it: relative to its last cycle."""
    inputs = windows.inputs[:, :, config.columns]
    count = len(config.measured)
    measured = inputs[:, :, :count] - inputs[:, -1:, :count]
    rests = np.log1p(inputs[:, :, count:])
    return np.concatenate([measured, rests], axis=2).reshape(len(windows.target), -1)


def _ridge(penalty: float) -> Fit:
    def fit(inputs: Array, change: Array) -> Callable[[Array], Array]:
        spread = inputs.std(axis=0) + 1e-9
        fitted = Ridge(alpha=penalty).fit(inputs / spread, change)
        return lambda rows: np.asarray(fitted.predict(rows / spread))

    return fit


def _boosting(rounds: int) -> Fit:
    def fit(inputs: Array, change: Array) -> Callable[[Array], Array]:
        fitted = HistGradientBoostingRegressor(
            max_iter=rounds,
            learning_rate=0.05,
            min_samples_leaf=10,
            max_leaf_nodes=8,
            random_state=0,
        ).fit(inputs, change)
        return lambda rows: np.asarray(fitted.predict(rows))

    return fit


def _columns(fit: Fit, recent: int) -> Fit:
    """Let a method see only the most recent columns; with none it knows the mean change alone."""

    def narrowed(inputs: Array, change: Array) -> Callable[[Array], Array]:
        if not recent:
            return lambda rows: np.full(len(rows), change.mean())
        predict = fit(inputs[:, -recent:], change)
        return lambda rows: predict(rows[:, -recent:])

    return narrowed


def _lags(capacity: Array) -> tuple[Array, Array]:
    """Past capacities relative to the last, [targets, 15]; the change to the next, [targets]."""
    past = sliding_window_view(capacity[:-1], LAGS)
    return past[:, :-1] - past[:, -1:], capacity[LAGS:] - past[:, -1]
