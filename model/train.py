"""Trains the network on some batteries, tests it on others: `python -m model.train`."""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

import database
from model import config as knobs
from model import data, evaluate
from model.config import Config
from model.data import ModelError, Series, Windows
from model.network import Network


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    knobs.add_flags(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts"), help="where to write (default: artifacts)"
    )
    arguments = parser.parse_args()
    try:
        run(knobs.from_flags(arguments), arguments.out)
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(config: Config, out: Path) -> None:
    """Read, train, test, and write model.pth, metrics.json and a picture per test battery.

    Raises ModelError when the batteries cannot serve; then nothing is written.
    """
    check(config)
    server = database.connect()
    train = data.read(server, config.train, config.features)
    test = data.read(server, config.test, config.features)
    server.close()
    training = [data.windows(series, config.window) for series in train]
    testing = [data.windows(series, config.window) for series in test]

    network = fit(config, training)
    predictions = [predict(network, windows) for windows in testing]

    tested = {
        series.battery_id: {
            "model": evaluate.errors(predicted, windows.target),
            "persistence": evaluate.errors(windows.last_soh, windows.target),
        }
        for series, windows, predicted in zip(test, testing, predictions, strict=True)
    }
    out.mkdir(parents=True, exist_ok=True)
    save(out / "model.pth", network)
    report = metrics(config, train, training, tested)
    (out / "metrics.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for series, windows, predicted in zip(test, testing, predictions, strict=True):
        evaluate.draw(out / f"forecast_{series.battery_id}.png", series, windows, predicted)
    print(evaluate.table(tested))
    print(f"written to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def check(config: Config) -> None:
    """Refuse what cannot make an honest model; raises ModelError."""
    both = sorted(set(config.train) & set(config.test))
    if both:
        raise ModelError(f"{', '.join(both)} is in --train and in --test: test on unseen batteries")
    for name in ("window", "hidden_1", "hidden_2", "epochs", "batch_size", "learning_rate"):
        if getattr(config, name) <= 0:
            raise ModelError(f"--{name.replace('_', '-')} must be above 0")
    if not 0 <= config.dropout < 1:
        raise ModelError("--dropout must be at least 0 and below 1")


def fit(config: Config, training: list[Windows]) -> Network:
    """Train a network on the windows of the training batteries, and of no others."""
    torch.manual_seed(config.seed)
    inputs = _tensor(np.concatenate([windows.inputs for windows in training]))
    target = _tensor(np.concatenate([windows.target for windows in training]))
    network = Network(config)
    network.scale_to(inputs, target)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    loss_of = nn.MSELoss()
    network.train()
    with tqdm(
        range(config.epochs), desc="training", unit="epoch", disable=not sys.stderr.isatty()
    ) as progress:
        for _ in progress:
            for batch in torch.split(torch.randperm(len(target)), config.batch_size):
                optimizer.zero_grad()
                # in units of the target's own spread, so that the step size means the same anywhere
                loss = loss_of(
                    network(inputs[batch]) / network.soh_std, target[batch] / network.soh_std
                )
                loss.backward()
                optimizer.step()
            progress.set_postfix(loss=f"{loss.item():.4f}")
    return network.eval()


def predict(network: Network, windows: Windows) -> data.Array:
    """Predict the SOH [windows] of the cycle after each window."""
    with torch.no_grad():
        predicted: data.Array = network(_tensor(windows.inputs)).double().numpy()
    return predicted


def save(path: Path, network: Network) -> None:
    """Write the state dict, whole or not at all: a service may be reading it."""
    draft = path.with_suffix(".tmp")
    torch.save(network.state_dict(), draft)
    os.replace(draft, path)


def metrics(
    config: Config,
    train: list[Series],
    training: list[Windows],
    tested: dict[str, dict[str, evaluate.Errors]],
) -> dict[str, Any]:
    """Return all that metrics.json says."""
    return {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.to_json(),
        "train": {
            series.battery_id: {"cycles": len(series.soh), "windows": len(windows.target)}
            for series, windows in zip(train, training, strict=True)
        },
        "test": tested,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("battery-forecast", "torch", "numpy")},
        },
    }


def _tensor(values: data.Array) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


if __name__ == "__main__":
    sys.exit(main())
