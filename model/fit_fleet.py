"""Trains the fleet network on many batteries at once: `python -m model.train --features fleet`.

All that is chosen, how long it learns, how far its gate trusts it, how wide its intervals are, is
measured on groups of training batteries left out in turn.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from model import fleet, folds, processes, progress
from model.columns import Array
from model.config import Config
from model.data import Series, TooFewCyclesError
from model.fleet_cut import Battery, FleetCut, battery, spread
from model.fleet_network import CLIP, PULLS, SHARES, FleetNetwork, Said
from model.model_file import FleetForecaster
from model.stream import CPU, Stream, Work

MOST_EPOCHS, CHECK_EVERY = 14, 2
HIDDEN = 0.15  # share of the steps at which the charge before is hidden, half of them rests too
CHARGE, RESTS = (
    torch.tensor([at in columns for at in range(len(fleet.INPUTS))])
    for columns in (fleet.CHARGE, fleet.RESTS)
)
AVERAGED = 0.99  # the weights kept are a running mean over about 100 steps of the optimizer


def fit(
    config: Config, train: Sequence[Series], groups: Mapping[str, str], work: Work = CPU
) -> FleetForecaster:
    """Make a forecaster from the training batteries, and from no others; raises ModelError."""
    named = [groups.get(it.battery_id, it.battery_id) for it in train]
    everyone = [battery(it, config.window, group) for it, group in zip(train, named, strict=True)]
    # those whose ground truths lie far apart tell of fades and levels, not of the next cycle
    batteries = [it for it in everyone if len(it.end)]
    if len(batteries) < 2:
        raise TooFewCyclesError(
            f"{len(batteries)} of the batteries to train on have {fleet.SHORTEST + 1} cycles in a "
            "row with ground truth at one operating point: two or more are needed"
        )
    every = config.epochs or CHECK_EVERY
    longest = replace(config, epochs=config.epochs or MOST_EPOCHS)
    said: list[list[Said]] = [[] for _ in batteries]  # by battery left out and checkpoint
    turns = _turns(batteries)
    with progress.steps("groups of training batteries left out", len(turns), "fold") as step:
        for left_out in turns:
            others = [it for row, it in enumerate(batteries) if row not in left_out]

            def look(network: FleetNetwork, rows: Sequence[int] = left_out) -> None:
                for row in rows:
                    said[row].append(_say(network, batteries[row]))

            fit_network(longest, others, work, every, look)
            step()
    checkpoints = [[it[at] for it in said] for at in range(longest.epochs // every)]
    by_epoch = [_ratio(batteries, it, PULLS[2], SHARES[3]) for it in checkpoints]
    best = int(np.argmin(_smooth(by_epoch)))
    chosen = checkpoints[best]
    pull, share = min(product(PULLS, SHARES), key=lambda it: _ratio(batteries, chosen, *it))
    made = FleetForecaster(config)
    epochs = (best + 1) * every
    made.network, curve = fit_network(replace(config, epochs=epochs), batteries, work)
    made.network.gate = torch.tensor([pull, share], dtype=torch.float64)
    made.interval.fit(
        [it.change - its.told(pull, share) for it, its in zip(batteries, chosen, strict=True)]
    )
    made.levels.fit(
        [point for it in everyone for point in it.points],
        [it.group for it in everyone for _ in it.points],
    )
    made.learn_batteries(train, fleet.SHORTEST, named)
    made.card = {
        "epochs": epochs,
        "left_out_ratio": _ratio(batteries, chosen, pull, share),
        "training_curve": curve,
    }
    return made.eval()


def fit_network(
    config: Config,
    training: Sequence[Battery],
    work: Work = CPU,
    every: int = 0,
    look: Callable[[FleetNetwork], None] = lambda network: None,
) -> tuple[FleetNetwork, list[float]]:
    """Train a network; return it and its mean loss by epoch.

    Every so many epochs `look` is shown the network as it is then.
    """
    torch.manual_seed(config.seed)
    cut = FleetCut(training)
    noise = (config.noise * spread(training)).to(work.device)  # in their own standard deviations
    network = FleetNetwork(config).to(work.device)
    kept = deepcopy(network).eval()  # its weights run behind as a mean
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    loss_of = nn.SmoothL1Loss(reduction="none")  # Huber's: a change may be a fault
    stream = Stream(cut, work)
    curve = []
    per_epoch = max(1, len(cut) // config.batch_size)
    for epoch in range(1, config.epochs + 1):
        losses = torch.zeros((), dtype=torch.float64, device=work.device)
        network.train()
        order = torch.split(cut.draw(per_epoch * config.batch_size), config.batch_size)
        for part, (inputs, change) in stream.epoch(order):
            network.part = part
            known = torch.isfinite(change) & part.counts
            target = torch.where(known, change, 0)
            loss = (loss_of(network(_disturbed(network, inputs, noise)), target) * known).sum()
            loss = loss / processes.add_up(known.sum())
            optimizer.zero_grad()
            loss.backward()
            processes.add_gradients(network)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            _follow(kept, network)
            losses += loss.detach() / per_epoch
        curve.append(processes.add_up(losses).item())
        if every and epoch % every == 0:
            look(kept)
    return kept.cpu(), curve


def _say(network: FleetNetwork, battery: Battery) -> Said:
    """Ask a network about all of a battery's windows."""
    return Said.joined([Said.of(it, network.run(fleet.masked(it))) for _, it in battery.windows()])


