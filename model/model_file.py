"""A model file: a network, its intervals, its fade, and how all of it was made.

What is served together was trained together: by what the files say of their batteries.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor, nn

from model.config import Config
from model.data import ModelError, Series
from model.fade import Course, Fade
from model.familiarity import Familiarity
from model.fleet import SHORTEST
from model.fleet_network import FleetNetwork
from model.intervals import Interval
from model.levels import Levels
from model.network import Network, Stack


class MismatchError(ModelError):
    """Two model files side by side were not trained together."""


class Trained(nn.Module):
    """All that training leaves behind but the network; its state dict is a model file."""

    rated_capacity_ah: Tensor
    familiarity: Familiarity
    network: Stack

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}
        self.interval = Interval()
        self.fade = Fade()
        self.register_buffer("rated_capacity_ah", torch.ones((), dtype=torch.float64))

    def learn_batteries(
        self,
        training: Sequence[Series],
        judged_cycles: int,
        groups: Sequence[str] | None = None,
        elsewhere: Sequence[Sequence[Series]] = (),
    ) -> None:
        """Learn what the training batteries are like: their windows, their fade, their rating.

        Of the groups of batteries `elsewhere` the fade learns how much of a pace lasts, no more.
        """
        self.familiarity.fit(training, judged_cycles)
        self.fade.fit(
            [Course.of(series) for series in training],
            None if groups is None else list(groups),
            elsewhere=[[Course.of(series) for series in kin] for kin in elsewhere],
        )
        self.learn_capacity(training)

    def learn_capacity(self, training: Sequence[Series]) -> None:
        """Learn, from training batteries, what SOH means in Ah."""
        capacity = np.concatenate([series.capacity_ah for series in training])
        soh = np.concatenate([series.soh for series in training])
        self.rated_capacity_ah = torch.tensor(
            float(np.median(capacity[soh > 0] / soh[soh > 0])), dtype=torch.float64
        )

    def get_extra_state(self) -> str:
        return json.dumps({"config": asdict(self.config), "card": self.card})

    def set_extra_state(self, state: str) -> None:
        self.card = json.loads(state)["card"]


class Forecaster(Trained):
    """A network that sees windows of one length and certain features."""

    network: Network
    capacity_line: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.network = Network(config)
        self.familiarity = Familiarity(config.measured)
        self.register_buffer("capacity_line", torch.zeros(2, dtype=torch.float64))

    def learn_capacity(self, training: Sequence[Series]) -> None:
        """Learn what SOH means in Ah, and a line from the time to discharge to the capacity.

        It stands in where a caller knows neither a cycle's discharge capacity nor its load.
        """
        super().learn_capacity(training)
        capacity = np.concatenate([series.capacity_ah for series in training])
        soh = np.concatenate([series.soh for series in training])
        time_s = np.concatenate([series.time_s for series in training])
        known = np.isfinite(soh) & (soh > 0) & np.isfinite(time_s)
        self.capacity_line = torch.as_tensor(np.polyfit(time_s[known], capacity[known], 1).copy())


class FleetForecaster(Trained):
    """The network that sees windows of any length, in each battery's own scale."""

    network: FleetNetwork

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.network = FleetNetwork(config)
        self.levels = Levels()
        self.familiarity = Familiarity(("avg_voltage_load", "max_temperature"))


