"""The network that learns from many batteries at once, and is trusted as far as it was right.

Its output after each cycle is the change of capacity to the next, in the battery's own spreads. A
gate between 0, nothing changes, and 1 multiplies it: the share at which it would have been least
wrong over the battery's own last cycles, drawn towards a share that training batteries left out
were best forecast with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import fleet
from model.columns import Array
from model.config import Config
from model.fleet import Steps
from model.network import BATCH, Stack

CLIP = 8.0  # spreads: a larger change is a fault or another cell, of which nothing is learned
MEMORY = 20  # own last changes that the gate and the interval follow
PULLS = (5.0, 10.0, 20.0, 40.0, 80.0)
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)


class FleetNetwork(Stack):
    """Change to the next cycle, in spreads, after each cycle of windows of any length."""

    gate: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config, 2 * len(fleet.INPUTS))
        # how strongly the gate is drawn, and to which share
        self.register_buffer("gate", torch.tensor([PULLS[0], SHARES[0]], dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs and their masks [batch, cycles, 2 INPUTS] to changes [batch, cycles]."""
        return self.outputs(inputs)

    def run(self, inputs: NDArray[np.float32]) -> Array:
        """Return the output after each step of each window, as `forward`.

        Windows are filled up at their ends, which no output before knows of.
        """
        if self.compiled:
            return self.compiled.run(inputs).astype(np.float64)
        shown = torch.from_numpy(inputs).to(self.gate.device)
        with torch.inference_mode():
            output = torch.cat([self(batch) for batch in torch.split(shown, BATCH)]).cpu()
        return np.asarray(output, dtype=np.float64)

    def gated(self, steps: Steps, output: Array) -> tuple[Array, Array]:
        """Return the changes to come [windows], in spreads, and errors that the gate leaves.

        Those of each window's own past are [windows, MEMORY], NaN where there is none. Before
        `fleet.LEAST` cycles at the operating point nothing changes.
        """
        pull, share = self.gate.tolist()
        said, came = past(steps, output)
        made = Said.of(steps, output)
        return made.told(pull, share), came - made.gate(pull, share)[:, None] * said


@dataclass(frozen=True)
class Said:
    """What a network said of windows: all that the gate is set by, and what it multiplies."""

    right: NDArray[np.floating]  # [windows], what was said of their own last cycles × what came
    size: NDArray[np.floating]  # [windows], what was said, squared
    last: NDArray[np.floating]  # [windows], what is said of the coming cycle, in spreads

    @classmethod
    def of(cls, steps: Steps, output: Array) -> "Said":
        """Read it off the outputs [windows, steps]."""
        said, came = past(steps, output)
        return cls(
            np.nansum(said * came, axis=1),
            np.nansum(said**2, axis=1),
            np.where(steps.count < fleet.LEAST, 0.0, steps.last(output)),
        )

    @classmethod
    def joined(cls, parts: Sequence["Said"]) -> "Said":
        """Put what was said of some windows after another, in half the memory."""
        right, size, last = np.concatenate(
            [(it.right, it.size, it.last) for it in parts], axis=1, dtype=np.float32
        )
        return cls(right, size, last)

    def told(self, pull: float, share: float) -> Array:
        """Return what is told of the coming cycle, in spreads, through such a gate [windows]."""
        return self.gate(pull, share) * self.last

    def gate(self, pull: float, share: float) -> Array:
        """Return the share [windows] at which it was least wrong, drawn towards another."""
        return np.clip((pull * share + self.right) / (pull + self.size), 0, 1)


def past(steps: Steps, output: Array) -> tuple[Array, Array]:
    """What was said of windows' own last cycles and what came, in spreads, [windows, MEMORY] each.

    NaN before the first cycle that was asked about.
    """
    at = steps.count[:, None] - 1 + np.arange(-MEMORY, 0)
    asked = at >= fleet.LEAST - 1
    said, came = (
        np.where(asked, np.take_along_axis(it, np.maximum(at, 0), axis=1), np.nan)
        for it in (output, steps.change)
    )
    return said, np.clip(came, -CLIP, CLIP)
