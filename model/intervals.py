"""How sure a one-step forecast is, and whether its window is like those it was trained on.

The interval is split-conformal (H. Papadopoulos et al., Inductive Confidence Machines for
Regression, 2002): its half-width is a quantile of the errors on batteries left out of training.
"""

import numpy as np
import torch
from torch import Tensor, nn

from model.data import Array

LEVEL = 0.9
MEMORY = 50  # own errors that the adaptive interval follows
# A window is unlike the training cells when it lies this much further from their windows than
# nearly all windows of a training cell lie from those of the others.
ORDINARY = 0.99
SLACK = 1.5


class Interval(nn.Module):
    """Half-widths of 90 % intervals, SOH, from errors on batteries left out of training."""

    errors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("errors", torch.zeros(0, dtype=torch.float64))

    def fit(self, residuals: Array) -> None:
        """Keep the errors [windows] made on training batteries that were left out."""
        self.errors = torch.as_tensor(np.sort(np.abs(residuals)))

    def half_width(self, own_errors: Array) -> float:
        """Return the half-width for a battery with these past errors [n], oldest first.

        Its last 50 count; while there are fewer, quantiles of the training cells' errors fill up.
        """
        own = np.abs(own_errors)[-MEMORY:]
        lacking = MEMORY - len(own)
        if lacking == MEMORY:
            return conformal(self.errors.numpy())
        shares = (np.arange(lacking) + 0.5) / max(lacking, 1)
        return conformal(np.concatenate([own, np.quantile(self.errors.numpy(), shares)]))


def conformal(errors: Array) -> float:
    """Return the smallest half-width [] that covers 90 % of errors [n] and of one more to come."""
    ordered = np.sort(np.abs(errors))
    return float(ordered[min(int(np.ceil((len(ordered) + 1) * LEVEL)), len(ordered)) - 1])


class Familiarity(nn.Module):
    """Tells, by measured feature, windows that are unlike any training window."""

    centre: Tensor
    spread: Tensor
    reference: Tensor
    threshold: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        for name in ("centre", "spread", "reference", "threshold"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def fit(self, training: list[Array]) -> None:
        """Learn from the training windows, one array [windows, window, inputs] per battery."""
        summaries = [_summary(self._measured(inputs)) for inputs in training]
        everything = np.concatenate(summaries)
        centre, spread = everything.mean(axis=0), everything.std(axis=0) + 1e-9
        scaled = [(summary - centre) / spread for summary in summaries]
        left_out = [
            _distance(one, np.concatenate([it for it in scaled if it is not one])) for one in scaled
        ]
        self.centre, self.spread = torch.as_tensor(centre), torch.as_tensor(spread)
        self.reference = torch.as_tensor(np.concatenate(scaled))
        self.threshold = SLACK * torch.as_tensor(
            np.quantile(np.concatenate(left_out), ORDINARY, axis=0)
        )

    def unlike(self, inputs: Array) -> list[list[str]]:
        """Name the measured features unlike training, for each window of [windows, window, _]."""
        scaled = (_summary(self._measured(inputs)) - self.centre.numpy()) / self.spread.numpy()
        far = _distance(scaled, self.reference.numpy()) > self.threshold.numpy()
        return [
            [name for name, it in zip(self.names, row, strict=True) if it] for row in far.tolist()
        ]

    def _measured(self, inputs: Array) -> Array:
        return inputs[:, :, : len(self.names)]


def _summary(measured: Array) -> Array:
    """Mean, spread, last value and slope of each measured feature, [windows, features, 4]."""
    age = np.linspace(-1, 1, measured.shape[1])[None, :, None]
    slope = (measured * age).mean(axis=1) / (age**2).mean()
    return np.stack([measured.mean(axis=1), measured.std(axis=1), measured[:, -1], slope], axis=-1)


def _distance(scaled: Array, reference: Array) -> Array:
    """Root mean square distance to the nearest reference window, [windows, features]."""
    apart: Array = ((scaled[:, None] - reference[None]) ** 2).mean(axis=-1)
    nearest: Array = np.sqrt(apart.min(axis=1))
    return nearest