@dataclass(frozen=True)
class Model:
    """A model file, and those beside it: what knows of rests, and what learned from a fleet."""

    spec: Forecaster
    extended: Forecaster | None
    fleet: FleetForecaster | None
    version: str  # first 12 hexadecimal digits of the SHA-256 of all files in a row

    @property
    def window(self) -> int:
        """Most cycles that a forecast is made from, and the least but for the fleet network."""
        return self.spec.config.window

    @property
    def shortest(self) -> int:
        """Least cycles that a forecast is made from."""
        return min(SHORTEST, self.window) if self.fleet else self.window

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the features that a network asks for beside what each forecast does."""
        return self.spec.config.measured

    @property
    def networks(self) -> list[Trained]:
        """Those that answer, by what a window tells."""
        return [it for it in (self.spec, self.extended, self.fleet) if it]

    @cached_property
    def card(self) -> dict[str, Any]:
        """How the model was made and how it did (see `train.card`), the others beside it."""
        card = self.spec.card
        for other in self.networks[1:]:
            test = {
                battery_id: methods | {f"{other.config.preset} model": its["model"]}
                for battery_id, methods in card["test"].items()
                if (its := other.card["test"].get(battery_id))
            }
            card = card | {
                "test": card["test"] | test,
                "features": card["features"] | other.card["features"],
                "simulated": sorted({*card["simulated"], *other.card["simulated"]}),
            }
        return card


def companions(path: Path) -> list[Path]:
    """Return where the models lie that are served beside the one at `path`: extended and fleet."""
    return [path.with_name(f"{path.stem}_{name}{path.suffix}") for name in ("extended", "fleet")]


def load(path: Path) -> Model:
    """Load a model file, and its companions.

    Raises ModelError when one cannot be had; MismatchError when they do not belong together.
    """
    spec, content = load_one(path)
    if not isinstance(spec, Forecaster):
        raise ModelError(
            f"{path} is a fleet model, which is served beside another: model_fleet.pth"
        )
    beside: dict[str, Trained] = {}
    for name, where in zip(("extended", "fleet"), companions(path), strict=True):
        if where.exists():
            beside[name], more = load_one(where)
            content += more
            if differ := _difference(spec, beside[name], name):
                raise MismatchError(f"{where} does not belong to {path}: {differ}")
    extended, fleet = beside.get("extended"), beside.get("fleet")
    assert extended is None or isinstance(extended, Forecaster)
    assert fleet is None or isinstance(fleet, FleetForecaster)
    return Model(spec, extended, fleet, hashlib.sha256(content).hexdigest()[:12])


def cycles_fingerprint(training: Sequence[Series]) -> dict[str, str]:
    """Return a checksum of each battery's cycles to learn from, whatever the features."""
    found = {}
    for it in training:
        digest = hashlib.sha256()
        for values in (it.cycle_index, it.time_s, it.capacity_ah, it.soh):
            digest.update(values.tobytes())
        found[it.battery_id] = digest.hexdigest()[:12]
    return found


def _difference(spec: Trained, other: Trained, name: str) -> str | None:
    """Say why a companion cannot be served beside a model, and what to do; None if it can."""
    ours, its = spec.config, other.config
    again = (
        f"remove it, or train it again with `python -m model.train --train {' '.join(ours.train)} "
        f"--test {' '.join(ours.test)} --window {ours.window} --features {name}`"
    )
    if its.preset != name:
        return f"it is a model of {its.preset} features; {again}"
    if name == "fleet":  # it learns from other batteries, among them perhaps the same
        again = "remove it, or train it again with `python -m model.train --features fleet …`"
    else:
        for said, one, two in (
            ("trained on", ours.train, its.train),
            ("tested on", ours.test, its.test),
        ):
            if set(one) != set(two):
                return f"it was {said} {', '.join(two)}, not on {', '.join(one)}; {again}"
    if ours.window != its.window:
        return f"its window is {its.window} cycles, not {ours.window}; {again}"
    learned, from_its = spec.card.get("learned_from", {}), other.card.get("learned_from", {})
    if changed := [it for it in learned if it in from_its and learned[it] != from_its[it]]:
        return f"it learned from other cycles of {', '.join(changed)}; {again}"
    return None


def load_one(path: Path) -> tuple[Trained, bytes]:
    """Load a model file, with its content; raises ModelError when it cannot be had."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"no model at {path}: train one with `python -m model.train`") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    try:
        if ZipFile(io.BytesIO(content)).testzip():  # torch itself does not check the checksums
            raise BadZipFile
        state = torch.load(io.BytesIO(content), weights_only=True)
        saved: dict[str, Any] = json.loads(state["_extra_state"])["config"]
        for name in ("train", "test", "features"):
            saved[name] = tuple(saved[name])
        config = Config(**saved)
        is_fleet = config.preset == "fleet"
        forecaster: Trained = (FleetForecaster if is_fleet else Forecaster)(config)
        for name, buffer in forecaster.named_buffers():
            if not buffer.numel():  # it is as long as the training data
                buffer.resize_(state[name].shape)
        forecaster.load_state_dict(state)
    except (
        AttributeError, BadZipFile, EOFError, UnpicklingError, LookupError, TypeError, ValueError,
        RuntimeError,
    ):  # fmt: skip
        raise ModelError(
            f"{path} is not a model of this version: train again with `python -m model.train`"
        ) from None
    return forecaster.eval(), content
