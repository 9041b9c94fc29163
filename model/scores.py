"""How good a forecast is, in numbers."""

from typing import Any, TypedDict

import numpy as np

from model.columns import Array
from model.data import Windows

# A cycle whose SOH is this much above the last one has regenerated.
REGENERATION_SOH = 0.005


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
        rmse=_rmse(difference),
        mae=float(np.abs(difference).mean()),
        mape=float(100 * np.abs(difference / measured).mean()),
        r2=float(1 - (difference**2).sum() / spread) if spread else 0.0,
        windows=len(measured),
    )


def full(predicted: Array, windows: Windows, rated_ah: float) -> dict[str, float]:
    """Errors in SOH and in Ah, against persistence, and apart for regenerated cycles."""
    measured = errors(predicted, windows.target)
    difference = predicted - windows.target
    jumps = windows.target - windows.last_soh > REGENERATION_SOH
    return {
        **{name: float(it) for name, it in measured.items()},  # type: ignore[arg-type]
        "rmse_ah": measured["rmse"] * rated_ah,
        "mae_ah": measured["mae"] * rated_ah,
        "skill": 1 - measured["rmse"] / _rmse(windows.last_soh - windows.target),
        "rmse_ordinary": _rmse(difference[~jumps]),
        "rmse_regeneration": _rmse(difference[jumps]),
        "regenerations": float(jumps.sum()),
    }


def mean_and_std(seeds: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each score over seeds, and the standard deviation of the RMSE."""
    mean = {name: float(np.mean([it[name] for it in seeds])) for name in seeds[0]}
    return mean | {"rmse_std": float(np.std([it["rmse"] for it in seeds]))}


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


def leaking(windows: list[Windows], names: tuple[str, ...], columns: list[int]) -> list[str]:
    """Name the inputs that know the answer: from which alone the change to come can be told.

    An honest input leaves most of that change open; one that explains all but a hundredth of its
    variance has been computed from the cycle to predict.
    """
    change = np.concatenate([it.target - it.last_soh for it in windows])
    found = []
    for column, name in zip(columns, names, strict=True):
        last_two = (it.first[:, None] + it.length + np.array([-2, -1]) for it in windows)
        values = np.concatenate(
            [it.cycles[rows, column] for it, rows in zip(windows, last_two, strict=True)]
        )
        soh = np.concatenate([it.last_soh for it in windows])
        design = np.column_stack([values, soh, np.ones(len(change))])
        solution: Any = np.linalg.lstsq(design, change, rcond=None)[0]
        if (change - design @ solution).var() < 0.01 * change.var():
            found.append(name)
    return found


def _rmse(difference: Array) -> float:
    return float(np.sqrt((difference**2).mean())) if len(difference) else 0.0
