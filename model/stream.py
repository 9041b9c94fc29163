"""Batches of windows, cut when they are asked for: memory does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from model import processes
from model.columns import Array
from model.data import ModelError, Windows
from model.processes import Part

Cut = Callable[[Tensor], tuple[Tensor, ...]]  # numbers of windows to what is learned from each


@dataclass(frozen=True)
class Work:
    """Where training runs, which is no part of what it makes."""

    device: str = "cpu"
    workers: int = 0  # processes that cut batches; 0: the one that trains


CPU = Work()


def work(device: str, workers: int) -> Work:
    """Return where to train; raises ModelError for what is not there."""
    if workers < 0:
        raise ModelError("--workers must not be below 0")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        (reason, *_) = str(error).splitlines()
        raise ModelError(f"--device {device} cannot be used here: {reason}") from None
    return Work(device, workers)


class Batches(Dataset[tuple[Tensor, ...]]):
    """What a batch of windows is learned from, by their numbers."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self.cut(rows)


class Stream:
    """Gives, batch after batch, this process's part of each."""

    def __init__(self, cut: Cut, work: Work) -> None:
        self._order: list[Tensor] = []
        self._device = work.device
        self._loader: DataLoader[Any] = DataLoader(
            Batches(cut),
            sampler=self._order,
            batch_size=None,
            num_workers=work.workers,
            persistent_workers=work.workers > 0,
            pin_memory=work.device.startswith("cuda"),
            # so that it takes nothing of the random numbers that training draws
            generator=torch.Generator(),
        )

    def epoch(self, order: Sequence[Tensor]) -> Iterator[tuple[Part, tuple[Tensor, ...]]]:
        """Yield batches of these windows [windows of each]."""
        parts = [processes.part(len(rows)) for rows in order]
        self._order[:] = [rows[it.rows] for rows, it in zip(order, parts, strict=True)]
        for it, batch in zip(parts, self._loader, strict=True):
            yield it, tuple(values.to(self._device, non_blocking=True) for values in batch)


class FixedCut:
    """Cuts windows of one length from the cycles of some batteries."""

    def __init__(self, training: Sequence[Windows]) -> None:
        self._cycles = _joined([it.cycles for it in training])
        ends = np.cumsum([len(it.cycles) for it in training])
        first = [it.first + end - len(it.cycles) for it, end in zip(training, ends, strict=True)]
        self._first = torch.from_numpy(np.concatenate(first))
        self._steps = torch.arange(training[0].length)
        self.last_soh = _joined([it.last_soh for it in training])
        self.target = _joined([it.target for it in training])

    def __len__(self) -> int:
        return len(self.target)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return windows [rows, length, names + 2], their last SOH and their target [rows]."""
        window = self._cycles[self._first[rows, None] + self._steps]
        return window, self.last_soh[rows], self.target[rows]


def _joined(values: Sequence[Array]) -> Tensor:
    return torch.cat([torch.as_tensor(it, dtype=torch.float32) for it in values])
