"""Measures trajectories of batteries left out: `python -m model.evaluate_trajectories`.

Beside each stand persistence, the last SOH for ever, and the line through the last 20 truths.
"""

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

import database
from model import data
from model.columns import Array
from model.data import ModelError, Series
from model.fade import END_OF_LIFE_SOH, FEWEST, Course, Fade

BATTERIES = ("B0005", "B0006", "B0007", "B0018")
ORIGINS = (17, 50, 80)  # truths known when these are forecast to their end
SHARES = (1 / 3, 1 / 2, 2 / 3)  # of a battery's truths, known when others are
LINE = 20  # truths that the line is drawn through
FARTHEST = 2000  # cycles within which an end of life is looked for
METHODS = ("fade", "persistence", "line")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m model.evaluate_trajectories", description=__doc__
    )
    parser.add_argument(
        "--reference-charge",
        type=Path,
        metavar="FILE",
        help="CSV of battery_id, reference_index, charge_ah: reference tests of randomized cells "
        "that are not loaded, to test on what simulated cells and RW26 teach",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts"), help="where to write (default: artifacts)"
    )
    arguments = parser.parse_args()
    try:
        with closing(database.connect()) as server:
            groups = data.by_group(server)
        report = run(groups, arguments.reference_charge)
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "trajectories.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for protocol, found in report.items():
        print(f"{protocol}\n{summary(found)}\n")
    print(f"written to {path}")
    return 0


def run(groups: dict[str, list[Series]], reference_charge: Path | None = None) -> dict[str, Any]:
    """Run every protocol that the batteries, by group, allow."""
    measured = _without_simulated(groups)
    kin = [it for members in measured.values() for it in members if it.battery_id in BATTERIES]
    report: dict[str, Any] = {}
    if len(kin) > 2:
        report["battery left out"] = left_out(kin, data.elsewhere(measured, kin))
    if len(measured) > 2:
        report["group left out"] = groups_left_out(measured)
    if reference_charge:
        report["randomized"] = randomized(groups, reference_charge)
    return report


def left_out(kin: list[Series], elsewhere: list[list[Series]]) -> dict[str, Any]:
    """Leave each battery out; forecast it to its end from each origin by the others of its kind."""
    others = [[Course.of(it) for it in those] for those in elsewhere]
    result = {}
    for tested in kin:
        fade = Fade()
        fade.fit([Course.of(it) for it in kin if it is not tested], elsewhere=others)
        result[tested.battery_id] = _score(fade, Course.of(tested), ORIGINS, _rated_ah(tested))
    return result


def groups_left_out(groups: dict[str, list[Series]]) -> dict[str, Any]:
    """Leave each group of conditions out; forecast its batteries by those of all other groups."""
    courses = {
        group: {it.battery_id: (Course.of(it), _rated_ah(it)) for it in members}
        for group, members in groups.items()
    }
    result = {}
    for tested, members in courses.items():
        training = [
            (course, group)
            for group, those in courses.items()
            for course, _ in those.values()
            if group != tested and len(course.soh) >= FEWEST
        ]
        fade = Fade()
        fade.fit([course for course, _ in training], [group for _, group in training])
        for battery_id, (course, rated_ah) in members.items():
            if len(course.soh) >= FEWEST:
                origins = [round(len(course.soh) * share) for share in SHARES]
                result[battery_id] = _score(fade, course, origins, rated_ah)
    return result


