"""How good a forecast is: its errors beside those of persistence, as numbers and as a picture."""

from pathlib import Path
from typing import TypedDict

import numpy as np
from matplotlib.figure import Figure

from model.data import Array, Series, Windows

END_OF_LIFE_SOH = 0.7


class Errors(TypedDict):
    """Errors of predictions in SOH (fractions; mape in percent)."""

    rmse: float
    mae: float
    mape: float
    r2: float
    windows: int


def errors(predicted: Array, measured: Array) -> Errors:
    """Compare predicted with measured SOH, both [windows]."""
    difference = predicted - measured
    spread = float(((measured - measured.mean()) ** 2).sum())
    return Errors(
        rmse=float(np.sqrt((difference**2).mean())),
        mae=float(np.abs(difference).mean()),
        mape=float(100 * np.abs(difference / measured).mean()),
        r2=float(1 - (difference**2).sum() / spread) if spread else float("nan"),
        windows=len(measured),
    )


def table(test: dict[str, dict[str, Errors]]) -> str:
    """Lay out the errors by battery and method as text."""
    heads = "".join(f"{head:>9}" for head in ("RMSE", "MAE", "MAPE %", "R²", "windows"))
    lines = [f"{'battery':<10}{'method':<14}{heads}"]
    for battery_id, methods in test.items():
        for method, it in methods.items():
            lines.append(
                f"{battery_id:<10}{method:<14}{it['rmse']:>9.4f}{it['mae']:>9.4f}"
                f"{it['mape']:>9.2f}{it['r2']:>9.3f}{it['windows']:>9}"
            )
    return "\n".join(lines)


def draw(path: Path, series: Series, windows: Windows, predicted: Array) -> None:
    """Draw measured and predicted SOH over cycles, with persistence and the end of life."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(series.cycle_index, series.soh, color="0.25", lw=1.2, label="measured")
    axes.plot(
        windows.cycle_index, windows.last_soh, color="tab:orange", lw=1, ls=":",
        label="persistence (SOH of the cycle before)",
    )  # fmt: skip
    axes.plot(windows.cycle_index, predicted, color="tab:blue", lw=1.6, label="predicted")
    axes.axhline(END_OF_LIFE_SOH, color="tab:red", lw=1, ls="--", label="end of life, 70 %")
    axes.set_title(f"{series.battery_id}: state of health of the next cycle")
    axes.set_xlabel("cycle")
    axes.set_ylabel("SOH (discharge capacity ÷ rated capacity)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
