"""The pictures: forecasts beside measurements, errors over a life, skill by battery."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.columns import Array
from model.data import Series
from model.fade import END_OF_LIFE_SOH

LONG_REST_HOURS = 12


SIMULATED = " – SIMULATED, not measured"


def forecast(
    path: Path,
    series: Series,
    cycle_index: NDArray[np.int64],
    last_soh: Array,
    predicted: Array,
    is_simulated: bool,
) -> None:
    """Draw measured and predicted SOH over cycles, with persistence and the end of life."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(series.cycle_index, series.soh, color="0.25", lw=1.2, label="measured")
    axes.plot(
        cycle_index,
        last_soh,
        color="tab:orange",
        lw=1,
        ls=":",
        label="persistence (SOH of the cycle before)",
    )
    axes.plot(cycle_index, predicted, color="tab:blue", lw=1.6, label="predicted")
    axes.axhline(END_OF_LIFE_SOH, color="tab:red", lw=1, ls="--", label="end of life, 70 %")
    axes.set_title(
        f"{series.battery_id}: state of health of the next cycle{SIMULATED * is_simulated}"
    )
    axes.set_xlabel("cycle")
    axes.set_ylabel("SOH (discharge capacity ÷ rated capacity)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def errors(path: Path, one_step: dict[str, Any], series: dict[str, Series]) -> None:
    """Draw the error of each test battery's forecasts over its cycles, long rests marked."""
    batteries = list(one_step["spec"])
    figure = Figure(figsize=(9, 3.2 * len(batteries)), layout="constrained")
    for axes, battery_id in zip(
        figure.subplots(len(batteries), squeeze=False)[:, 0], batteries, strict=True
    ):
        own = series[battery_id]
        for cycle in own.cycle_index[own.rests.sum(axis=1) > LONG_REST_HOURS]:
            axes.axvline(cycle, color="0.85", lw=3, zorder=0)
        for features, colour in (("spec", "tab:orange"), ("extended", "tab:blue")):
            found = one_step[features][battery_id]
            axes.plot(found["cycle_index"], found["error"], color=colour, lw=1.2, label=features)
        axes.axhline(0, color="0.25", lw=0.8)
        axes.set_title(
            f"{battery_id}: error of the forecast (grey: after a long rest)"
            f"{SIMULATED * own.is_simulated}"
        )
        axes.set_xlabel("cycle")
        axes.set_ylabel("predicted − measured SOH")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


def skill(path: Path, report: dict[str, Any]) -> None:
    """Draw, by battery left out, how much better than persistence each feature set is."""
    batteries = list(report["left_out"]["spec"])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for offset, (features, colour) in enumerate((("spec", "tab:orange"), ("extended", "tab:blue"))):
        values = [
            report["left_out"][features][it]["methods"]["network"]["skill"] for it in batteries
        ]
        axes.bar(
            [row + 0.4 * offset - 0.2 for row in range(len(batteries))],
            values,
            width=0.38,
            color=colour,
            label=features,
        )
    axes.axhline(0, color="0.25", lw=0.8)
    axes.set_xticks(range(len(batteries)), batteries)
    simulated = SIMULATED * bool(report["simulated"])
    axes.set_title(f"Skill against persistence, battery left out of training{simulated}")
    axes.set_ylabel("1 − RMSE ÷ RMSE of persistence")
    axes.grid(alpha=0.3, axis="y")
    axes.legend()
    figure.savefig(path, dpi=120)


def carries_over(path: Path, report: dict[str, Any]) -> None:
    """Draw, by group of conditions left out of training, the error beside that of persistence."""
    groups = report["fleet"]["groups"]
    figure = Figure(figsize=(9, 0.7 * len(groups) + 1.6), layout="constrained")
    axes = figure.subplots()
    kinds = (
        ("all cycles", "tab:blue"),
        ("ordinary", "tab:green"),
        ("regeneration", "tab:orange"),
        ("operating point", "tab:purple"),
    )
    for row, found in enumerate(groups.values()):
        for at, (kind, colour) in enumerate(kinds):
            scored = found if kind == "all cycles" else found["kinds"].get(kind)
            if scored:
                axes.barh(row + 0.2 * (1.5 - at), scored["ratio"], 0.18, color=colour)
    for kind, colour in kinds:
        axes.barh(0, 0, color=colour, label=kind)
    axes.axvline(1, color="0.25", lw=1, ls="--", label="persistence")
    axes.set_yticks(
        range(len(groups)),
        [f"{group} ({found['windows']:.0f})" for group, found in groups.items()],
    )
    axes.set_xlabel("RMSE ÷ RMSE of saying that nothing changes")
    simulated = SIMULATED * bool(report["simulated"])
    axes.set_title(f"Fleet network, conditions it never learned from{simulated}")
    axes.grid(alpha=0.3, axis="x")
    axes.legend()
    figure.savefig(path, dpi=120)
