"""Trains the fleet network on many batteries at once: `python -m model.train --features fleet`.

All that is chosen, how long it learns, how far its gate trusts it, how wide its intervals are, is
measured on groups of training batteries left out in turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model import data, fleet, fleet_network, progress
from model.config import Config
from model.data import Array, Series, TooFewCyclesError
from model.fleet import Steps
from model.fleet_network import CLIP, PULLS, SHARES, FleetNetwork
from model.levels import Point
from model.model_file import FleetForecaster

MOST_EPOCHS, CHECK_EVERY = 14, 2
FOLDS = 5  # sets of groups that are left out in turn
HIDDEN = 0.15  # share of the steps at which the charge before is hidden, half of them rests too
AVERAGED = 0.99  # the weights kept are a running mean over about 100 steps of the optimizer

Cycles = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Battery:
    """A battery to learn from: its windows, each with the change that followed it."""

    battery_id: str
    group: str
    windows: list[Steps]
    points: list[Point]


def battery(series: Series, window: int, group: str = "") -> Battery:
    """Cut a battery's cycles into windows of `fleet.SHORTEST` to `window` cycles.

    Left out are windows whose last cycle or the next has no ground truth, or whose next cycle is at
    a new operating point. Raises TooFewCyclesError without two ground truths.
    """
    cycles, capacity = series.cycles, fleet.truth(series.cycles)
    windows = []
    for end in range(fleet.SHORTEST, len(cycles)):
        rows = slice(max(0, end - window), end)
        if np.isfinite(capacity[end - 1 : end + 1]).all():
            seen = fleet.steps(cycles[rows], capacity[rows], fleet.coming_of(cycles[end]))
            if seen and not seen.is_new_point:
                came = capacity[end] / capacity[rows][seen.last] - 1
                change = np.append(seen.change[:-1], came / seen.spread[-1])
                windows.append(replace(seen, change=change))
    if np.isfinite(capacity).sum() < 2:
        raise TooFewCyclesError(
            f"{series.battery_id} has too few cycles: two with ground truth are needed, of "
            f"{len(cycles)}"
        )
    return Battery(series.battery_id, group, windows, points(cycles))


def points(cycles: Cycles) -> list[Point]:
    """Return the operating points of a battery, with the median SOH of its cycles at each."""
    load, ambient, soh, capacity = data.measured(
        cycles, [*fleet.POINT, "soh_target", "discharge_capacity"]
    ).T
    left = np.isfinite(soh) & (load > 0)
    found = []
    while left.any():
        first = int(left.argmax())
        alike = left & fleet.is_alike(load, ambient, load[first], ambient[first])
        rated = float(np.median(capacity[alike] / soh[alike]))
        load_a, ambient_c, level = (float(np.median(it[alike])) for it in (load, ambient, soh))
        found.append(Point(load_a / rated, ambient_c, level))
        left &= ~alike
    return found


def fit(config: Config, train: Sequence[Series], groups: Mapping[str, str]) -> FleetForecaster:
    """Make a forecaster from the training batteries, and from no others; raises ModelError."""
    named = [groups.get(it.battery_id, it.battery_id) for it in train]
    everyone = [battery(it, config.window, group) for it, group in zip(train, named, strict=True)]
    # those whose ground truths lie far apart tell of fades and levels, not of the next cycle
    batteries = [it for it in everyone if it.windows]
    if len(batteries) < 2:
        raise TooFewCyclesError(
            f"{len(batteries)} of the batteries to train on have {fleet.SHORTEST + 1} cycles in a "
            "row with ground truth at one operating point: two or more are needed"
        )
    every = config.epochs or CHECK_EVERY
    longest = replace(config, epochs=config.epochs or MOST_EPOCHS)
    said: dict[str, list[list[Array]]] = {}  # by battery left out and checkpoint: outputs
    folds = _folds(batteries)
    with progress.steps("groups of training batteries left out", len(folds), "fold") as step:
        for left_out in folds:
            others = [it for it in batteries if it not in left_out]
            fit_network(longest, others, every, left_out, said)
            step()
    checkpoints = [
        {name: outputs[at] for name, outputs in said.items()}
        for at in range(longest.epochs // every)
    ]
    by_epoch = [_ratio(batteries, it, PULLS[2], SHARES[3]) for it in checkpoints]
    best = int(np.argmin(_smooth(by_epoch)))
    outputs = checkpoints[best]
    pull, share = min(product(PULLS, SHARES), key=lambda it: _ratio(batteries, outputs, *it))
    made = FleetForecaster(config)
    epochs = (best + 1) * every
    made.network, curve = fit_network(replace(config, epochs=epochs), batteries)
    made.network.gate = torch.tensor([pull, share], dtype=torch.float64)
    made.interval.fit([errors(it, outputs[it.battery_id], pull, share) for it in batteries])
    made.levels.fit(
        [point for it in everyone for point in it.points],
        [it.group for it in everyone for _ in it.points],
    )
    made.learn_batteries(train, fleet.SHORTEST, named)
    made.card = {
        "epochs": epochs,
        "left_out_ratio": _ratio(batteries, outputs, pull, share),
        "training_curve": curve,
    }
    return made.eval()


def fit_network(
    config: Config,
    training: Sequence[Battery],
    every: int = 0,
    left_out: Sequence[Battery] = (),
    seen: dict[str, list[list[Array]]] | None = None,
) -> tuple[FleetNetwork, list[float]]:
    """Train a network; return it and its mean loss by epoch.

    Every so many epochs its outputs for the windows of the batteries left out are added to `seen`.
    """
    torch.manual_seed(config.seed)
    inputs, change, probability = _windows(training)
    noise = config.noise * _spread(inputs)  # [INPUTS], in their own standard deviations
    network = FleetNetwork(config)
    kept = FleetNetwork(config)  # its weights run behind as a mean
    kept.load_state_dict(network.state_dict())
    kept.eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    loss_of = nn.SmoothL1Loss(reduction="none")  # Huber's: a change may be a fault
    curve = []
    per_epoch = max(1, len(change) // config.batch_size)
    for epoch in range(1, config.epochs + 1):
        losses = 0.0
        network.train()
        for _ in range(per_epoch):
            rows = torch.multinomial(probability, config.batch_size, replacement=True)
            shown = _disturbed(inputs[rows], noise)
            known = torch.isfinite(change[rows])
            target = torch.where(known, change[rows], 0)
            loss = (loss_of(network(shown), target) * known).sum() / known.sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            _follow(kept, network)
            losses += loss.item() / per_epoch
        curve.append(losses)
        if seen is not None and epoch % every == 0:
            for it in left_out:
                seen.setdefault(it.battery_id, []).append(kept.run(it.windows))
    return kept, curve


def errors(battery: Battery, outputs: list[Array], pull: float, share: float) -> Array:
    """Errors [windows], in spreads, of what was said of each window's next cycle."""
    return np.array(
        [
            steps.change[-1] - _said(steps, output, pull, share)
            for steps, output in zip(battery.windows, outputs, strict=True)
        ]
    )


