"""Trains a model on some batteries, tests it on others: `python -m model.train`."""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import database
from model import config as knobs
from model import data, model_file, plots, progress, scores
from model.config import Config
from model.data import Array, ModelError, Series, Windows
from model.fade import Course
from model.model_file import Forecaster
from model.network import Network

MOST_EPOCHS = 100  # tried when the number of epochs is chosen
CHECK_EVERY = 5  # epochs between two looks at the battery left out
CHOICE_SEEDS = 3  # networks whose mean error the choice is made by


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    knobs.add_flags(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts"), help="where to write (default: artifacts)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # on networks this small a second core waits more than it works
    try:
        run(knobs.from_flags(arguments), arguments.out)
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


def run(config: Config, out: Path) -> None:
    """Read, train, test, and write model.pth, metrics.json and a picture per test battery.

    With other features the names are model_extended.pth or model_custom.pth, and so on. What was
    made from the same cycles, by the same knobs and code, is left as it is. Raises ModelError when
    the batteries cannot serve; then nothing is written.
    """
    check(config)
    with closing(database.connect()) as server:
        train = data.read(server, config.train, config.measured)
        test = data.read(server, config.test, config.measured)
        elsewhere = data.elsewhere(data.by_group(server), [*train, *test])
    training = [data.windows(series, config.window) for series in train]
    testing = [data.windows(series, config.window) for series in test]
    for series in (*train, *test):
        if lacking := int(np.isnan(series.measured).any(axis=1).sum()):
            print(f"{series.battery_id}: {lacking} cycles lack a feature: no window holds them")
    _refuse_leaks(config, train, test, training)

    tail = "" if config.preset == "spec" else f"_{config.preset}"
    path, metrics = out / f"model{tail}.pth", out / f"metrics{tail}.json"
    pictures = [out / f"forecast_{series.battery_id}{tail}.png" for series in test]
    made_from = _fingerprint(config, [*train, *test, *chain.from_iterable(elsewhere)])
    if all(it.exists() for it in (metrics, *pictures)) and _made_from(path) == made_from:
        print(f"nothing to do: {path} was made from the same cycles, knobs and code")
        _tell(json.loads(metrics.read_text(encoding="utf-8")))
        return

    made = fit(config, train, elsewhere=elsewhere)
    predictions = [made.network.run(windows.inputs, windows.last_soh) for windows in testing]
    tested = {
        series.battery_id: {
            "model": scores.errors(predicted, windows.target),
            "persistence": scores.errors(windows.last_soh, windows.target),
        }
        for series, windows, predicted in zip(test, testing, predictions, strict=True)
    }
    simulated = [series.battery_id for series in (*train, *test) if series.is_simulated]
    made.card |= {
        "made_from": made_from,
        "learned_from": model_file.cycles_fingerprint(train),
        "simulated": simulated,
        "train": {
            series.battery_id: {"cycles": len(series.soh), "windows": len(windows.target)}
            for series, windows in zip(train, training, strict=True)
        },
        "test": tested,
    }

    out.mkdir(parents=True, exist_ok=True)
    save(path, made)
    metrics.write_text(json.dumps(made.card, indent=2) + "\n", encoding="utf-8")
    for picture, series, windows, predicted in zip(
        pictures, test, testing, predictions, strict=True
    ):
        plots.forecast(picture, series, windows, predicted, bool(simulated))
    _tell(made.card)
    print(f"written to {out}: {', '.join(it.name for it in (path, metrics, *pictures))}")
    if config.preset == "custom":
        print(f"to serve it: MODEL_PATH={path} uvicorn api.main:app")


def _tell(card: dict[str, Any]) -> None:
    if card["simulated"]:
        print(f"SIMULATED cells, not measurements: {', '.join(card['simulated'])}")
    print(scores.table(card["test"]))


def check(config: Config) -> None:
    """Refuse what cannot make an honest model; raises ModelError."""
    both = sorted(set(config.train) & set(config.test))
    if both:
        raise ModelError(f"{', '.join(both)} is in --train and in --test: test on unseen batteries")
    if len(set(config.train)) < 2:
        raise ModelError(
            "--train needs two batteries or more: each is left out once, "
            "to choose the epochs and to measure the interval"
        )
    for name in ("window", "hidden_1", "hidden_2", "batch_size", "learning_rate"):
        if getattr(config, name) <= 0:
            raise ModelError(f"--{name.replace('_', '-')} must be above 0")
    if not 0 <= config.dropout < 1:
        raise ModelError("--dropout must be at least 0 and below 1")
    if config.epochs < 0 or config.noise < 0:
        raise ModelError("--epochs and --noise must not be below 0")
    if not config.measured:
        raise ModelError("--features needs one that is measured in a cycle, beside the rests")


def _fingerprint(config: Config, series: list[Series]) -> str:
    """Return a checksum of all that a model is made from: knobs, cycles, code and libraries."""
    digest = hashlib.sha256(json.dumps(asdict(config)).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(f"{version('torch')} {version('numpy')}".encode())
    for it in series:
        digest.update(f"{it.battery_id} {it.is_simulated}".encode())
        for values in (it.measured, it.rests, it.capacity_ah, it.soh, it.age, it.operating_point):
            digest.update(values.tobytes())
    return digest.hexdigest()


def _made_from(path: Path) -> str | None:
    """Return the fingerprint in a model file; None where there is none that can be used."""
    try:
        return str(model_file.load_one(path)[0].card.get("made_from"))
    except ModelError:
        return None


def _refuse_leaks(
    config: Config, train: list[Series], test: list[Series], training: list[Windows]
) -> None:
    """Refuse what would make the test easier than the future is; raises ModelError."""
    for seen, unseen in product(train, test):
        if np.array_equal(seen.measured, unseen.measured, equal_nan=True):
            raise ModelError(
                f"{unseen.battery_id} holds the same cycles as {seen.battery_id}: "
                "one battery under two names cannot be learnt from and tested on"
            )
    knowing = scores.leaking(training, config.inputs, config.columns)
    if knowing:
        raise ModelError(
            f"feature {', '.join(knowing)} tells the cycle to predict: "
            "it must not be computed from anything measured after the cycle it stands beside"
        )


def fit(
    config: Config,
    train: list[Series],
    choice_seeds: int = CHOICE_SEEDS,
    elsewhere: Sequence[list[Series]] = (),
) -> Forecaster:
    """Make a forecaster from the training batteries.

    Each of them is left out once: the epochs are chosen by, and the interval measured on, cells
    that the network did not see. Of the groups of batteries `elsewhere` only the fade learns, and
    only how much of a battery's pace lasts.
    """
    training = [data.windows(series, config.window) for series in train]
    epochs, residuals = choose_epochs(config, training, choice_seeds)
    made = Forecaster(config)
    made.network, curve = fit_network(replace(config, epochs=epochs), training)
    made.interval.fit(residuals)
    made.familiarity.fit(train, config.window)
    made.fade.fit(
        [Course.of(series) for series in train],
        elsewhere=[[Course.of(series) for series in kin] for kin in elsewhere],
    )
    made.learn_capacity(train)
    made.card = card(config, epochs, residuals, curve)
    return made.eval()


def choose_epochs(config: Config, training: list[Windows], choice_seeds: int) -> tuple[int, Array]:
    """Leave each training battery out once; return the best number of epochs and the errors there.

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
    return (best + 1) * every, np.concatenate([it[:, best].mean(axis=0) for it in curves])


def fit_network(
    config: Config,
    training: list[Windows],
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


def save(path: Path, made: Forecaster) -> None:
    """Write the state dict, whole or not at all: a service may be reading it."""
    draft = path.with_suffix(".tmp")
    torch.save(made.state_dict(), draft)
    os.replace(draft, path)


def card(config: Config, epochs: int, residuals: Array, curve: list[float]) -> dict[str, Any]:
    """Return what a model says of how it was made."""
    return {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": asdict(config),
        "epochs": epochs,
        "left_out_rmse": float(np.sqrt((residuals**2).mean())),
        "training_curve": curve,
        "features": {
            name: knobs.INPUTS.get(name, "as in cycle_features") for name in config.inputs
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("battery-forecast", "torch", "numpy")},
        },
    }


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


if __name__ == "__main__":
    sys.exit(main())
