"""Tells windows that are unlike any training window: there a network and a fade can only guess.

Beside the measured features stand the load and the state of health: a cell at another load, or more
worn than any in training, is another cell, however warm it gets.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import columns
from model.columns import Array, last_known
from model.data import ModelError, Series

LOAD, STATE = "avg_current_load", "soh"
# A window is unlike the training cells when it lies this much further from their windows than
# nearly all windows of a training cell lie from those of the others.
ORDINARY = 0.99
MOST_WINDOWS = 5000  # of training, that windows are compared with
SOME = 64  # windows compared at once
SLACK = 1.5
# What is not told apart: a share of the mean that two cyclers differ by, and the degrees that two
# thermocouples of class 2 do (IEC 60584).
FINEST = 0.02
FINEST_C = 2.5


class Familiarity(nn.Module):
    """Tells, by feature, windows that are unlike any training window."""

    centre: Tensor
    spread: Tensor
    reference: Tensor
    threshold: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(dict.fromkeys((*names, LOAD, STATE)))
        for name in ("centre", "spread", "reference", "threshold", "lowest", "highest"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def fit(self, training: Sequence[Series], window: int) -> None:
        """Learn from the windows of the training batteries that lack nothing.

        Of a fleet's an even share stands for all; what lies beyond is told by every one.
        """
        most = sum(max(len(it.cycles) - window + 1, 0) for it in training)
        every = max(1, round(most / MOST_WINDOWS))
        summaries, bounds, passed = [], [], 0
        for it in training:
            windows = _windows(_judged(it, self.names), window)
            if len(windows):
                summaries.append(_summary(windows[-passed % every :: every]))
                bounds += [windows.min(axis=(0, 1)), windows.max(axis=(0, 1))]
                passed += len(windows)
        if len(summaries) < 2:
            raise ModelError(
                f"fewer than two of the batteries to train on have {', '.join(self.names)} in "
                f"{window} cycles in a row"
            )
        everything = np.concatenate(summaries)  # [windows, names, 4]
        centre = everything.mean(axis=0)
        finest = [
            [FINEST_C if "temperature" in name else FINEST * abs(mean)]
            for name, mean in zip(self.names, centre[:, 0], strict=True)
        ]
        spread = np.maximum(everything.std(axis=0), finest)
        scaled = (everything - centre) / spread
        ends = np.cumsum([len(it) for it in summaries])
        left_out = [
            _distance(scaled[a:b], np.concatenate([scaled[:a], scaled[b:]]))
            for a, b in pairwise([0, *ends.tolist()])
            if a < b
        ]
        self.centre, self.spread = torch.as_tensor(centre), torch.as_tensor(spread)
        self.reference = torch.as_tensor(scaled)
        ordinary = np.quantile(np.concatenate(left_out), ORDINARY, axis=0)
        self.threshold = torch.as_tensor(np.maximum(SLACK * ordinary, 1))
        slack = SLACK * np.array(finest)[:, 0]
        self.lowest = torch.as_tensor(np.min(bounds, axis=0) - slack)
        self.highest = torch.as_tensor(np.max(bounds, axis=0) + slack)

    def judge(self, windows: Array) -> tuple[list[list[str]], list[list[str]]]:
        """Name what of each window is unlike training, and what beyond: [windows, cycles, names].

        Unlike is what lies further from all training windows than these do from one another, or
        beyond all their cycles. Beyond is, by its mean or last value, another cell or load, where
        the rest may be but another course of ageing. What is not known, NaN, is not known to be
        alike.
        """
        summary = _summary(windows)
        levels = summary[..., ::2]  # mean and last value
        lowest, highest = self.lowest.numpy()[:, None], self.highest.numpy()[:, None]
        beyond = np.logical_not(((levels >= lowest) & (levels <= highest)).all(axis=-1))
        scaled = (summary - self.centre.numpy()) / self.spread.numpy()
        near = _distance(scaled, self.reference.numpy()) <= self.threshold.numpy()
        return self._named(np.logical_not(near) | beyond), self._named(beyond)

    def _named(self, chosen: NDArray[np.bool_]) -> list[list[str]]:
        if not chosen.any():
            return [[] for _ in chosen]
        return [
            [name for name, it in zip(self.names, row, strict=True) if it]
            for row in chosen.tolist()
        ]


def _judged(series: Series, names: Sequence[str]) -> Array:
    """Return what a battery is judged by, [cycles, names]."""
    known = dict(zip(names, columns.measured(series.cycles, names).T, strict=True))
    known |= {LOAD: 3600 * series.capacity_ah / series.time_s, STATE: last_known(series.soh)}
    return np.column_stack([known[name] for name in names])


def _windows(rows: Array, window: int) -> Array:
    """Cut the windows of consecutive rows that lack nothing, to [windows, window, names]."""
    if len(rows) < window:
        return np.zeros((0, window, rows.shape[1]))
    cut = np.lib.stride_tricks.sliding_window_view(rows, window, axis=0).transpose(0, 2, 1)
    whole: Array = cut[np.isfinite(cut).all(axis=(1, 2))]
    return whole


def _summary(windows: Array) -> Array:
    """Mean, spread, last value and slope of each feature, [windows, names, 4]."""
    count = windows.shape[1]
    age = np.linspace(-1, 1, count)
    weights = np.array([np.ones(count), age / (age**2).mean()]) / count
    mean, slope = (weights @ windows).swapaxes(0, 1)
    spread = np.sqrt(((windows - mean[:, None]) ** 2).mean(axis=1))
    return np.stack([mean, spread, windows[:, -1], slope], axis=-1)


def _distance(scaled: Array, reference: Array) -> Array:
    """Root mean square distance to the nearest reference window, [windows, names]."""
    by_name, others = scaled.swapaxes(0, 1), reference.swapaxes(0, 1)  # [names, windows, 4]
    size = (others**2).sum(axis=-1)[:, None]
    nearest = [
        (size - 2 * some @ others.swapaxes(1, 2)).min(axis=-1) + (some**2).sum(axis=-1)
        for some in np.split(by_name, range(SOME, len(scaled), SOME), axis=1)
    ]
    square = np.concatenate(nearest, axis=1).T / scaled.shape[-1]
    distance: Array = np.sqrt(np.maximum(square, 0))  # which rounding takes below 0
    return distance
