"""How sure a one-step forecast is.

The interval is split-conformal (H. Papadopoulos et al., Inductive Confidence Machines for
Regression, 2002): its half-width is a quantile of the errors on batteries left out of training.
"""

import numpy as np
import torch
from torch import Tensor, nn

from model.data import Array

LEVEL = 0.9
MEMORY = 50  # own errors that the adaptive interval follows


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
