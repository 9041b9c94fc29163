"""A model file: a network, its intervals, its fade, and how all of it was made.

What is served together was trained together: by what the files say of their batteries.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.config import Config
from model.data import ModelError, Series
from model.fade import Fade
from model.familiarity import Familiarity
from model.intervals import Interval
from model.network import Network


class MismatchError(ModelError):
    """Two model files side by side were not trained together."""


class Forecaster(nn.Module):
    """All that training leaves behind for one set of features; its state dict is a model file."""

    rated_capacity_ah: Tensor
    capacity_line: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}
        self.network = Network(config)
        self.interval = Interval()
        self.familiarity = Familiarity(config.measured)
        self.fade = Fade()
        self.register_buffer("rated_capacity_ah", torch.ones((), dtype=torch.float64))
        self.register_buffer("capacity_line", torch.zeros(2, dtype=torch.float64))

    def learn_capacity(self, training: list[Series]) -> None:
        """Learn, from training batteries, what SOH means in Ah, and a line from time to capacity.

        The line stands in where a caller knows neither a cycle's discharge capacity nor its load.
        """
        capacity = np.concatenate([series.capacity_ah for series in training])
        soh = np.concatenate([series.soh for series in training])
        time_s = np.concatenate([series.time_s for series in training])
        known = np.isfinite(soh) & (soh > 0) & np.isfinite(time_s)
        rated = float(np.median(capacity[known] / soh[known]))
        self.rated_capacity_ah = torch.tensor(rated, dtype=torch.float64)
        self.capacity_line = torch.as_tensor(np.polyfit(time_s[known], capacity[known], 1).copy())

    def get_extra_state(self) -> str:
        return json.dumps({"config": asdict(self.config), "card": self.card})

    def set_extra_state(self, state: str) -> None:
        self.card = json.loads(state)["card"]


@dataclass(frozen=True)
class Model:
    """A model file, and the one beside it that knows of rests, where there is one."""

    spec: Forecaster
    extended: Forecaster | None
    version: str  # first 12 hexadecimal digits of the SHA-256 of the file, or of both in a row

    @property
    def window(self) -> int:
        """Cycles that a forecast is made from."""
        return self.spec.config.window

    @property
    def networks(self) -> list[Forecaster]:
        """Those that answer, by what a window tells."""
        return [self.spec, self.extended] if self.extended else [self.spec]

    @property
    def card(self) -> dict[str, Any]:
        """How the model was made and how it did (see `train.card`), the extended one beside it."""
        if not self.extended:
            return self.spec.card
        other = self.extended.card
        test = {
            battery_id: methods | {"extended model": other["test"][battery_id]["model"]}
            for battery_id, methods in self.spec.card["test"].items()
            if battery_id in other["test"]
        }
        return self.spec.card | {"test": test, "features": other["features"]}


def extended_path(path: Path) -> Path:
    """Return where the model that knows of rests lies, beside the one at `path`."""
    return path.with_name(f"{path.stem}_extended{path.suffix}")


def load(path: Path) -> Model:
    """Load a model file, and its extended companion.

    Raises ModelError when it cannot be had; MismatchError when the two were not trained together.
    """
    beside = extended_path(path)
    spec, content = load_one(path)
    extended = None
    if beside.exists():
        extended, more = load_one(beside)
        content += more
        if differ := _difference(spec, extended):
            config = spec.config
            raise MismatchError(
                f"{beside} does not belong to {path}: {differ}; remove it, or train it again with "
                f"`python -m model.train --train {' '.join(config.train)} --test "
                f"{' '.join(config.test)} --window {config.window} --features extended`"
            )
    return Model(spec, extended, hashlib.sha256(content).hexdigest()[:12])


def cycles_fingerprint(training: Sequence[Series]) -> str:
    """Return a checksum of the cycles that a model learns from, the same for any features."""
    digest = hashlib.sha256()
    for it in training:
        digest.update(it.battery_id.encode())
        for values in (it.cycle_index, it.time_s, it.capacity_ah, it.soh):
            digest.update(values.tobytes())
    return digest.hexdigest()[:12]


def _difference(spec: Forecaster, extended: Forecaster) -> str | None:
    """Say in what the training of two files differs; None if in nothing."""
    for said, one, other in (
        ("trained on", spec.config.train, extended.config.train),
        ("tested on", spec.config.test, extended.config.test),
    ):
        if set(one) != set(other):
            return f"it was {said} {', '.join(other)}, not on {', '.join(one)}"
    if spec.config.window != extended.config.window:
        return f"its window is {extended.config.window} cycles, not {spec.config.window}"
    if spec.card.get("learned_from") != extended.card.get("learned_from"):
        return f"it learned from other cycles of {', '.join(extended.config.train)}"
    return None


def load_one(path: Path) -> tuple[Forecaster, bytes]:
    """Load a model file, with its content; raises ModelError when it cannot be had."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"no model at {path}: train one with `python -m model.train`") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    try:
        state = torch.load(io.BytesIO(content), weights_only=True)
        saved: dict[str, Any] = json.loads(state["_extra_state"])["config"]
        for name in ("train", "test", "features"):
            saved[name] = tuple(saved[name])
        forecaster = Forecaster(Config(**saved))
        for name, buffer in forecaster.named_buffers():  # some are as long as the training data
            buffer.resize_(state[name].shape)
        forecaster.load_state_dict(state)
    except (EOFError, UnpicklingError, KeyError, TypeError, ValueError, RuntimeError):
        raise ModelError(
            f"{path} is not a model of this version: train again with `python -m model.train`"
        ) from None
    return forecaster.eval(), content
