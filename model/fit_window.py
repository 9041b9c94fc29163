"""Makes a forecaster of windows of one length: `spec`, `extended` or features of one's own.

Each training battery is left out once, alone or with others: the epochs are chosen by, and the
intervals measured on, cells that the network did not see.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from model import data, folds, processes, progress, spread
from model.columns import Array
from model.config import Config
from model.data import Series, Windows
from model.model_file import Forecaster
from model.network import BATCH, Network
from model.stream import CPU, FixedCut, Stream, Work

MOST_EPOCHS = 100  # tried when the number of epochs is chosen
CHECK_EVERY = 5  # epochs between two looks at the batteries left out
CHOICE_SEEDS = 3  # networks whose mean error the choice is made by, while there are few batteries


def fit(
    config: Config,
    train: Sequence[Series],
    choice_seeds: int = CHOICE_SEEDS,
    elsewhere: Sequence[Sequence[Series]] = (),
    work: Work = CPU,
) -> Forecaster:
    """Make a forecaster from the training batteries.

    Of the groups of batteries `elsewhere` only the fade learns, how much of a pace lasts.
    """
    training = [data.windows(series, config.window) for series in train]
    epochs, residuals = choose_epochs(config, training, choice_seeds, work)
    made = Forecaster(config)
    made.network, curve = fit_network(replace(config, epochs=epochs), training, work)
    made.interval.fit(
        [
            error / spreads(it, series)
            for error, it, series in zip(residuals, training, train, strict=True)
        ]
    )
    made.learn_batteries(train, config.window, elsewhere=elsewhere)
    made.card = {
        "epochs": epochs,
        "left_out_rmse": float(np.sqrt((np.concatenate(residuals) ** 2).mean())),
        "training_curve": curve,
    }
    return made.eval()


def spreads(windows: Windows, series: Series) -> Array:
    """Spread of each of a battery's windows, in SOH, [windows]."""
    end = windows.cycle_index - 1  # cycles before the one to predict
    return spread.of_windows(series.soh, end, windows.length) * windows.last_soh


def choose_epochs(
    config: Config, training: Sequence[Windows], choice_seeds: int, work: Work = CPU
) -> tuple[int, list[Array]]:
    """Leave training batteries out in turn; return the best number of epochs and each one's errors.

    The error curve is the mean over batteries and seeds, smoothed over three checkpoints.
    """
    epochs = config.epochs or MOST_EPOCHS
    every = CHECK_EVERY if not config.epochs else epochs
    turns = folds.by_battery([str(row) for row in range(len(training))])
    seeds = range(config.seed, config.seed + (choice_seeds if len(training) < folds.FEW else 1))
    # by battery left out, seed and checkpoint: what was said [windows]
    said: list[list[list[Array]]] = [[[] for _ in seeds] for _ in training]
    with progress.steps("training batteries left out", len(turns) * len(seeds), "network") as step:
        for left_out in turns:
            others = [it for row, it in enumerate(training) if row not in left_out]
            for at, seed in enumerate(seeds):

                def look(network: Network, rows: Sequence[int] = left_out, at: int = at) -> None:
                    for row in rows:
                        it = training[row]
                        output = network.run(it.inputs, it.last_soh)
                        said[row][at].append(output.astype(np.float32))

                tried = replace(config, epochs=epochs, seed=seed)
                fit_network(tried, others, work, every, look)
                step()
    errors = [np.array(it) - windows.target for it, windows in zip(said, training, strict=True)]
    curve = np.mean([np.sqrt((it**2).mean(axis=2)).mean(axis=0) for it in errors], axis=0)
    padded = np.concatenate([curve[:1], curve, curve[-1:]])
    best = int(((padded[:-2] + padded[1:-1] + padded[2:]) / 3).argmin())
    # one error per window: that of the mean forecast, as of an average network
    return (best + 1) * every, [it[:, best].mean(axis=0) for it in errors]


def fit_network(
    config: Config,
    training: Sequence[Windows],
    work: Work = CPU,
    every: int = 0,
    look: Callable[[Network], None] = lambda network: None,
) -> tuple[Network, list[float]]:
    """Train a network; return it and its mean loss, in units of the target's variance, by epoch.

    Every so many epochs `look` is shown the network as it is then.
    """
    torch.manual_seed(config.seed)
    cut = FixedCut(training)
    network = Network(config)
    network.scale_to(lambda: _some(cut), cut.last_soh, cut.target)
    network.to(work.device)
    unit = network.output_std  # so that the step size means the same for any target
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    loss_of = nn.MSELoss(reduction="sum")
    stream = Stream(cut, work)
    curve = []
    for epoch in range(1, config.epochs + 1):
        network.train()
        losses = torch.zeros((), dtype=torch.float64, device=work.device)
        order = torch.split(torch.randperm(len(cut)), config.batch_size)
        for part, (window, last_soh, target) in stream.epoch(order):
            network.part = part
            optimizer.zero_grad()
            loss = loss_of(network(window, last_soh) / unit, target / unit) * part.weight
            loss.backward()
            processes.add_gradients(network)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses += loss.detach() * (part.whole / len(cut))
        curve.append(processes.add_up(losses).item())
        if every and epoch % every == 0:
            look(network.eval())
    return network.eval().cpu(), curve


def _some(cut: FixedCut) -> Iterator[Tensor]:
    """Cut all windows, some at a time."""
    return (cut(rows)[0] for rows in torch.split(torch.arange(len(cut)), BATCH))