def _ratio(batteries: Sequence[Battery], said: Sequence[Said], pull: float, share: float) -> float:
    """Root mean square error ÷ that of nothing changing, geometric mean over the groups."""
    errors: dict[str, list[tuple[float, float]]] = {}
    for it, its in zip(batteries, said, strict=True):
        wrong, came = it.change - its.told(pull, share), it.change
        squares = ((it.spread * np.clip(off, -CLIP, CLIP)) ** 2 for off in (wrong, came))
        wrong_of, came_of = (float(values.sum()) for values in squares)
        errors.setdefault(it.group, []).append((wrong_of, came_of))
    sums = np.array([np.sum(own, axis=0) for own in errors.values()])  # [groups, 2]
    return float(np.exp(np.log(sums[:, 0] / sums[:, 1]).mean() / 2))


def _turns(batteries: Sequence[Battery]) -> list[list[int]]:
    """Rows of batteries left out in turn, whole groups where there are three or more."""
    groups = [it.group for it in batteries]
    if len(set(groups)) < 3:
        return folds.by_battery([it.battery_id for it in batteries])
    return folds.dealt(groups)


def _disturbed(network: FleetNetwork, inputs: Tensor, noise: Tensor) -> Tensor:
    """Add noise, and hide at some steps what may not be known when the next cycle begins."""
    values, unknown = torch.split(inputs, len(fleet.INPUTS), dim=-1)
    values = values + noise * network.drawn(torch.randn_like, values)
    draws = (network.drawn(torch.rand_like, values[..., :1]) for _ in range(2))
    hidden, rests_too = (it < share for it, share in zip(draws, (HIDDEN, 0.5), strict=True))
    charge, rests = CHARGE.to(values.device), RESTS.to(values.device)
    hidden = hidden & (charge | (rests & rests_too))
    return torch.cat([values.masked_fill(hidden, 0), unknown.masked_fill(hidden, 1)], dim=-1)


def _follow(kept: FleetNetwork, network: FleetNetwork) -> None:
    with torch.no_grad():
        for mean, new in zip(kept.parameters(), network.parameters(), strict=True):
            mean.lerp_(new, 1 - AVERAGED)


def _smooth(values: Sequence[float]) -> Array:
    """Mean of three neighbours, the first and last standing in beyond the ends."""
    beyond = np.array([values[0], *values, values[-1]])
    return np.asarray((beyond[:-2] + beyond[1:-1] + beyond[2:]) / 3)
