"""Measures the forecasts on batteries they were not made from: `python -m model.evaluate`.

Every figure stands beside those of doing nothing, drift, ridge and boosting on the same windows.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from psycopg2.extensions import connection

import database
from model import baselines, cards, data, evaluate_trajectories, plots, progress, scores, train
from model.config import Config
from model.data import Array, ModelError, Series, Windows
from model.model_file import Forecaster

SPECIFIED = ("B0005", "B0006", "B0007", "B0018")
GROUPS = "select battery_id, battery_group from battery_summary order by battery_id"


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
        groups = _groups(server)
        elsewhere = data.elsewhere(data.by_group(server), list(series.values()))
    report: dict[str, Any] = {
        "seeds": seeds,
        "simulated": [it.battery_id for it in series.values() if it.is_simulated],
        **{protocol: {} for protocol in ("one_step", "left_out", "groups")},
    }
    jobs = list(_jobs(series, groups, list(batteries), Config(epochs=epochs), seeds))
    with (
        ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_prepare_worker) as pool,
        progress.steps("evaluation", len(jobs), "protocol") as step,
    ):
        running = {pool.submit(_measure, *job[3:]): job[:3] for job in jobs}
        for done in as_completed(running):
            protocol, features, label = running[done]
            by_label = report[protocol].setdefault(features, {})
            by_label |= {label: done.result()} if protocol == "groups" else done.result()
            step()
    report["trajectories"] = evaluate_trajectories.left_out(list(series.values()), elsewhere)
    report["public_protocol"] = baselines.public_protocol(
        {name: it.capacity_ah[np.isfinite(it.soh)] for name, it in series.items()}
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "model_card.md").write_text(cards.card(report), encoding="utf-8")
    plots.errors(out / "evaluation_errors.png", report["one_step"], series)
    plots.skill(out / "evaluation_skill.png", report)
    if report["simulated"]:
        print(f"SIMULATED cells, not measurements: {', '.join(report['simulated'])}")
    print(cards.summary(report))
    print(f"written to {out}: evaluation.json, model_card.md, evaluation_*.png")


def _prepare_worker() -> None:
    # torch gains nothing from a second core on networks this small: one protocol per core
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # its parent says that it was interrupted


def _jobs(
    series: dict[str, Series],
    groups: dict[str, list[Series]],
    batteries: list[str],
    base: Config,
    seeds: int,
) -> Iterator[tuple[str, str, str, Config, list[Series], list[Series], int]]:
    """Yield protocol, features, label, and the arguments of `_measure`, the longest jobs first."""
    first, tests = batteries[:2], batteries[2:]
    for features in ("extended", "spec"):
        config = replace(base, features=(features,))
        for group, members in groups.items():
            others = [it for name, those in groups.items() if name != group for it in those]
            if len(others) >= 2:
                yield "groups", features, group, config, others, members, 1
        one_step = [series[name] for name in first], [series[name] for name in tests]
        yield "one_step", features, "", config, *one_step, seeds
        for name in batteries:
            others = [it for it in series.values() if it.battery_id != name]
            yield "left_out", features, name, config, others, [series[name]], 1


def _measure(
    config: Config, training: list[Series], tests: list[Series], seeds: int
) -> dict[str, Any]:
    """Train on some batteries with several seeds, and score each test battery by every method."""
    config = replace(config, train=tuple(it.battery_id for it in training), test=())
    cut = [data.windows(it, config.window) for it in training]
    forecasters = [train.fit(config, training, min(seeds, train.CHOICE_SEEDS))]
    chosen = replace(config, epochs=int(forecasters[0].card["epochs"]))
    for seed in range(1, seeds):
        another = Forecaster(config)
        another.network, _ = train.fit_network(replace(chosen, seed=seed), cut)
        another.interval, another.familiarity = forecasters[0].interval, forecasters[0].familiarity
        forecasters.append(another)
    rated_ah = float(forecasters[0].rated_capacity_ah)
    result = {}
    for test in tests:
        windows = data.windows(test, config.window)
        predicted = [it.network.run(windows.inputs, windows.last_soh) for it in forecasters]
        methods = {
            name: scores.full(values, windows, rated_ah)
            for name, values in baselines.predictions(config, cut, windows).items()
        }
        network = [scores.full(values, windows, rated_ah) for values in predicted]
        result[test.battery_id] = {
            "methods": {"network": scores.mean_and_std(network), **methods},
            "interval": _interval(forecasters, predicted, windows),
            "unlike_training": float(
                np.mean([bool(it) for it in forecasters[0].familiarity.unlike(windows.inputs)])
            ),
            "cycle_index": windows.cycle_index.tolist(),
            "error": (np.mean(predicted, axis=0) - windows.target).tolist(),
        }
    return result


def _interval(
    forecasters: list[Forecaster], predicted: list[Array], windows: Windows
) -> dict[str, float]:
    """Coverage and mean width of the 90 % interval, split and adaptive, mean over networks."""
    found: dict[str, list[float]] = {"split_coverage": [], "split_width": []}
    found |= {"adaptive_coverage": [], "adaptive_width": []}
    for forecaster, values in zip(forecasters, predicted, strict=True):
        error = values - windows.target
        split = np.full(len(error), forecaster.interval.half_width(error[:0]))
        adaptive = np.array([forecaster.interval.half_width(error[:k]) for k in range(len(error))])
        for kind, half in (("split", split), ("adaptive", adaptive)):
            found[f"{kind}_coverage"].append(float((np.abs(error) <= half).mean()))
            found[f"{kind}_width"].append(float(2 * half.mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _groups(server: connection) -> dict[str, list[Series]]:
    """Every loaded battery with enough cycles, by the conditions it was tested under."""
    with server, server.cursor() as cursor:
        cursor.execute(GROUPS)
        named = cursor.fetchall()
    groups: dict[str, list[Series]] = {}
    for battery_id, group in named:
        try:
            (series,) = data.read(server, [battery_id])
            data.windows(series, Config().window)
        except ModelError as error:  # too few cycles, or none with what the network needs
            print(f"not in the groups of conditions: {error}")
            continue
        groups.setdefault(group or battery_id, []).append(series)
    return groups


if __name__ == "__main__":
    sys.exit(main())
