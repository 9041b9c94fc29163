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
from psycopg2.extensions import connection

import database
from model import (
    blind,
    data,
    fit_fleet,
    fit_window,
    fleet_cut,
    model_file,
    plots,
    processes,
    scores,
    stream,
)
from model import config as knobs
from model.columns import Columns
from model.config import Config
from model.data import ModelError, Series
from model.model_file import Trained
from model.stream import CPU, Work


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model.train", description=__doc__)
    knobs.add_flags(parser)
    parser.add_argument(
        "--train-group", nargs="+", metavar="GROUP", help="all of these groups, for --train"
    )
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="ID", help="batteries not to learn from"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts"), help="where to write (default: artifacts)"
    )
    parser.add_argument(
        "--device", default="cpu", help="where to train: cpu, cuda, cuda:1, … (default: cpu)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that cut windows beside (default: 0)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # on networks this small a second core waits more than it works
    try:
        work = stream.work(arguments.device, arguments.workers)
        with processes.together(work.device):
            with closing(database.connect()) as server:
                config, train = chosen(
                    server, knobs.from_flags(arguments), arguments.train_group, arguments.exclude
                )
            run(config, arguments.out, work, train)
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


def chosen(
    server: connection, config: Config, groups: Sequence[str] | None, exclude: Sequence[str]
) -> tuple[Config, list[Series]]:
    """Name the training batteries: all, those of groups, or those given, less some.

    Of all and of groups, test batteries and those with too few cycles are left out; these have been
    read by then. Raises ModelError.
    """
    group_of = data.groups(server)
    there = sorted({*group_of.values()})
    if unknown := sorted({*(groups or ())} - {*there}):
        raise ModelError(f"there is no group {', '.join(unknown)}: there are {data.listed(there)}")
    if unknown := sorted({*exclude} - {*group_of}):
        raise ModelError(f"--exclude: there is no battery {', '.join(unknown)}")
    if groups:
        named = [it for it in group_of if group_of[it] in groups]
    elif config.train == ("all",):
        named = list(group_of)
    else:
        return replace(config, train=tuple(it for it in config.train if it not in exclude)), []
    train = []
    wanted = [it for it in named if it not in {*config.test, *exclude}]
    for series in data.unchecked(server, wanted, config.measured):
        try:
            data.check(server, series)
            if config.preset == "fleet":
                fleet_cut.check(series)
            else:
                data.windows(series, config.window)
            train.append(series)
        except ModelError as error:
            print(f"not learned from: {error}")
    return replace(config, train=tuple(it.battery_id for it in train)), train


def run(config: Config, out: Path, work: Work = CPU, train: Sequence[Series] = ()) -> None:
    """Read, train, test, and write model.pth, metrics.json and a picture per test battery.

    With other features the names are model_extended.pth, model_fleet.pth or model_custom.pth, and
    so on. What was made from the same cycles, by the same knobs and code, is left as it is. The
    batteries to train on may have been read. Raises ModelError when batteries cannot serve; then
    nothing is written.
    """
    check(config)
    is_fleet = config.preset == "fleet"
    with closing(database.connect()) as server:
        train = train or data.read(server, config.train, config.measured)
        test = data.read(server, config.test, config.measured)
        groups = data.groups(server)
        kinds = {} if is_fleet else data.by_group(server)  # a fleet is of all kinds itself
        elsewhere = data.elsewhere(kinds, [*train, *test])
    for series in (*train, *test):
        if lacking := int(np.isnan(series.measured).any(axis=1).sum()):
            print(f"{series.battery_id}: {lacking} cycles lack a feature: no window holds them")
    _refuse_leaks(config, train, test)

    tail = "" if config.preset == "spec" else f"_{config.preset}"
    path, metrics = out / f"model{tail}.pth", out / f"metrics{tail}.json"
    pictures = [out / f"forecast_{series.battery_id}{tail}.png" for series in test]
    made_from = _fingerprint(config, [*train, *test, *chain.from_iterable(elsewhere)])
    if all(it.exists() for it in (metrics, *pictures)) and _made_from(path) == made_from:
        print(f"nothing to do: {path} was made from the same cycles, knobs and code")
        _tell(json.loads(metrics.read_text(encoding="utf-8")))
        return

    if not is_fleet:
        for series in test:  # before the long work
            data.windows(series, config.window)
    made = (
        fit_fleet.fit(config, train, groups, work)
        if is_fleet
        else fit_window.fit(config, train, elsewhere=elsewhere, work=work)
    )
    if processes.number():
        return
    tested = [blind.test(made, series) for series in test]
    simulated = [series.battery_id for series in (*train, *test) if series.is_simulated]
    made.card |= {
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": asdict(config),
        "features": _features(config),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("battery-forecast", "torch", "numpy")},
        },
        "made_from": made_from,
        "learned_from": model_file.cycles_fingerprint(train),
        "simulated": simulated,
        "train": {series.battery_id: {"cycles": len(series.soh)} for series in train},
        "test": {
            series.battery_id: {
                "model": scores.errors(it.predicted, it.target),
                "persistence": scores.errors(it.last_soh, it.target),
            }
            for series, it in zip(test, tested, strict=True)
        },
    }

    out.mkdir(parents=True, exist_ok=True)
    save(path, made)
    metrics.write_text(json.dumps(made.card, indent=2) + "\n", encoding="utf-8")
    for picture, series, it in zip(pictures, test, tested, strict=True):
        plots.forecast(picture, series, it.cycle_index, it.last_soh, it.predicted, bool(simulated))
    _tell(made.card)
    print(f"written to {out}: {', '.join(it.name for it in (path, metrics, *pictures))}")
    if config.preset == "custom":
        print(f"to serve it: MODEL_PATH={path} uvicorn api.main:app")


