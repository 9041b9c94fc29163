"""Training in several processes at once: `torchrun --nproc-per-node 2 -m model.train`.

Each learns from a part of every batch and adds its gradients to the others'. All draw the same
random numbers, those of the whole batch: the network is the one that a single process makes.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Part:
    """Which windows of a batch are learned from in this process."""

    whole: int  # windows of the batch
    rows: slice
    counts: bool  # False: there are fewer windows than processes, and another counts these

    @property
    def weight(self) -> float:
        """Of each window here in the batch's mean."""
        return self.counts / self.whole


def number() -> int:
    """Return which process this is; 0 is the one that prints and writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def part(whole: int) -> Part:
    """Return this process's part of a batch of so many windows."""
    count = distributed.get_world_size() if distributed.is_initialized() else 1
    first, end = (whole * it // count for it in (number(), number() + 1))
    if first == end:
        return Part(whole, slice(0, 1), counts=False)
    return Part(whole, slice(first, end), counts=True)


@contextmanager
def together(device: str) -> Iterator[None]:
    """Join the processes that torchrun has started, if it has; all but the first fall silent."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            if number():
                sys.stdout = sys.stderr = nowhere
            yield
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        distributed.destroy_process_group()


def add_gradients(network: nn.Module) -> None:
    """Let each process have the sum of all processes' gradients."""
    if distributed.is_initialized():
        gradients = [it.grad for it in network.parameters() if it.grad is not None]
        flat = add_up(torch.cat([it.flatten() for it in gradients]))
        sums = torch.split(flat, [it.numel() for it in gradients])
        for own, summed in zip(gradients, sums, strict=True):
            own.copy_(summed.view_as(own))


def add_up(values: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
    return values
