"""How sure a one-step forecast is.

The interval is split-conformal (H. Papadopoulos et al., Inductive Confidence Machines for
Regression, 2002): its half-width is a quantile of the errors on batteries left out of training.
Errors are counted in the battery's own spread, the usual size of its changes (normalised
conformal prediction, the same authors, 2011), so that a cell that jumps about gets a wider one.
"""

import numpy as np
import torch
from torch import Tensor, nn

from model.columns import Array

LEVEL = 0.9
MEMORY = 20  # own errors that the interval follows
KEPT = 500  # quantiles of the errors in training


class Interval(nn.Module):
    """Half-widths of 90 % intervals, in spreads, from errors on batteries left out of training."""

    errors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("errors", torch.zeros(0, dtype=torch.float64))

    def fit(self, by_battery: list[Array]) -> None:
        """Keep the errors [windows], in spreads, of each training battery that was left out.

        Each battery counts alike, however many its windows.
        """
        errors = np.concatenate([np.abs(it) for it in by_battery])
        weight = np.concatenate([np.full(len(it), 1 / len(it)) for it in by_battery if len(it)])
        order = np.argsort(errors)
        share = np.cumsum(weight[order]) / weight.sum()
        wanted = (np.arange(KEPT) + 0.5) / KEPT
        self.errors = torch.as_tensor(errors[order][np.searchsorted(share, wanted)].copy())

    def half_width(self) -> float:
        """Return the half-width, in spreads, for a battery of which no past errors are known."""
        return float(conformal(self.errors.numpy()))

    def half_widths(self, own_errors: Array) -> Array:
        """Return half-widths [windows], in spreads, by the last past errors [windows, MEMORY].

        Where errors are not known, NaN, quantiles of the training cells' stand for them.
        """
        unknown = ~np.isfinite(own_errors)
        lacking = unknown.sum(axis=1)[:, None]
        shares = (unknown.cumsum(axis=1) - 0.5) / np.maximum(lacking, 1)
        usual = np.quantile(self.errors.numpy(), np.where(unknown, shares, 0))
        half = conformal(np.where(unknown, usual, own_errors))
        return np.where(lacking[:, 0] == own_errors.shape[1], self.half_width(), half)


def conformal(errors: Array) -> Array:
    """Return the smallest half-width […] that covers 90 % of errors [… n] and one more to come."""
    ordered = np.sort(np.abs(errors), axis=-1)
    count = ordered.shape[-1]
    half: Array = ordered[..., min(int(np.ceil((count + 1) * LEVEL)), count) - 1]
    return half
