"""Simulates cells of the "Randomized Battery Usage" layout, under its seven published protocols.

How fast each protocol ages a cell is set by eye; the cell behind them is in cell.py. Current is
positive on discharge, as in the layout.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from loader.cell import (
    FULL_V,
    Cell,
    Floats,
    Samples,
    State,
    charge,
    discharge,
    lifetime,
    noisy,
    respond,
    rest,
    steps_to_empty,
)
from loader.matlab_file import SIMULATED, save, structs

RANDOMIZED = Cell(2.1, 0.046, 0.069, 24.0, 16.0)  # a chamber with a fan
EMPTY_V = 3.2
LONGEST = 1000  # equivalent full cycles that a cell is worked out for
STEPS_A_WALK = 20  # that stand for a walk where the cell is charged and discharged at random
CHARACTERISED = 8  # reference discharges from one pulsed test to the next

UP_TO_4 = np.arange(0.5, 4.01, 0.5)  # A
UP_TO_5 = np.arange(0.5, 5.01, 0.5)
EVEN, LOW, HIGH = np.ones(8), np.arange(10.0, 0.0, -1.0), np.arange(1.0, 11.0)
BOTH_WAYS = np.concatenate([-np.arange(0.75, 4.51, 0.75), np.arange(0.75, 4.51, 0.75)])


class Protocol(NamedTuple):
    """How one of the published groups of cells was used."""

    group: str  # as in dbt_project/seeds/battery_condition.csv
    cells: tuple[int, ...]  # numbers of NASA's cells in it
    ambient_c: float
    load_s: float  # time of one random load
    interval_s: float  # between samples of a load
    loads_a: Floats  # that are chosen from
    weights: Floats  # in proportion to these
    reference_a: float
    pace: float  # how fast charge delivered ages the cell


PROTOCOLS = (
    Protocol("room, random charge time", (1, 2, 7, 8), 24, 300, 10, UP_TO_4, EVEN, 2, 0.8),
    Protocol("room, uniform", (3, 4, 5, 6), 24, 300, 10, UP_TO_4, EVEN, 2, 1.0),
    Protocol(
        "room, charge and discharge", (9, 10, 11, 12), 24, 300, 10, BOTH_WAYS, np.ones(12), 2, 1.3
    ),
    Protocol("room, skewed low", (13, 14, 15, 16), 24, 60, 5, UP_TO_5, LOW, 1, 0.9),
    Protocol("room, skewed high", (17, 18, 19, 20), 24, 60, 5, UP_TO_5, HIGH, 1, 1.1),
    Protocol("40 °C, skewed low", (21, 22, 23, 24), 38.4, 60, 5, UP_TO_5, LOW, 1, 1.2),
    Protocol("40 °C, skewed high", (25, 26, 27, 28), 38.4, 60, 5, UP_TO_5, HIGH, 1, 1.5),
)
NUMBERS = tuple(
    number for row in zip(*(it.cells for it in PROTOCOLS), strict=True) for number in row
)


def protocol_of(battery_id: str) -> Protocol:
    """The protocol of NASA's cell with the same number, else the first."""
    number = int("".join(filter(str.isdigit, battery_id)) or 0)
    return next((it for it in PROTOCOLS if number in it.cells), PROTOCOLS[0])


class Rig:
    """A cell on the cycler: records step after step, and ages the cell by the charge delivered."""

    def __init__(self, protocol: Protocol, rng: np.random.Generator) -> None:
        self.protocol, self.rng = protocol, rng
        self.steps: list[dict[str, Any]] = []
        self._start, self._now_s = datetime(2014, 11, 14, 17, 25, 43), 0.0
        self._delivered_ah = 0.0
        typical = RANDOMIZED._replace(ambient_c=protocol.ambient_c)
        self._cells = lifetime(typical, np.arange(float(LONGEST)), np.zeros(LONGEST), rng)
        self.state = State(0.6, 0.0, protocol.ambient_c)

    @property
    def cell(self) -> Cell:
        """The cell as it is by now."""
        age = self.protocol.pace * self._delivered_ah / RANDOMIZED.capacity_ah
        return self._cells[min(int(age), LONGEST - 1)]

    def record(self, comment: str, kind: str, samples: Samples) -> None:
        relative_s = (np.cumsum(samples.step_s) - samples.step_s[0] + 0.01).reshape(1, -1)
        step = {
            "comment": comment,
            "type": kind,
            "relativeTime": relative_s.round(2),
            "time": (self._now_s + relative_s).round(2),
            "voltage": noisy(self.rng, samples.voltage_v, 0.0005).round(3),
            "current": noisy(self.rng, samples.current_a, 0.0005).round(3),
            "temperature": noisy(self.rng, samples.temperature_c, 0.01).round(5),
            "date": (self._start + timedelta(seconds=self._now_s)).strftime("%d-%b-%Y %H:%M:%S"),
        }
        self.steps.append(step)
        self._now_s += float(samples.step_s.sum())
        self._delivered_ah += float(samples.step_s @ np.maximum(samples.current_a, 0.0)) / 3600.0
        self.state = samples.end

    def rest(self, comment: str, count: int, interval_s: float = 60.0) -> None:
        self.record(comment, "R", rest(self.cell, self.state, count, interval_s))

    def charge(self, comment: str, hours: float = np.inf) -> None:
        """Charge at 2 A to 4.2 V and 10 mA, but no longer than so many hours."""
        whole = charge(self.cell, self.state, 2.0, 0.01, 60.0)
        end = int(min(hours * 60.0, whole.step_s.size))
        self.record(comment, "C", Samples(*(vector[:end] for vector in whole)))

    def discharge(self, comment: str, amperes: float, interval_s: float = 10.0) -> None:
        step_s = steps_to_empty(self.cell, self.state, amperes, interval_s)
        self.record(comment, "D", discharge(self.cell, self.state, step_s, amperes, EMPTY_V))

    def load(self, comment: str, amperes: float, seconds: float, interval_s: float) -> bool:
        """Charge or discharge for a time, within 3.2 to 4.2 V; tell whether it ended before."""
        count = int(seconds / interval_s) + 1
        samples = respond(
            self.cell, self.state, np.full(count, interval_s), np.full(count, amperes)
        )
        beyond = samples.voltage_v <= EMPTY_V if amperes > 0 else samples.voltage_v >= FULL_V
        end = int(np.argmax(beyond)) + 1 if beyond.any() else count
        kind = "D" if amperes > 0 else "C"
        self.record(comment, kind, Samples(*(vector[:end] for vector in samples)))
        return bool(beyond.any())

    def power(self, comment: str, watts: float) -> None:
        """Discharge at constant power to 3.2 V."""
        parts = [rest(self.cell, self.state, 1, 0.1)]
        while (volts := float(parts[-1].voltage_v[-1])) > EMPTY_V:
            parts.append(
                respond(self.cell, parts[-1].end, np.full(1, 10.0), np.full(1, watts / volts))
            )
        self.record(comment, "D", Samples(*map(np.concatenate, zip(*parts[1:], strict=True))))


