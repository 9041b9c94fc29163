"""A model file is tried when it is loaded, and answers by onnxruntime as by PyTorch."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import forecast
from model.compiled import Compiled
from model.config import Config
from model.fleet_network import FleetNetwork
from model.network import Network
from tests.conftest import version

State = dict[str, Any]


@pytest.mark.parametrize("count", [1, 16, 37])
@pytest.mark.parametrize("target", ["change", "absolute"])
def test_onnxruntime_says_what_pytorch_says(target: str, count: int) -> None:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    network = Network(Config(features=("extended",), target=target))
    network.input_std *= 3
    network.output_std *= 0.1
    network.eval()
    inputs, soh = generator.uniform(0, 40, (count, 50, 5)), generator.uniform(0.6, 1, count)
    by_pytorch = network.run(inputs, soh)
    network.speed_up()
    assert network.compiled
    assert network.run(inputs, soh) == pytest.approx(by_pytorch, abs=1e-6)
    fleet = FleetNetwork(Config(features=("fleet",)))
    fleet.eval()
    steps = generator.normal(size=(count, 23, 34)).astype(np.float32)
    by_pytorch = fleet.run(steps)
    fleet.speed_up()
    assert fleet.run(steps) == pytest.approx(by_pytorch, abs=1e-6)


def test_pytorch_answers_where_onnxruntime_differs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = Compiled.run
    monkeypatch.setattr(Compiled, "run", lambda self, inputs: right(self, inputs) + 0.01)
    network = Network(Config())
    network.eval()
    with caplog.at_level(logging.WARNING):
        network.speed_up()
    assert network.compiled is None
    assert "onnxruntime is off by 0.01: PyTorch is used" in caplog.text


def card(**changes: Any) -> Callable[[State], None]:
    def change(state: State) -> None:
        extra = json.loads(state["_extra_state"])
        extra["card"] = {
            name: it for name, it in (extra["card"] | changes).items() if it is not None
        }
        state["_extra_state"] = json.dumps(extra)

    return change


def put(name: str, value: Any) -> Callable[[State], None]:
    return lambda state: state.update({name: value})


def times(name: str, factor: float) -> Callable[[State], None]:
    return lambda state: state.update({name: state[name] * factor})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (times("network.head.weight", np.nan), "its weights are no numbers"),
        (times("network.head.bias", 1e6), "its answer is the network says"),
        (times("interval.errors", np.inf), "interval.errors is empty or no number"),
        (put("interval.errors", torch.zeros(0)), "interval.errors is empty"),
        (put("familiarity.reference", torch.zeros(4, 2, 4)), "cannot be used"),
        (put("familiarity.centre", torch.zeros(9, 4)), "cannot be used"),
        (put("fade.rate", torch.zeros(0)), "fade.rate is empty"),
        (put("fade.width", torch.zeros(1)), "is not a model of this version"),
        (put("capacity_line", torch.zeros(7)), "is not a model of this version"),
        (put("network.input_std", torch.ones(2)), "is not a model of this version"),
        (put("network.input_mean", "a text"), "is not a model of this version"),
        (put("network.lstm_1.bias_hh_l0", torch.zeros(3)), "is not a model of this version"),
        (put("_extra_state", "{}"), "is not a model of this version"),
        (card(features=None), "what it says of itself lacks features"),
        (card(test={"B0007": 1}), "what it says of itself lacks test"),
        (card(trained_at=None), "what it says of itself lacks trained_at"),
    ],
)  # fmt: skip
def test_what_cannot_answer_is_refused_when_it_is_loaded(
    damage: Callable[[State], None], said: str, model_path: Path, tmp_path: Path
) -> None:
    state = torch.load(model_path, weights_only=True)
    damage(state)
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(forecast.ModelError, match=said) as caught:
        forecast.load(tmp_path / "model.pth")
    assert "\n" not in str(caught.value)


def test_what_can_answer_is_loaded(model_path: Path) -> None:
    model = forecast.load(model_path)
    assert model.version == version(model_path)
    assert all(it.network.compiled for it in model.networks)