def _said(steps: Steps, output: Array, pull: float, share: float) -> float:
    if len(output) < fleet.LEAST:
        return 0.0
    said, came = fleet_network.past(steps, output)
    return fleet_network.gate_of(said, came, pull, share) * float(output[-1])


def _ratio(
    batteries: Sequence[Battery], outputs: dict[str, list[Array]], pull: float, share: float
) -> float:
    """Root mean square error ÷ that of nothing changing, geometric mean over the groups."""
    ratios = []
    for group in dict.fromkeys(it.group for it in batteries):
        own = [it for it in batteries if it.group == group]
        scale = [np.array([steps.spread[-1] for steps in it.windows]) for it in own]
        wrong = [errors(it, outputs[it.battery_id], pull, share) for it in own]
        came = [np.array([steps.change[-1] for steps in it.windows]) for it in own]
        wrong_of, came_of = (
            np.concatenate([s * np.clip(it, -CLIP, CLIP) for s, it in zip(scale, of, strict=True)])
            for of in (wrong, came)
        )
        ratios.append(np.sqrt((wrong_of**2).mean() / (came_of**2).mean()))
    return float(np.exp(np.log(ratios).mean()))


def _folds(batteries: Sequence[Battery]) -> list[list[Battery]]:
    """Deal the batteries to sets left out in turn, whole groups where there are three or more."""
    groups = sorted({it.group for it in batteries})
    if len(groups) < 3:
        return [[it] for it in batteries]
    return [
        [it for it in batteries if it.group in groups[first::FOLDS]]
        for first in range(min(FOLDS, len(groups)))
    ]


def _windows(training: Sequence[Battery]) -> tuple[Tensor, Tensor, Tensor]:
    """All windows: inputs [windows, steps, 2 INPUTS], changes [windows, steps], NaN where there is
    nothing to learn, and how often each is drawn [windows]: a battery by the root of its windows.
    """
    every = [it for battery in training for it in battery.windows]
    inputs = fleet_network.padded([it.inputs for it in every])
    change = np.full(inputs.shape[:2], np.nan, dtype=np.float32)
    for row, it in enumerate(every):
        change[row, fleet.LEAST - 1 : len(it.change)] = it.change[fleet.LEAST - 1 :]
    often = np.concatenate([np.full(len(it.windows), len(it.windows) ** -0.5) for it in training])
    return inputs, torch.from_numpy(change).clip(-CLIP, CLIP), torch.as_tensor(often)


def _spread(inputs: Tensor) -> Tensor:
    """Standard deviation of each input where it is known, [INPUTS]."""
    count = len(fleet.INPUTS)
    values, unknown = inputs[..., :count], inputs[..., count:]
    known = (unknown == 0) & (values.abs().sum(dim=-1, keepdim=True) > 0)
    mean = (values * known).sum(dim=(0, 1)) / known.sum(dim=(0, 1)).clamp_min(1)
    squares = ((values - mean) ** 2 * known).sum(dim=(0, 1))
    return (squares / known.sum(dim=(0, 1)).clamp_min(1)).sqrt()


def _disturbed(inputs: Tensor, noise: Tensor) -> Tensor:
    """Add noise, and hide at some steps what may not be known when the next cycle begins."""
    count = len(fleet.INPUTS)
    shown = inputs.clone()
    shown[..., :count] += noise * torch.randn_like(shown[..., :count])
    hidden = torch.rand(shown.shape[:2]) < HIDDEN
    both = hidden & (torch.rand(shown.shape[:2]) < 0.5)
    for columns, where in ((fleet.CHARGE, hidden), (fleet.RESTS, both)):
        for column in columns:
            shown[..., column][where] = 0
            shown[..., count + column][where] = 1
    return shown


def _follow(kept: FleetNetwork, network: FleetNetwork) -> None:
    with torch.no_grad():
        for mean, new in zip(kept.parameters(), network.parameters(), strict=True):
            mean.lerp_(new, 1 - AVERAGED)


def _smooth(values: Sequence[float]) -> Array:
    """Mean of three neighbours, the first and last standing in beyond the ends."""
    beyond = np.array([values[0], *values, values[-1]])
    return np.asarray((beyond[:-2] + beyond[1:-1] + beyond[2:]) / 3)
