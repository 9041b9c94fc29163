"""Measures the fleet network on groups of batteries under conditions that it never learned from.

Each group of conditions is left out in turn, and takes no part in anything that is chosen: what
stays learns, chooses and measures its intervals. Errors are those of a service's answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from model import fit_fleet, fleet, scores, window_fleet
from model.columns import Array, last_known
from model.config import Config
from model.data import Series
from model.model_file import FleetForecaster
from model.window import Prediction, answer

LENGTHS = (5, 10, 20, 50)  # cycles of a window
KINDS = ("ordinary", "regeneration", "operating point")

Row = tuple[float, float, float, float, float, str]  # said, low, high, came, last known, kind


def measure(
    config: Config, training: Sequence[Series], tests: Sequence[Series], groups: Mapping[str, str]
) -> dict[str, Any]:
    """Learn from some batteries and forecast each past cycle of others.

    Returns scores of all cycles (see `score`) with all known that is known when a cycle begins;
    beside them, with nothing known of it, and by the length of the windows.
    """
    made = fit_fleet.fit(config, training, groups)
    whole = [row for it in tests for row in rows(made, it, config.window)]
    unknown = [row for it in tests for row in rows(made, it, config.window, is_known=False)]
    lengths = [it for it in LENGTHS if it < config.window]
    return score(whole) | {
        "nothing known": score(unknown),
        "by length": {
            str(length): score([row for it in tests for row in rows(made, it, length)])
            for length in [*lengths, config.window]
        },
        "by battery": {it.battery_id: score(rows(made, it, config.window)) for it in tests},
        "epochs": made.card["epochs"],
    }


def rows(made: FleetForecaster, series: Series, width: int, is_known: bool = True) -> list[Row]:
    """Forecast every cycle with ground truth of a battery, from at most so many cycles before."""
    windows = window_fleet.past(made, series, width)
    if not is_known:
        windows = windows.unknowing()
    last = last_known(series.soh)
    found = []
    for at, it in enumerate(answer(windows), start=fleet.SHORTEST):
        came, known = float(series.soh[at]), float(last[at - 1])
        if isinstance(it, Prediction) and it.next_soh and np.isfinite([came, known]).all():
            found.append((*it.next_soh, came, known, _kind(series, at, came - known)))
    return found


def _kind(series: Series, at: int, change: float) -> str:
    before = np.flatnonzero(np.isfinite(series.soh[:at]))[-1]
    if series.operating_point[at] != series.operating_point[before]:
        return "operating point"
    return "regeneration" if change > scores.REGENERATION_SOH else "ordinary"


def score(rows: Sequence[Row]) -> dict[str, Any]:
    """Return RMSE, its ratio to persistence's, coverage and mean width; RMSE ratio by kind."""
    if not rows:
        return {"windows": 0}
    said, low, high, came, known = np.array([it[:5] for it in rows]).T
    kind = np.array([it[5] for it in rows])
    return {
        "windows": len(rows),
        "rmse": _rmse(said - came),
        "ratio": _ratio(said, known, came),
        "coverage": float(((low <= came) & (came <= high)).mean()),
        "width": float((high - low).mean()),
        "kinds": {
            it: {
                "windows": int((kind == it).sum()),
                "ratio": _ratio(*_of(kind == it, said, known, came)),
            }
            for it in KINDS
            if (kind == it).any()
        },
    }


def _of(chosen: Any, *values: Array) -> Iterator[Array]:
    return (it[chosen] for it in values)


def _ratio(said: Array, known: Array, came: Array) -> float:
    return _rmse(said - came) / max(_rmse(known - came), 1e-9)


def _rmse(error: Array) -> float:
    return float(np.sqrt((error**2).mean()))


def summary(by_group: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, Any]:
    """Put the groups left out together, mean over seeds: {group: {seed: as `measure`}}."""
    groups = {group: _mean(list(seeds.values())) for group, seeds in by_group.items()}
    scored = [it for it in groups.values() if it["windows"]]
    return {
        "seeds": max((len(it) for it in by_group.values()), default=0),
        "groups": groups,
        "ratio": _geometric([it["ratio"] for it in scored]),
        "ratio, nothing known": _geometric([it["nothing known"]["ratio"] for it in scored]),
        "ratio, ordinary": _geometric(
            [it["kinds"]["ordinary"]["ratio"] for it in scored if "ordinary" in it["kinds"]]
        ),
        "by length": {
            length: _geometric([it["by length"][length]["ratio"] for it in scored])
            for length in (scored[0]["by length"] if scored else ())
        },
    }


def _mean(found: Sequence[Any]) -> Any:
    """Mean of numbers, by the same names in each."""
    if isinstance(found[0], dict):
        return {name: _mean([it[name] for it in found]) for name in found[0]}
    return float(np.mean(found))


def _geometric(ratios: Sequence[float]) -> float | None:
    return float(np.exp(np.log(ratios).mean())) if ratios else None
