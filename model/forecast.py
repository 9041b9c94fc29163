"""The forecast as a service needs it: load a model, predict from cycles. All that api imports."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from model.data import ModelError, TooFewCyclesError, UnknownBatteryError
from model.network import Network, from_state

__all__ = ["ModelError", "TooFewCyclesError", "UnknownBatteryError"]
END_OF_LIFE_SOH = 0.7
HALF_INTERVAL = 0.02


@dataclass(frozen=True)
class Model:
    """A loaded model."""

    network: Network
    window: int
    version: str
    card: dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """The next cycle's state of health, with its 90 % interval."""

    soh: float
    soh_low: float
    soh_high: float
    capacity_ah: float
    features: str
    rest_hours: float | None
    rest_source: str | None
    unlike_training: list[str]


@dataclass(frozen=True)
class Trajectory:
    """State of health of the cycles to come."""

    soh: list[float]
    soh_low: list[float]
    soh_high: list[float]
    end_of_life: int | None
    end_of_life_low: int | None
    end_of_life_high: int | None


def load(path: Path) -> Model:
    """Load a state dict that the trainer wrote; raises ModelError when there is none to be had."""
    try:
        content = path.read_bytes()
        network = from_state(torch.load(io.BytesIO(content), weights_only=True))
    except FileNotFoundError:
        raise ModelError(f"no model at {path}: train one with `python -m model.train`") from None
    except (OSError, EOFError, UnpicklingError, KeyError, TypeError, RuntimeError):
        raise ModelError(
            f"{path} is not a model of this version: train again with `python -m model.train`"
        ) from None
    report = path.with_name("metrics.json")
    card = json.loads(report.read_text()) if report.exists() else {}
    version = hashlib.sha256(content).hexdigest()[:12]
    return Model(network, network.config.window, version, card)


def predict(
    model: Model,
    windows: Sequence[Sequence[Mapping[str, float]]],
    rest_hours: Sequence[float | None] | None = None,
) -> list[Prediction]:
    """Predict the SOH (a fraction) of the cycle that follows each window, in one forward pass."""
    names = model.network.config.features
    values = [[[cycle[name] for name in names] for cycle in window] for window in windows]
    with torch.inference_mode():
        soh = model.network(torch.as_tensor(np.array(values), dtype=torch.float32)).tolist()
    rests = rest_hours or [None] * len(windows)
    return [
        Prediction(it, it - HALF_INTERVAL, it + HALF_INTERVAL, it * 2, "spec", rest,
                   None if rest is None else "given", [])
        for it, rest in zip(soh, rests, strict=True)
    ]  # fmt: skip


def forecast(model: Model, soh: Sequence[float], horizon: int) -> Trajectory:
    """Draw the line of the last cycles on."""
    past = np.asarray(soh[-50:])
    slope = np.polyfit(np.arange(len(past)), past, 1)[0] if len(past) > 1 else 0.0
    ahead = np.arange(1, horizon + 1)
    middle = past[-1] + slope * ahead
    spread = HALF_INTERVAL * np.sqrt(1 + ahead / 10)

    def reached(line: Any) -> int | None:
        below = np.flatnonzero(line < END_OF_LIFE_SOH)
        return int(below[0]) + 1 if len(below) else None

    return Trajectory(
        middle.tolist(),
        (middle - spread).tolist(),
        (middle + spread).tolist(),
        reached(middle),
        reached(middle - spread),
        reached(middle + spread),
    )