def _features(config: Config) -> dict[str, str]:
    if config.preset == "fleet":
        return {"cycle_series": "all that is known of a cycle, in the battery's own scale"}
    return {name: knobs.INPUTS.get(name, "as in cycle_features") for name in config.inputs}


def _tell(card: dict[str, Any]) -> None:
    if card["simulated"]:
        print(f"SIMULATED cells, not measurements: {data.listed(card['simulated'])}")
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
    if not config.measured and config.preset != "fleet":
        raise ModelError("--features needs one that is measured in a cycle, beside the rests")


def _fingerprint(config: Config, series: list[Series]) -> str:
    """Return a checksum of all that a model is made from: knobs, cycles, code and libraries."""
    digest = hashlib.sha256(json.dumps(asdict(config)).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(f"{version('torch')} {version('numpy')}".encode())
    for it in series:
        digest.update(f"{it.battery_id} {it.is_simulated}".encode())
        assert isinstance(it.cycles, Columns)
        digest.update(" ".join(it.cycles.names).encode() + it.cycles.values.tobytes())
    return digest.hexdigest()


def _made_from(path: Path) -> str | None:
    """Return the fingerprint in a model file; None where there is none that can be used."""
    try:
        return str(model_file.load_one(path)[0].card.get("made_from"))
    except ModelError:
        return None


def _refuse_leaks(config: Config, train: Sequence[Series], test: Sequence[Series]) -> None:
    """Refuse what would make the test easier than the future is; raises ModelError."""
    for seen, unseen in product(train, test):
        if np.array_equal(seen.capacity_ah, unseen.capacity_ah) and np.array_equal(
            seen.measured, unseen.measured, equal_nan=True
        ):
            raise ModelError(
                f"{unseen.battery_id} holds the same cycles as {seen.battery_id}: "
                "one battery under two names cannot be learnt from and tested on"
            )
    if config.preset == "fleet":
        return
    training = [data.windows(series, config.window) for series in train]
    if knowing := scores.leaking(training, config.inputs, config.columns):
        raise ModelError(
            f"feature {', '.join(knowing)} tells the cycle to predict: "
            "it must not be computed from anything measured after the cycle it stands beside"
        )


def save(path: Path, made: Trained) -> None:
    """Write the state dict, whole or not at all: a service may be reading it."""
    draft = path.with_suffix(".tmp")
    torch.save(made.state_dict(), draft)
    os.replace(draft, path)


if __name__ == "__main__":
    sys.exit(main())
