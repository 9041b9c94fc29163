"""Reader of NASA's "Randomized Battery Usage" layout: RW1, RW2, … with one entry per step.

The layout: https://data.nasa.gov, "Randomized Battery Usage" (B. Bole, C. Kulkarni and M. Daigle,
2014).
"""

from typing import Any, NamedTuple

from loader.battery import Battery, LoaderError, Samples
from loader.fields import struct, text, vector


class RandomizedStep(NamedTuple):
    """One step of the cycler, as recorded; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    comment: str
    step_type: str
    date: str
    relative_time_s: Samples
    time_s: Samples
    voltage_v: Samples
    current_a: Samples
    temperature_c: Samples


def read(data: Any, variable: str, name: str) -> Battery:
    """Read the struct of a randomized file, which does not say which cell it holds: `name` does.

    Raises LoaderError naming the step and the field at fault.
    """
    if not name:
        raise LoaderError("no name: a randomized file is named by its battery, RW1.mat")
    steps: list[NamedTuple] = []
    samples = 0
    for index, entry in enumerate(struct(data, "step", variable), start=1):
        where = f"step {index}"
        time_s = vector(entry, "time", where)
        samples += time_s.size
        steps.append(
            RandomizedStep(
                battery_id=name,
                recording_index=index,
                comment=text(entry, "comment", where),
                step_type=text(entry, "type", where),
                date=text(entry, "date", where),
                relative_time_s=vector(entry, "relativeTime", where, time_s.size),
                time_s=time_s,
                voltage_v=vector(entry, "voltage", where, time_s.size),
                current_a=vector(entry, "current", where, time_s.size),
                temperature_c=vector(entry, "temperature", where, time_s.size),
            )
        )
    return Battery(
        battery_id=name,
        layout="randomized",
        tables={"randomized_step": steps},
        samples=samples,
        procedure=_note(data, "procedure"),
        description=_note(data, "description"),
    )


def _note(data: Any, key: str) -> str | None:
    return text(data, key, "data") if key in data.dtype.names else None
