"""Made-up cells that are cycled for weeks, and the file that their cycler writes each day."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Step = tuple[float, Callable[[Floats], Floats], Callable[[Floats], Floats]]  # s, V and A by share
HEADER = "Date_Time,Voltage(V),Current(A),Temperature(C)\n"
BEGIN_S = datetime(2024, 3, 1, 5, tzinfo=UTC).timestamp()
DAY_S = 86400.0
INTERVAL_S = 240.0
FACTS = ("--rated-capacity-ah", "2", "--cutoff-v", "2.7")


def cycling(seed: int, cycles: int, pulses: bool = False) -> Floats:
    """Samples [n, 4] of a cell: s since 1970, V, A (charge positive) and °C.

    Charged at 1 A to 4.2 V and held there, discharged at 2 A to 2.6 V, with rests; it fades. With
    `pulses` every fifth sample of a discharge gives charge back, as a braking car does.
    """
    rng = np.random.default_rng(seed)
    parts, clock_s = [], BEGIN_S + rng.uniform(0, 7200)
    for cycle in range(cycles):
        capacity_ah = 2.0 * (0.77 + 0.2 * np.exp(-0.004 * cycle)) + rng.normal(0, 0.002)
        steps: tuple[Step, ...] = (
            (0.85 * capacity_ah * 3600, lambda x: 3.1 + 1.1 * x, lambda x: 1.0 + 0 * x),
            (2400.0, lambda x: 4.2 + 0 * x, lambda x: np.exp(-3 * x)),
            (rng.uniform(600, 3000), lambda x: 4.19 - 0.02 * x, lambda x: 0 * x),
            (capacity_ah * 1800, lambda x: 4.05 - 1.45 * x, lambda x: -2.0 + 0 * x),
            (rng.uniform(600, 3000), lambda x: 2.9 + 0.1 * x, lambda x: 0 * x),
        )
        for seconds, voltage, current in steps:
            own_s = np.arange(0.0, seconds, INTERVAL_S)
            share = own_s / seconds
            amperes = current(share)
            if pulses:
                amperes[4::5] = np.where(amperes[4::5] < 0, 0.4, amperes[4::5])
            warm = 25.0 + rng.normal(0, 0.05, own_s.size) + 5.0 * (amperes < 0) * share
            parts.append(np.column_stack([clock_s + own_s, voltage(share), amperes, warm]))
            clock_s += seconds + 2.0
    return np.concatenate(parts)


def written(samples: Floats) -> str:
    """A cycler's table of samples, to the millisecond."""
    lines = (
        f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d %H:%M:%S.%f},{v:.5f},{i:.5f},{c:.2f}\n"
        for t, v, i, c in samples.tolist()
    )
    return HEADER + "".join(lines)


def daily(samples: Floats) -> Iterator[tuple[str, Floats]]:
    """Each day's samples, with its date."""
    day = samples[:, 0] // DAY_S
    for own in np.unique(day).tolist():
        yield f"{datetime.fromtimestamp(own * DAY_S, UTC):%Y-%m-%d}", samples[day == own]


def deliver(folder: Path, battery_id: str, samples: Floats) -> list[Path]:
    """Write a file a day, named by battery and date."""
    paths = []
    for date, own in daily(samples):
        paths.append(folder / f"{battery_id}_{date}.csv")
        paths[-1].write_text(written(own))
    return paths
