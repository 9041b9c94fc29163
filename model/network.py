"""The network of the specification, with what scales its inputs and output among its buffers."""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.columns import Array
from model.config import Config
from model.processes import Part

if TYPE_CHECKING:
    from model.compiled import Compiled

log = logging.getLogger(__name__)

TRIED_CYCLES = 50
ALIKE = 1e-4  # greatest difference to PyTorch's outputs; single precision leaves 1e-6
BATCH = 2000  # windows of a pass: what a pass holds in memory does not grow with a fleet


class Stack(nn.Module):
    """LSTM, ReLU, dropout, LSTM, linear: one output after each cycle, knowing those up to it.

    In training `part` says which windows of a batch it is given, where other processes have others.
    """

    part: Part | None = None
    compiled: "Compiled | None" = None

    def __init__(self, config: Config, inputs: int) -> None:
        super().__init__()
        self.config = config
        self.lstm_1 = nn.LSTM(inputs, config.hidden_1, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm_2 = nn.LSTM(config.hidden_1, config.hidden_2, batch_first=True)
        self.head = nn.Linear(config.hidden_2, 1)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Map scaled inputs [batch, cycles, inputs] to outputs [batch, cycles]."""
        hidden, _ = self.lstm_1(inputs)  # [batch, cycles, hidden_1]
        hidden, _ = self.lstm_2(self._dropped(torch.relu(hidden)))  # [batch, cycles, hidden_2]
        output: Tensor = self.head(hidden).squeeze(-1)
        return output

    def speed_up(self) -> None:
        """Have onnxruntime make the outputs from now on, if it makes the same ones on this CPU."""
        from model.compiled import Compiled  # its library has threads, which survive no fork

        inputs = torch.randn(2, TRIED_CYCLES, self.lstm_1.input_size)
        compiled = Compiled(self.lstm_1, self.lstm_2, self.head)
        with torch.inference_mode():
            differ = float(
                (torch.from_numpy(compiled.run(inputs.numpy())) - self.outputs(inputs)).abs().max()
            )
        if differ <= ALIKE:
            self.compiled = compiled
        else:
            log.warning("onnxruntime is off by %.2g: PyTorch is used, which is slower", differ)

    def drawn(self, draw: Callable[[Tensor], Tensor], like: Tensor, batch: int = 0) -> Tensor:
        """Draw random numbers shaped as these, of which one dimension counts the batch's windows.

        They are those of the whole batch: a window's are the same in whichever process it is.
        """
        if not self.part or self.part.whole == like.shape[batch]:
            return draw(like)
        whole = like.new_ones((*like.shape[:batch], self.part.whole, *like.shape[batch + 1 :]))
        return draw(whole)[(slice(None),) * batch + (self.part.rows,)]

    def _dropped(self, hidden: Tensor) -> Tensor:
        if not self.training:
            return hidden
        by_cycle = torch.ones_like(hidden.transpose(0, 1))  # as it lies in memory
        return hidden * self.drawn(self.dropout, by_cycle, batch=1).transpose(0, 1)


class Network(Stack):
    """SOH of the cycle after the window, from the stack's output after its last cycle.

    Inputs and output are in physical units. With the target `change`, the measured inputs are taken
    relative to the window's last cycle, and the output is added to that cycle's SOH.
    """

    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: Config) -> None:
        inputs = len(config.inputs)
        super().__init__(config, inputs)
        self.register_buffer("input_mean", torch.zeros(inputs))
        self.register_buffer("input_std", torch.ones(inputs))
        self.register_buffer("output_mean", torch.zeros(()))
        self.register_buffer("output_std", torch.ones(()))

    def scale_to(
        self, windows: Callable[[], Iterable[Tensor]], last_soh: Tensor, target: Tensor
    ) -> None:
        """Take the scaling from training windows: some at a time of [some, window, names + 2].

        Asked for twice, `windows` gives the same; last SOH and target are of all [windows].
        """
        mean = _mean(self._shape(it) for it in windows())
        if self.config.target == "change":
            mean[: len(self.config.measured)] = 0  # the last cycle stays the origin
        self.input_mean = mean
        variance = _mean((self._shape(it) - mean) ** 2 for it in windows())
        self.input_std = variance.sqrt().clamp_min(1e-6)
        output = target - self._origin(last_soh)
        self.output_mean, self.output_std = output.mean(), output.std().clamp_min(1e-6)

    def forward(self, window: Tensor, last_soh: Tensor) -> Tensor:
        """Map windows [batch, window, inputs] and their last SOH [batch] to the next, [batch]."""
        inputs = (self._shape(window) - self.input_mean) / self.input_std
        if self.training and self.config.noise:
            inputs = inputs + self.config.noise * self.drawn(torch.randn_like, inputs)
        output = self.outputs(inputs)[:, -1]  # [batch]
        return self._origin(last_soh) + output * self.output_std + self.output_mean

    def run(self, inputs: Array, last_soh: Array) -> Array:
        """Predict SOH [windows] from inputs [windows, window, names + 2] and last SOH [windows]."""
        if self.compiled:
            return self._unscaled(self.compiled.run(self._scaled(inputs))[:, -1], last_soh)
        window = torch.as_tensor(inputs, dtype=torch.float32, device=self.input_mean.device)
        known = torch.as_tensor(last_soh, dtype=torch.float32, device=window.device)
        batches = zip(torch.split(window, BATCH), torch.split(known, BATCH), strict=True)
        with torch.inference_mode():
            output = torch.cat([self(*batch) for batch in batches]).cpu()
        return np.asarray(output, dtype=np.float64)

    def _scaled(self, inputs: Array) -> NDArray[np.float32]:
        """As `forward` scales its inputs, without PyTorch's cost for each step."""
        shown: NDArray[np.float32] = inputs[..., self.config.columns].astype(np.float32)
        count = len(self.config.measured)
        shown[..., count:] = np.log1p(shown[..., count:])
        if self.config.target == "change":
            shown[..., :count] -= shown[:, -1:, :count].copy()
        scaled: NDArray[np.float32] = (shown - self.input_mean.numpy()) / self.input_std.numpy()
        return scaled

    def _unscaled(self, output: NDArray[np.float32], last_soh: Array) -> Array:
        change = output.astype(np.float64) * float(self.output_std) + float(self.output_mean)
        return change + last_soh if self.config.target == "change" else change

    def _shape(self, window: Tensor) -> Tensor:
        inputs, count = window[..., self.config.columns], len(self.config.measured)
        measured, rests = inputs[..., :count], torch.log1p(inputs[..., count:])
        if self.config.target == "change":
            measured = measured - measured[:, -1:]
        return torch.cat([measured, rests], dim=-1)  # [batch, window, inputs]

    def _origin(self, last_soh: Tensor) -> Tensor:
        return last_soh if self.config.target == "change" else torch.zeros_like(last_soh)


def _mean(batches: Iterable[Tensor]) -> Tensor:
    """Mean over all windows and cycles [inputs]; some at a time [some, window, inputs]."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for it in batches:
        total = total + it.mean(dim=(0, 1)).double() * len(it)
        count += len(it)
    return (total / count).float()
