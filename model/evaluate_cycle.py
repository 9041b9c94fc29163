"""Measures networks of `spec` and `extended` one cycle ahead, on batteries they did not learn from.

Beside each stand doing nothing, drift, ridge and boosting on the same windows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from model import baselines, data, fit_window, scores
from model.asked import after_each
from model.columns import Array
from model.config import Config
from model.data import Series, Windows
from model.model_file import Forecaster
from model.window_fixed import FixedWindows


def measure(
    config: Config, training: Sequence[Series], tests: Sequence[Series], seeds: int
) -> dict[str, Any]:
    """Train on some batteries with several seeds, and score each test battery by every method."""
    config = replace(config, train=tuple(it.battery_id for it in training), test=())
    cut = [data.windows(it, config.window) for it in training]
    forecasters = [fit_window.fit(config, training, min(seeds, fit_window.CHOICE_SEEDS))]
    chosen = replace(config, epochs=int(forecasters[0].card["epochs"]))
    for seed in range(1, seeds):
        another = Forecaster(config)
        another.network, _ = fit_window.fit_network(replace(chosen, seed=seed), cut)
        another.interval, another.familiarity = forecasters[0].interval, forecasters[0].familiarity
        forecasters.append(another)
    rated_ah = float(forecasters[0].rated_capacity_ah)
    result = {}
    for test in tests:
        windows = data.windows(test, config.window)
        predicted = [it.network.run(windows.inputs, windows.last_soh) for it in forecasters]
        methods = {
            name: scores.full(values, windows, rated_ah)
            for name, values in baselines.predictions(config, cut, windows).items()
        }
        network = [scores.full(values, windows, rated_ah) for values in predicted]
        result[test.battery_id] = {
            "methods": {"network": scores.mean_and_std(network), **methods},
            "interval": _interval(forecasters[0], predicted, windows, test),
            "unlike_training": _unlike(forecasters[0], test),
            "cycle_index": windows.cycle_index.tolist(),
            "error": (np.mean(predicted, axis=0) - windows.target).tolist(),
        }
    return result


def _interval(
    forecaster: Forecaster, predicted: list[Array], windows: Windows, test: Series
) -> dict[str, float]:
    """Coverage and mean width of the 90 % interval, mean over networks."""
    half = forecaster.interval.half_width() * fit_window.spreads(windows, test)
    within = [(np.abs(values - windows.target) <= half).mean() for values in predicted]
    return {"coverage": float(np.mean(within)), "width": float(2 * half.mean())}


def _unlike(forecaster: Forecaster, test: Series) -> float:
    """Share of a battery's windows that are unlike training."""
    window = forecaster.config.window
    windows = FixedWindows(forecaster, after_each(test.cycles, window, window))
    unlike, _ = windows.verdicts()
    return float(np.mean([bool(names) for names in unlike]))
