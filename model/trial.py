"""Tries what a model file holds before it is used: whatever fails, fails here and in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from model.asked import together
from model.columns import Columns
from model.data import ModelError
from model.fade import Course
from model.fleet import NAMES, Coming
from model.levels import Point
from model.model_file import FleetForecaster, Forecaster, Model, Trained
from model.window import Prediction, Windows, answer
from model.window_fixed import FixedWindows
from model.window_fleet import FleetWindows

SOH = np.linspace(0.95, 0.9, 50)
UNKNOWN = {"levels.points"}  # an ambient temperature that nobody recorded


class Card(TypedDict):
    """What is read of how a model was made."""

    features: dict[str, str]
    test: dict[str, dict[str, dict[str, float | None]]]
    training_curve: list[float]
    learned_from: dict[str, str]
    trained_at: str
    simulated: list[str]


CARD = TypeAdapter(Card)


def passed(model: Model, path: Path) -> Model:
    """Return the model when each part of it can answer; raises ModelError, naming the part."""
    for it in model.networks:
        try:
            fault = _fault(it)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        if fault:
            raise ModelError(
                f"{path}: its {it.config.preset} network cannot be used, {fault}: train again with "
                "`python -m model.train`"
            )
    return model


def _fault(it: Trained) -> str | None:
    for name, tensor in it.named_buffers():
        if name not in UNKNOWN and not (tensor.numel() and torch.isfinite(tensor).all()):
            return f"{name} is empty or no number"
    if not all(torch.isfinite(tensor).all() for tensor in it.parameters()):
        return "its weights are no numbers"
    try:
        CARD.validate_python(it.card)
    except ValidationError as error:
        return f"what it says of itself lacks {error.errors()[0]['loc'][0]}"
    cycle = np.arange(1.0, len(SOH) + 1)
    told = it.fade.forecast(Course(cycle, cycle, SOH, len(SOH), cycle[-1]), 10, None)
    if not np.isfinite([told.soh, told.soh_low, told.soh_high]).all():
        return "its fade is no number"
    if isinstance(it, FleetForecaster):
        here = Point(1.0, 24.0, 0.9)
        if not np.isfinite(it.levels.forecast(here, here)).all():
            return "its levels are no numbers"
    (said,) = answer(_windows(it))
    if isinstance(said, Prediction) and said.next_soh and np.isfinite(said.next_soh).all():
        return None
    return f"its answer is {said}"


def _windows(it: Trained) -> Windows[Any]:
    """A window of a cell that ages as cells do, with all that is asked for."""
    count = it.config.window
    soh = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(SOH)), SOH)
    told = {"soh_target": soh, "discharge_capacity": soh * float(it.rated_capacity_ah)}
    if isinstance(it, Forecaster):
        usual = it.familiarity.centre[:, 0].tolist()  # the mean in training
        told |= {
            name: np.full(count, mean)
            for name, mean in zip(it.familiarity.names, usual, strict=True)
            if name in it.config.measured
        }
    else:
        told = {name: np.full(count, 25.0) for name in NAMES} | told
    cycles = Columns(tuple(told), np.column_stack(list(told.values())))
    ((_, asked),) = together([cycles], count, [None], [None], [Coming()])
    if isinstance(it, Forecaster):
        return FixedWindows(it, asked)
    assert isinstance(it, FleetForecaster)
    return FleetWindows(it, asked)
