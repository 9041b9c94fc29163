"""The forecast as a service needs it: load a model, predict from cycles. All that api imports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from psycopg2.extensions import connection

from model import data
from model.data import ModelError, TooFewCyclesError, UnknownBatteryError
from model.network import Network, from_state

__all__ = [
    "ModelError",
    "Network",
    "TooFewCyclesError",
    "UnknownBatteryError",
    "last_cycles",
    "load",
    "predict",
]


def load(path: Path) -> Network:
    """Load a state dict that the trainer wrote; raises ModelError when there is none to be had."""
    try:
        return from_state(torch.load(path, weights_only=True))
    except FileNotFoundError:
        raise ModelError(f"no model at {path}: train one with `python -m model.train`") from None
    except (OSError, EOFError, UnpicklingError, KeyError, TypeError, RuntimeError):
        raise ModelError(
            f"{path} is not a model of this version: train again with `python -m model.train`"
        ) from None


def predict(network: Network, cycles: Sequence[Mapping[str, float]]) -> float:
    """Predict the SOH (a fraction) of the cycle that follows.

    `cycles` are `network.config.window` cycles in time order, each with the features the network
    was trained on, in the units of cycle_series.
    """
    names = network.config.features
    window = np.array([[cycle[name] for name in names] for cycle in cycles])
    with torch.no_grad():
        return float(network(torch.as_tensor(window, dtype=torch.float32)[None])[0])


def last_cycles(
    database: connection, battery_id: str, network: Network
) -> tuple[list[dict[str, float]], int]:
    """Read a battery's last window from cycle_series, and the number of the cycle it ends with.

    Raises UnknownBatteryError, TooFewCyclesError, or ModelError before dbt has run.
    """
    names, window = network.config.features, network.config.window
    (series,) = data.read(database, [battery_id], names)
    rows = series.features[-window:].tolist()
    if len(rows) < window:
        raise TooFewCyclesError(f"{battery_id} has {len(rows)} cycles, {window} are needed")
    return [dict(zip(names, row, strict=True)) for row in rows], int(series.cycle_index[-1])
