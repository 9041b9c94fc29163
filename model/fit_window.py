"""Makes a forecaster of windows of one length: `spec`, `extended` or features of one's own.

Each training battery is left out once: the epochs are chosen by, and the intervals measured on,
cells that the network did not see.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from model import data, progress, spread
from model.config import Config
from model.data import Array, Series, Windows
from model.model_file import Forecaster
from model.network import Network

MOST_EPOCHS = 100  # tried when the number of epochs is chosen
CHECK_EVERY = 5  # epochs between two looks at the battery left out
CHOICE_SEEDS = 3  # networks whose mean error the choice is made by


def fit(
    config: Config,
    train: Sequence[Series],
    choice_seeds: int = CHOICE_SEEDS,
    elsewhere: Sequence[Sequence[Series]] = (),
) -> Forecaster:
    """Make a forecaster from the training batteries.

    Of the groups of batteries `elsewhere` only the fade learns, how much of a pace lasts.
    """
    training = [data.windows(series, config.window) for series in train]
    epochs, residuals = choose_epochs(config, training, choice_seeds)
    made = Forecaster(config)
    made.network, curve = fit_network(replace(config, epochs=epochs), training)
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
    ends = windows.cycle_index - 1  # cycles before the one to predict
    length = windows.inputs.shape[1]
    own = np.array([spread.of_window(series.soh[end - length : end]) for end in ends.tolist()])
    return own * windows.last_soh


def choose_epochs(
    config: Config, training: Sequence[Windows], choice_seeds: int
) -> tuple[int, list[Array]]:
    """Leave each training battery out once; return the best number of epochs and each one's errors.

    The error curve is the mean over batteries and seeds, smoothed over three checkpoints.
    """
    epochs = config.epochs or MOST_EPOCHS
    every = CHECK_EVERY if not config.epochs else epochs
    curves = []  # per battery left out: errors [seeds, checkpoints, windows]
    fits = len(training) * choice_seeds
    with progress.steps("each training battery left out", fits, "network") as step:
        for left_out in training:
            others = [windows for windows in training if windows is not left_out]
            errors = []
            for seed in range(config.seed, config.seed + choice_seeds):
                seen: list[Array] = []
                tried = replace(config, epochs=epochs, seed=seed)
                fit_network(tried, others, every, left_out, seen)
                errors.append(np.array(seen) - left_out.target)
                step()
            curves.append(np.array(errors))
    curve = np.mean([np.sqrt((it**2).mean(axis=2)).mean(axis=0) for it in curves], axis=0)
    padded = np.concatenate([curve[:1], curve, curve[-1:]])
    best = int(((padded[:-2] + padded[1:-1] + padded[2:]) / 3).argmin())
    # one error per window: that of the mean forecast, as of an average network
    return (best + 1) * every, [it[:, best].mean(axis=0) for it in curves]


def fit_network(
    config: Config,
    training: Sequence[Windows],
    every: int = 0,
    left_out: Windows | None = None,
    seen: list[Array] | None = None,
) -> tuple[Network, list[float]]:
    """Train a network; return it and its mean loss, in units of the target's variance, by epoch.

    At every so many epochs its forecasts of the battery left out are added to `seen`.
    """
    torch.manual_seed(config.seed)
    inputs = _tensor(np.concatenate([windows.inputs for windows in training]))
    last_soh = _tensor(np.concatenate([windows.last_soh for windows in training]))
    target = _tensor(np.concatenate([windows.target for windows in training]))
    network = Network(config)
    network.scale_to(inputs, last_soh, target)
    unit = network.output_std  # so that the step size means the same for any target
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    loss_of = nn.MSELoss()
    curve = []
    for epoch in range(1, config.epochs + 1):
        network.train()
        losses = 0.0
        for batch in torch.split(torch.randperm(len(target)), config.batch_size):
            optimizer.zero_grad()
            loss = loss_of(network(inputs[batch], last_soh[batch]) / unit, target[batch] / unit)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses += loss.item() * len(batch) / len(target)
        curve.append(losses)
        if left_out is not None and seen is not None and epoch % every == 0:
            seen.append(network.eval().run(left_out.inputs, left_out.last_soh))
    return network.eval(), curve


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
