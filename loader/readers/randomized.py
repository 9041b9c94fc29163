"""Reader of NASA's "Randomized Battery Usage" layout: RW1, RW2, … with one entry per step.

The layout: https://data.nasa.gov, "Randomized Battery Usage" (B. Bole, C. Kulkarni and M. Daigle,
2014).
"""

from typing import Any, NamedTuple

from loader.battery import Battery, Samples
from loader.readers import fields

ENTRIES = "step"  # the field that such a struct is known by


class RandomizedStep(NamedTuple):
    """One step of the cycler, as recorded; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    comment: str
    step_type: str
    date: str | None
    relative_time_s: Samples | None
    time_s: Samples
    voltage_v: Samples
    current_a: Samples
    temperature_c: Samples | None


def read(record: Any, battery_id: str) -> Battery:
    """Read the struct of one battery; raises LoaderError naming the step and the field at fault."""
    steps: list[NamedTuple] = []
    samples = discharges = 0
    for index, entry in enumerate(fields.structs(record, ENTRIES, battery_id), start=1):
        where = f"step {index}"
        fields.require(entry, ("comment", "type", "time", "voltage", "current"), where)
        time_s = fields.vector(entry, "time", where)
        samples += time_s.size
        kind = fields.text(entry, "type", where)
        discharges += kind.strip().upper().startswith("D")
        steps.append(
            RandomizedStep(
                battery_id=battery_id,
                recording_index=index,
                comment=fields.text(entry, "comment", where),
                step_type=kind,
                date=fields.text(entry, "date", where) if fields.has(entry, "date") else None,
                relative_time_s=fields.optional_vector(entry, "relativeTime", where, time_s.size),
                time_s=time_s,
                voltage_v=fields.vector(entry, "voltage", where, time_s.size),
                current_a=fields.vector(entry, "current", where, time_s.size),
                temperature_c=fields.optional_vector(entry, "temperature", where, time_s.size),
            )
        )
    return Battery(
        battery_id=battery_id,
        layout="randomized",
        tables={"randomized_step": steps},
        samples=samples,
        discharges=discharges,
        procedure=_note(record, "procedure"),
        description=_note(record, "description"),
    )


def _note(record: Any, key: str) -> str | None:
    return fields.text(record, key, "data") if fields.has(record, key) else None
