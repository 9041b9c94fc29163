"""A made-up cell of 2 Ah in four cycles, and the ways in which cyclers write it down."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loader import readers, sources
from loader.battery import Battery, LoaderError
from loader.reading import Column, Reading

Floats = NDArray[np.float64]
CAPACITIES = (1.9, 1.8, 1.7, 1.6)  # Ah, of the four discharges
FACTS = Reading(battery_id="X", rated_capacity_ah=2.0, cutoff_v=2.5)
INTERVAL_S = 60.0


def cell(scale: float = 1.0, rest_s: float = 600.0, pause_s: float = 0.0) -> dict[str, Floats]:
    """Columns t, v, i, temp, step and cycle [samples]; charge positive, s, V, A, °C.

    `scale` multiplies currents; `pause_s` passes without samples in the middle of each discharge.
    """
    rows: list[tuple[float, float, float, float, int, int]] = []
    clock = 0.0
    for cycle, capacity in enumerate(CAPACITIES, start=1):
        for step, (amperes, hours, volts) in enumerate(
            (
                (1.0, capacity, (3.0, 4.2)),
                (0.0, rest_s / 3600, (4.18, 4.18)),
                (-2.0, capacity / 2, (4.1, 2.5)),
                (0.0, rest_s / 3600, (2.9, 3.0)),
            ),
            start=4 * cycle - 3,
        ):
            seconds = hours * 3600
            own = np.append(np.arange(0.0, seconds - 1e-6, INTERVAL_S), seconds)
            own[0] = 0.001
            for second in own.tolist():
                share = second / seconds
                late = pause_s if amperes < 0 and share > 0.5 else 0.0
                voltage = volts[0] + (volts[1] - volts[0]) * share
                warm = 25.0 + (8.0 * share if amperes < 0 else 0.0)
                rows.append((clock + second + late, voltage, amperes * scale, warm, step, cycle))
            clock = rows[-1][0]
    t, v, i, temp, step_, cycle_ = np.array(rows).T
    return {"t": t, "v": v, "i": i, "temp": temp, "step": step_, "cycle": cycle_}


def text(
    columns: Sequence[tuple[str, Sequence[object] | Floats]],
    delimiter: str = ",",
    above: Sequence[str] = (),
    below: Sequence[str] = (),
    decimal: str = ".",
    units: Sequence[str] = (),
) -> str:
    """A table with a header, lines above and below it, and a row of units."""
    lines = [*above, delimiter.join(name for name, _ in columns)]
    if units:
        lines.append(delimiter.join(units))
    for row in zip(*(values for _, values in columns), strict=True):
        cells = (f"{it:.10g}" if isinstance(it, float) else str(it) for it in row)
        lines.append(delimiter.join(it.replace(".", decimal) for it in cells))
    return "\n".join([*lines, *below]) + "\n"


def plain(made: dict[str, Floats], **how: object) -> str:
    """The cell under the Battery Data Format's names."""
    names = ("test_time_second", "voltage_volt", "current_ampere", "surface_temperature_celsius")
    keys = ("t", "v", "i", "temp")
    return text([(name, made[key]) for name, key in zip(names, keys, strict=True)], **how)  # type: ignore[arg-type]


def read(path: Path | Sequence[Path], reading: Reading = FACTS) -> Battery:
    """Read the one battery in a file or files, as a load would."""
    paths = [path] if isinstance(path, Path) else path
    (battery,) = batteries(paths, reading)
    return battery


def batteries(paths: Sequence[Path], reading: Reading = FACTS) -> Iterator[Battery]:
    """Read every battery; raises LoaderError for what is refused."""
    found = sources.find(map(str, paths))
    for source in sources.expand(found, together=reading.names_batteries):
        if isinstance(source, sources.Refused):
            raise LoaderError(source.reason)
        yield from readers.reader(source.reader).read(source.parts, reading)


def delivered(battery: Battery) -> list[float]:
    """Charge of each discharge, Ah, by the trapezoid rule; discharges end where a charge begins."""
    found: list[float] = []
    charged = True
    for it in battery.tables["tabular_recording"]:
        row: tuple[object, ...] = it
        kind, lead, time_s, current = (
            getattr(it, name) for name in ("recording_type", "lead_in_s", "time_s", "current_a")
        )
        assert row[0] == battery.battery_id
        if kind == "charge":
            charged = True
        if kind == "discharge":
            amount = -np.trapezoid(current, time_s) - (lead or 0.0) * current[0]
            if charged:
                found.append(0.0)
            found[-1] += amount / 3600
            charged = False
    return found


def named(**columns: str) -> dict[str, Column]:
    """Columns as the command line names them, `voltage="U:mV"`."""
    made: dict[str, Column] = {}
    for role, told in columns.items():
        name, _, unit = told.partition(":")
        made[role] = Column(name, unit or None)
    return made
