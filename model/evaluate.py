"""Measures the forecasts on batteries they were not made from: `python -m model.evaluate`.

Every figure stands beside those of doing nothing, drift, ridge and boosting on the same windows.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

import database
from model import (
    baselines,
    cards,
    data,
    evaluate_cycle,
    evaluate_fleet,
    evaluate_trajectories,
    fleet_cut,
    plots,
    progress,
)
from model.config import MEASURED, Config
from model.data import ModelError, Series

SPECIFIED = ("B0005", "B0006", "B0007", "B0018")
FLEET_SEEDS = 3
# protocol, features or group, label; what measures it; of what
Job = tuple[tuple[str, str, str], Callable[..., dict[str, Any]], tuple[Any, ...]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m model.evaluate", description=__doc__)
    parser.add_argument(
        "--batteries",
        nargs=4,
        default=SPECIFIED,
        metavar=("TRAIN", "TRAIN", "TEST", "TEST"),
        help=f"two to train on, two to test on (default: {' '.join(SPECIFIED)})",
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="networks per figure (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, default=0, help="passes of training; 0: chosen on training batteries"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts"), help="where to write (default: artifacts)"
    )
    arguments = parser.parse_args()
    try:
        run(arguments.batteries, arguments.seeds, arguments.epochs, arguments.out)
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


def run(batteries: Sequence[str], seeds: int, epochs: int, out: Path) -> None:
    """Run every protocol and write evaluation.json, model_card.md and the pictures to `out`."""
    with closing(database.connect()) as server:
        series = {it.battery_id: it for it in data.read(server, batteries)}
        groups = data.groups(server)
        elsewhere = data.elsewhere(data.by_group(server), list(series.values()))
        loaded = data.read(server, list(groups), ())
        whole = data.read(server, _whole(loaded))
    report: dict[str, Any] = {
        "seeds": seeds,
        "simulated": [it.battery_id for it in series.values() if it.is_simulated],
        **{protocol: {} for protocol in ("one_step", "left_out", "groups", "fleet")},
    }
    base = Config(epochs=epochs)
    jobs = [*_fleet_jobs(loaded, groups, base, seeds)]
    jobs += _jobs(series, by_group(whole, groups), list(batteries), base, seeds)
    with (
        ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_prepare_worker) as pool,
        progress.steps("evaluation", len(jobs), "protocol") as step,
    ):
        running = {pool.submit(measure, *given): names for names, measure, given in jobs}
        for done in as_completed(running):
            protocol, features, label = running[done]
            by_label = report[protocol].setdefault(features, {})
            if protocol in ("one_step", "left_out"):
                by_label |= done.result()
            else:
                by_label[label] = done.result()
            step()
    report["fleet"] = evaluate_fleet.summary(report["fleet"])
    report["trajectories"] = evaluate_trajectories.left_out(list(series.values()), elsewhere)
    report["public_protocol"] = baselines.public_protocol(
        {name: it.capacity_ah[np.isfinite(it.soh)] for name, it in series.items()}
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "model_card.md").write_text(cards.card(report), encoding="utf-8")
    plots.errors(out / "evaluation_errors.png", report["one_step"], series)
    plots.skill(out / "evaluation_skill.png", report)
    plots.carries_over(out / "evaluation_groups.png", report)
    if report["simulated"]:
        print(f"SIMULATED cells, not measurements: {', '.join(report['simulated'])}")
    print(cards.summary(report))
    print(f"written to {out}: evaluation.json, model_card.md, evaluation_*.png")


def by_group(series: Sequence[Series], groups: Mapping[str, str]) -> dict[str, list[Series]]:
    """Put batteries together that were tested under the same conditions."""
    together: dict[str, list[Series]] = {}
    for it in series:
        together.setdefault(groups[it.battery_id], []).append(it)
    return together


def _whole(loaded: Sequence[Series]) -> list[str]:
    """Name the batteries with enough cycles, and all that `spec` needs, for windows of 50."""
    found, short = [], []
    for it in loaded:
        try:
            data.windows(replace(it, names=MEASURED), Config().window)
            found.append(it.battery_id)
        except ModelError:  # too few cycles, or none with what the network needs
            short.append(it.battery_id)
    if short:
        print(f"without a window for spec and extended: {data.listed(short)}")
    return found


def _prepare_worker() -> None:
    # torch gains nothing from a second core on networks this small: one protocol per core
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # its parent says that it was interrupted


def _fleet_jobs(
    loaded: Sequence[Series], groups: dict[str, str], base: Config, seeds: int
) -> Iterator[Job]:
    """Each group of conditions left out, with up to three seeds."""
    able = [
        it
        for it in loaded
        if np.isfinite(it.soh).sum() > 1 and len(fleet_cut.battery(it, base.window).end)
    ]
    together = by_group(able, groups)
    for seed in range(min(seeds, FLEET_SEEDS)):
        config = replace(base, features=("fleet",), seed=seed)
        for group, members in together.items():
            others = [it for it in able if it not in members]
            if len(others) >= 2:
                name = ("fleet", group, str(seed))
                yield name, evaluate_fleet.measure, (config, others, members, groups)


def _jobs(
    series: dict[str, Series],
    groups: dict[str, list[Series]],
    batteries: list[str],
    base: Config,
    seeds: int,
) -> Iterator[Job]:
    """The protocols of networks for windows of one length, the longest jobs first."""
    first, tests = batteries[:2], batteries[2:]
    measure = evaluate_cycle.measure
    for features in ("extended", "spec"):
        config = replace(base, features=(features,))
        for group, members in groups.items():
            others = [it for name, those in groups.items() if name != group for it in those]
            if len(others) >= 2:
                yield ("groups", features, group), measure, (config, others, members, 1)
        one_step = [series[name] for name in first], [series[name] for name in tests]
        yield ("one_step", features, ""), measure, (config, *one_step, seeds)
        for name in batteries:
            others = [it for it in series.values() if it.battery_id != name]
            yield ("left_out", features, name), measure, (config, others, [series[name]], 1)


if __name__ == "__main__":
    sys.exit(main())
