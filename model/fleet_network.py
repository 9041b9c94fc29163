"""The network that learns from many batteries at once, and is trusted as far as it was right.

Its output after each cycle is the change of capacity to the next, in the battery's own spreads. A
gate between 0, nothing changes, and 1 multiplies it: the share at which it would have been least
wrong over the battery's own last cycles, drawn towards a share that training batteries left out
were best forecast with.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model import fleet
from model.config import Config
from model.data import Array
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

    def run(self, windows: Sequence[Steps]) -> list[Array]:
        """Return the output after each step of each window, [steps] each.

        Windows are filled up at their ends, which no output before knows of.
        """
        found: list[Array] = []
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH]
            inputs = padded([it.inputs for it in batch])
            with torch.inference_mode():
                output = np.asarray(self(inputs), dtype=np.float64)
            found += [row[: len(it.spread)] for row, it in zip(output, batch, strict=True)]
        return found

    def gated(self, steps: Steps, output: Array) -> tuple[float, Array]:
        """Return the change to come, in spreads, and the errors that the gate leaves of the past.

        Before `fleet.LEAST` cycles at the operating point nothing changes.
        """
        pull, share = self.gate.tolist()
        said, came = past(steps, output)
        gate = gate_of(said, came, pull, share)
        change = gate * float(output[-1]) if len(output) >= fleet.LEAST else 0.0
        return change, came - gate * said


def padded(inputs: Sequence[Array]) -> Tensor:
    """Put inputs [steps, INPUTS] of windows and their masks into one tensor, zeros at the ends."""
    longest = max(map(len, inputs))
    filled = np.zeros((len(inputs), longest, 2 * len(fleet.INPUTS)), dtype=np.float32)
    for row, it in enumerate(inputs):
        filled[row, : len(it)] = fleet.masked(it)
    return torch.from_numpy(filled)


def past(steps: Steps, output: Array) -> tuple[Array, Array]:
    """What was said of a window's own last cycles and what came, in spreads, [cycles] each."""
    asked = slice(fleet.LEAST - 1, len(output) - 1)
    said, came = output[asked][-MEMORY:], steps.change[asked][-MEMORY:]
    return said, np.clip(came, -CLIP, CLIP)


def gate_of(said: Array, came: Array, pull: float, share: float) -> float:
    """Return the share of what was said at which it was least wrong, drawn towards another."""
    return float(np.clip((pull * share + said @ came) / (pull + said @ said), 0, 1))
