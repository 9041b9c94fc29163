"""The network of the specification, with its scaling and its configuration within its state."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.config import Config


class Network(nn.Module):
    """LSTM, ReLU, dropout, LSTM, linear: SOH of the cycle after the window.

    Inputs and output are in physical units; the statistics that scale them are buffers, so that a
    state dict is the whole model.
    """

    feature_mean: Tensor
    feature_std: Tensor
    soh_mean: Tensor
    soh_std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.lstm_1 = nn.LSTM(len(config.features), config.hidden_1, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm_2 = nn.LSTM(config.hidden_1, config.hidden_2, batch_first=True)
        self.head = nn.Linear(config.hidden_2, 1)
        self.register_buffer("feature_mean", torch.zeros(len(config.features)))
        self.register_buffer("feature_std", torch.ones(len(config.features)))
        self.register_buffer("soh_mean", torch.zeros(()))
        self.register_buffer("soh_std", torch.ones(()))

    def scale_to(self, inputs: Tensor, target: Tensor) -> None:
        """Take the scaling from the training windows: [windows, window, features] and [windows]."""
        self.feature_mean = inputs.mean(dim=(0, 1))
        self.feature_std = inputs.std(dim=(0, 1)).clamp_min(1e-6)
        self.soh_mean, self.soh_std = target.mean(), target.std().clamp_min(1e-6)

    def forward(self, window: Tensor) -> Tensor:
        """Map windows [batch, window, features] to SOH [batch], a fraction."""
        scaled = (window - self.feature_mean) / self.feature_std  # [batch, window, features]
        hidden, _ = self.lstm_1(scaled)  # [batch, window, hidden_1]
        hidden, _ = self.lstm_2(self.dropout(torch.relu(hidden)))  # [batch, window, hidden_2]
        output: Tensor = self.head(hidden[:, -1]).squeeze(-1)  # [batch]
        return output * self.soh_std + self.soh_mean

    def get_extra_state(self) -> dict[str, Any]:
        return self.config.to_json()

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """The configuration is read before the network is made; see `from_state`."""


def from_state(state: Mapping[str, Any]) -> Network:
    """Rebuild the network from a state dict; raises KeyError or RuntimeError if it is not one."""
    network = Network(Config(**state["_extra_state"]))
    network.load_state_dict(state)
    return network.eval()