def randomized(groups: dict[str, list[Series]], path: Path) -> dict[str, Any]:
    """Learn from all randomized cells loaded, simulated or not; forecast others from half of tests.

    Simulated cells are left out together, and forecast by measured ones, and these by those: what
    is to be forecast is unlike the simulated. Of the others only the charge of each reference test
    is known: the tests are taken to lie as many cycles and full cycles apart as those of the
    measured cells in training.
    """
    training = [
        it for name, those in groups.items() if name.startswith("randomized") for it in those
    ]
    measured = [Course.of(it) for it in training if not it.is_simulated]
    if not measured or len(training) < 2:
        raise ModelError("the randomized protocol needs RW26 and simulated cells: load them")
    fade = Fade()
    fade.fit([Course.of(it) for it in training], [str(it.is_simulated) for it in training])
    rated_ah = _rated_ah(next(it for it in training if not it.is_simulated))
    cycles = np.median(np.concatenate([np.diff(it.cycle) for it in measured]))
    full_cycles = np.median(np.concatenate([np.diff(it.past().at) for it in measured]))
    result = {}
    for battery_id, charge_ah in _charges(path).items():
        if battery_id in {it.battery_id for it in training}:
            continue
        soh = charge_ah / rated_ah
        between = (soh[1:] + soh[:-1]) / 2
        cycle = 1 + np.round(cycles * np.arange(len(soh)))
        age = np.cumsum(np.append(soh[0], full_cycles * between))
        course = Course(cycle, age, soh, int(cycle[-1]), float(age[-1]))
        result[battery_id] = _score(fade, course, [len(soh) // 2], rated_ah)
    return result


def summary(found: dict[str, Any]) -> str:
    """Scores by battery and origin as text, and geometric means of RMSE ÷ those of doing less."""
    lines = [f"{'battery':<9}{'from':>5}" + "".join(f"{it:>13}" for it in (*METHODS, "coverage"))]
    ratios = defaultdict(list)
    for battery_id, it in found.items():
        for origin, scores in it["origins"].items():
            figures = "".join(f"{scores['rmse_ah'][name]:>13.4f}" for name in METHODS)
            lines.append(f"{battery_id:<9}{origin:>5}{figures}{scores['coverage']:>13.2f}")
        total = {
            name: sum(it["rmse_ah"][name] ** 2 for it in it["origins"].values()) for name in METHODS
        }
        for name in METHODS[1:]:
            ratios[name].append(total["fade"] / total[name])
        ratios["the better"].append(total["fade"] / min(total[name] for name in METHODS[1:]))
    means = (f"{np.exp(np.mean(np.log(it)) / 2):.2f} of {name}" for name, it in ratios.items())
    return "\n".join([*lines, f"RMSE in Ah; geometric mean over batteries {', '.join(means)}"])


def _score(fade: Fade, course: Course, origins: Sequence[int], rated_ah: float) -> dict[str, Any]:
    """Forecast a battery from some of its truths to its last, and to its end of life."""
    below = np.flatnonzero(course.soh < END_OF_LIFE_SOH)
    end = int(course.cycle[below[0]]) if below.size else None
    by_origin = {}
    for origin in (it for it in origins if it < len(course.soh)):
        past, cycle, soh = until(course, origin), course.cycle[origin:], course.soh[origin:]
        made = fade.forecast(past, FARTHEST)
        rows = (cycle - past.last_cycle - 1).astype(int)
        forecasts = {
            "fade": np.array(made.soh)[rows],
            "persistence": np.full(len(soh), past.soh[-1]),
            "line": _line(past, cycle),
        }
        low, high = np.array(made.soh_low)[rows], np.array(made.soh_high)[rows]
        predicted = made.end_of_life + past.last_cycle if made.end_of_life else None
        off = predicted - end if predicted and end and end > past.last_cycle else None
        by_origin[str(origin)] = {
            "rmse_ah": {
                name: rated_ah * float(np.sqrt(np.mean((it - soh) ** 2)))
                for name, it in forecasts.items()
            },
            "coverage": float(((low <= soh) & (soh <= high)).mean()),
            "end_of_life": predicted,
            "rul_error": off,
            "relative_error": None if off is None or end is None else abs(off) / end,
        }
    return {"end_of_life": end, "origins": by_origin}


def until(course: Course, truths: int) -> Course:
    """Return what was known of a battery at one of its truths."""
    cycle, age = course.cycle[:truths], course.age[:truths]
    return Course(cycle, age, course.soh[:truths], int(cycle[-1]), float(age[-1]))


def _line(past: Course, cycle: Array) -> Array:
    if len(past.soh) < 2:
        return np.full(len(cycle), past.soh[-1])
    slope, offset = np.polyfit(past.cycle[-LINE:], past.soh[-LINE:], 1)
    line: Array = slope * cycle + offset
    return line


def _rated_ah(series: Series) -> float:
    return float(np.nanmedian(series.capacity_ah / series.soh))


def _without_simulated(groups: dict[str, list[Series]]) -> dict[str, list[Series]]:
    kept = {name: [it for it in those if not it.is_simulated] for name, those in groups.items()}
    return {name: those for name, those in kept.items() if those}


def _charges(path: Path) -> dict[str, Array]:
    """Charge of each reference test in Ah, by battery, in time order."""
    charges = defaultdict(list)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                charges[row["battery_id"]].append(float(row["charge_ah"]))
    except (OSError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: {error!r}; columns battery_id, charge_ah are needed") from None
    return {battery_id: np.array(values) for battery_id, values in charges.items()}


if __name__ == "__main__":
    sys.exit(main())
