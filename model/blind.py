"""What a network says of a battery that it has not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model import data, fleet, window_fleet
from model.columns import Array, last_known
from model.data import Series, TooFewCyclesError
from model.model_file import FleetForecaster, Forecaster, Trained
from model.window import Prediction, answer


@dataclass(frozen=True)
class Tested:
    """What was said of a battery's cycles, each before it began."""

    cycle_index: NDArray[np.int64]  # [cycles]
    predicted: Array  # [cycles], SOH
    target: Array  # [cycles], as measured
    last_soh: Array  # [cycles], the last known before


def test(made: Trained, series: Series) -> Tested:
    """Forecast each cycle of a battery from the window before it."""
    if isinstance(made, Forecaster):
        windows = data.windows(series, made.config.window)
        predicted = made.network.run(windows.inputs, windows.last_soh)
        return Tested(windows.cycle_index, predicted, windows.target, windows.last_soh)
    assert isinstance(made, FleetForecaster)
    answers = answer(window_fleet.past(made, series, made.config.window))
    said = np.array(
        [it.soh if isinstance(it, Prediction) else None for it in answers], dtype=np.float64
    )
    first = fleet.SHORTEST
    target, last = series.soh[first:], last_known(series.soh)[first - 1 : -1]
    known = np.isfinite(said) & np.isfinite(target)
    if not known.any():
        raise TooFewCyclesError(
            f"{series.battery_id} has too few cycles: {len(series.soh)}; {first} and the cycle "
            "after them are needed, with ground truth"
        )
    number = series.cycle_index[first:]
    return Tested(number[known], said[known], target[known], last[known])
