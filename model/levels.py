"""What a cell can deliver at an operating point at which it has not been seen.

Capacity under another load or at another temperature is no ageing, and no series of one cell tells
it beforehand. Training batteries at like points do: their mean there, shifted by how far this cell
lies from them where it has been seen, the less the further apart the two points are. Likeness is
exp(−d²/2), with a load twice as high or an ambient 10 °C away as d = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.columns import Array
from model.intervals import conformal

FACTOR = 2.0  # of the load
DEGREES_C = 10.0
ANYWHERE = 0.1  # weight of the mean of all points, for points that none is like


@dataclass(frozen=True)
class Point:
    """An operating point, and what a battery was seen to deliver at it."""

    c_rate: float  # load, A ÷ rated capacity, Ah
    ambient_c: float  # NaN where it is not known
    soh: float = float("nan")


class Levels(nn.Module):
    """The training batteries' SOH at their operating points."""

    points: Tensor
    error: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("points", torch.zeros((0, 3), dtype=torch.float64))
        self.register_buffer("error", torch.zeros((), dtype=torch.float64))

    def fit(self, points: Sequence[Point], groups: Sequence[str]) -> None:
        """Learn from the points of training batteries, each with the group of its battery."""
        seen = np.array([_coordinates(it) for it in points])
        group = np.array(groups)
        errors = [
            row[2] - _level(row, seen[group != own])
            for row, own in zip(seen, group, strict=True)
            if (group != own).any()
        ]
        self.points = torch.as_tensor(seen)
        # with a single group nothing tells how wrong this is: as wrong as the points lie apart
        wrong = float(conformal(np.array(errors))) if errors else float(np.ptp(seen[:, 2]))
        self.error = torch.tensor(wrong, dtype=torch.float64)

    def forecast(self, seen: Point, coming: Point) -> tuple[float, float, float]:
        """Return the SOH at the coming point, with its 90 % interval, of a cell seen at another."""
        points = self.points.numpy()
        here, there = _coordinates(seen), _coordinates(coming)
        alike = float(_likeness(there, here[None])[0])
        level = _level(there, points) + alike * (here[2] - _level(here, points))
        # an ambient that is known of one of the two may differ by any amount
        is_sure = np.isnan(here[1]) == np.isnan(there[1])
        half = float(self.error) * np.sqrt(1 - is_sure * alike**2)
        low, soh, high = np.exp([level - half, level, level + half]).tolist()
        return soh, low, high


def _coordinates(point: Point) -> Array:
    return np.array(
        [
            np.log(point.c_rate) / np.log(FACTOR),
            point.ambient_c / DEGREES_C,
            np.log(point.soh),
        ]
    )


def _likeness(point: Array, points: Array) -> Array:
    # what is not known is not known to differ
    apart = np.nan_to_num(points[:, :2] - point[:2])
    likeness: Array = np.exp(-(apart**2).sum(axis=1) / 2)
    return likeness


def _level(point: Array, points: Array) -> float:
    weight = _likeness(point, points)
    everywhere = points[:, 2].mean()
    return float((weight @ points[:, 2] + ANYWHERE * everywhere) / (weight.sum() + ANYWHERE))