def simulate_randomized(
    path: Path, *, seed: int, reference_discharges: int = 14, walks_between: int = 12
) -> None:
    """Write one cell of the "Randomized Battery Usage" layout to `path`; its stem is its name.

    The number in the stem is that of NASA's cell whose protocol it has. There are `walks_between`
    random walks between each two reference discharges, where NASA made 50. The same seed and stem
    give the same values; another stem gives another cell. Raises OSError where `path` cannot be
    written.
    """
    rng = np.random.default_rng([seed, crc32(path.stem.encode())])
    protocol = protocol_of(path.stem)
    rig = Rig(protocol, rng)
    walk = _walks(rig)
    _low_current(rig)
    for number in range(reference_discharges):
        _reference(rig, is_characterised=number % CHARACTERISED == 1)
        for _ in range(walks_between if number + 1 < reference_discharges else 0):
            walk()
    loads = f"{abs(protocol.loads_a[0])}-{protocol.loads_a[-1]} A"
    content = {
        "step": structs(rig.steps),
        "procedure": f"Simulated random walk ({protocol.group})",
        "description": f"{SIMULATED}: random loads of {loads} for {protocol.load_s / 60:.0f} "
        f"minutes each, {protocol.group}",
    }
    save(path, {"data": content})


def _walks(rig: Rig) -> Callable[[], None]:
    """What the protocol does between its reference discharges, again and again."""
    protocol, rng = rig.protocol, rig.rng
    share = protocol.weights / protocol.weights.sum()

    def load() -> bool:
        rig.rest("rest (random walk)", 2, float(rng.uniform(0.1, 0.5)))
        amperes = float(rng.choice(protocol.loads_a, p=share))
        doing = "discharge" if amperes > 0 else "charge"
        return rig.load(f"{doing} (random walk)", amperes, protocol.load_s, protocol.interval_s)

    def both_ways() -> None:
        for _ in range(STEPS_A_WALK):
            load()

    def until_empty() -> None:
        is_timed = protocol is PROTOCOLS[0]
        while not load():
            pass
        rig.rest("rest post random walk discharge", 61)
        rig.charge(
            "charge (random walk)" if is_timed else "charge (after random walk discharge)",
            float(rng.uniform(0.5, 3.0)) if is_timed else np.inf,
        )

    return both_ways if protocol.loads_a[0] < 0 else until_empty


def _low_current(rig: Rig) -> None:
    """Discharge, and in some groups charge, at 0.04 A, once in a cell's life."""
    rig.charge("reference charge")
    rig.rest("rest prior low current discharge", 6)
    rig.discharge("low current discharge at 0.04A", 0.04, 1200.0)
    rig.rest("rest post low current discharge", 6)
    if rig.protocol.load_s < 300:
        rig.record("low current charge", "C", charge(rig.cell, rig.state, 0.04, 0.01, 1200.0))
        rig.rest("rest post low current charge", 6)


def _reference(rig: Rig, is_characterised: bool) -> None:
    """Measure the capacity from a full charge, and what else the protocol measures then."""
    is_short = rig.protocol.load_s < 300
    rig.charge("reference charge")
    rig.rest("rest post reference charge", 6)
    if is_short:
        rig.power("reference power discharge", 15.0)
        rig.rest("rest post reference power discharge", 61)
        rig.charge("reference charge")
        rig.rest("rest post reference charge", 6)
    if is_characterised:
        while not rig.load("pulsed load (discharge)", 1.0, 600.0, 30.0):
            rig.rest("pulsed load (rest)", 20)
        if is_short:
            while not rig.load("pulsed charge (charge)", -1.0, 600.0, 30.0):
                rig.rest("pulsed charge (rest)", 20)
        rig.rest("rest post pulsed load or charge" if is_short else "rest post pulsed load", 6)
        rig.charge("reference charge")
        rig.rest("rest post reference charge", 6)
    rig.rest("rest prior reference discharge", 6)
    rig.discharge("reference discharge", rig.protocol.reference_a)
    rig.rest("rest post reference discharge", 91)
    rig.charge("reference charge")
    rig.rest("rest post reference charge", 6)
