"""Reader of NASA's "Li-ion Battery Aging" layout: B0005, B0006, … with charges and discharges.

The layout: https://data.nasa.gov, "Li-ion Battery Aging Datasets" (B. Saha and K. Goebel, 2007).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from loader.battery import Battery, LoaderError, Samples
from loader.readers import fields

KINDS = ("charge", "discharge", "impedance")
ENTRIES = "cycle"  # the field that such a struct is known by
NO_CAPACITY = float("nan")  # a file that has no such field; an empty one is null
SWEEP = ("Sense_current", "Battery_current", "Current_ratio", "Battery_impedance",
         "Rectified_Impedance")  # fmt: skip


class AgingRecording(NamedTuple):
    """One charge or discharge, as recorded; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    recording_type: str
    ambient_temperature_c: float | None
    date_vector: Samples | None
    time_s: Samples
    voltage_measured_v: Samples
    current_measured_a: Samples
    temperature_measured_c: Samples | None
    voltage_charge_v: Samples | None
    current_charge_a: Samples | None
    voltage_load_v: Samples | None
    current_load_a: Samples | None
    capacity_ah: float | None


class AgingImpedance(NamedTuple):
    """One impedance sweep, real and imaginary parts apart; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    ambient_temperature_c: float | None
    date_vector: Samples | None
    sense_current_re_a: Samples
    sense_current_im_a: Samples
    battery_current_re_a: Samples
    battery_current_im_a: Samples
    current_ratio_re: Samples
    current_ratio_im: Samples
    battery_impedance_re_ohm: Samples
    battery_impedance_im_ohm: Samples
    rectified_impedance_re_ohm: Samples
    rectified_impedance_im_ohm: Samples
    electrolyte_resistance_re_ohm: float | None
    electrolyte_resistance_im_ohm: float | None
    charge_transfer_resistance_re_ohm: float | None
    charge_transfer_resistance_im_ohm: float | None


def read(record: Any, battery_id: str) -> Battery:
    """Read the struct of one battery; raises LoaderError naming entry and field."""
    rows: list[NamedTuple] = []
    for index, entry in enumerate(fields.structs(record, ENTRIES, battery_id), start=1):
        where = f"cycle {index}"
        kind = fields.text(entry, "type", where)
        data = fields.struct(entry, "data", where)
        ambient = None
        if fields.has(entry, "ambient_temperature"):
            ambient = fields.scalar(entry, "ambient_temperature", where)
        date = fields.date_vector(entry, "time", where)
        rows.append(operation(data, where, battery_id, index, kind, ambient, date))
    return battery(battery_id, rows)


def operation(
    data: Any,
    where: str,
    battery_id: str,
    index: int,
    kind: str,
    ambient_temperature_c: float | None,
    date_vector: Samples | None,
) -> AgingRecording | AgingImpedance:
    """Make one entry a row; `data` maps NASA's names of fields to their values."""
    plain = kind.strip().lower()
    if plain not in KINDS:
        raise LoaderError(f"{where}: field type is none of {', '.join(KINDS)}: '{kind}'")
    where = f"{where} ({plain})"
    head = (battery_id, index)
    if plain == "impedance":
        return _impedance(data, where, *head, ambient_temperature_c, date_vector)
    return _recording(data, where, *head, plain, ambient_temperature_c, date_vector)


def battery(battery_id: str, rows: Iterable[NamedTuple]) -> Battery:
    """Put the rows of one battery into their tables; one that stands twice in a row counts once."""
    last: NamedTuple | None = None
    recordings: list[NamedTuple] = []
    impedances: list[NamedTuple] = []
    twins = samples = discharges = 0
    for row in rows:
        table = recordings if isinstance(row, AgingRecording) else impedances
        if last is not None and _are_twins(last, row):
            twins += 1
            continue
        last = row
        table.append(row)
        if isinstance(row, AgingRecording):
            samples += row.time_s.size
            discharges += row.recording_type == "discharge"
    notes = [f"entries that stand twice, and count once: {twins:,}"] if twins else []
    kept: list[Any] = recordings
    stated = [it.capacity_ah for it in kept if it.recording_type == "discharge"]
    if stated and all(it is not None and np.isnan(it) for it in stated):
        notes.append("no discharge has the field Capacity: there is none to compare with")
    return Battery(
        battery_id=battery_id,
        layout="aging",
        tables={"aging_recording": recordings, "aging_impedance": impedances},
        samples=samples,
        discharges=discharges,
        notes=tuple(notes),
    )


def _are_twins(one: NamedTuple, other: NamedTuple) -> bool:
    """Whether two rows have a date, and differ in nothing but their number."""
    kept: Any = one
    return (
        type(one) is type(other)
        and kept.date_vector is not None
        and all(
            np.array_equal(mine, yours, equal_nan=True)
            if isinstance(mine, np.ndarray) and isinstance(yours, np.ndarray)
            else mine is yours or mine == yours
            for mine, yours in zip(one[2:], other[2:], strict=True)
        )
    )


def _recording(
    data: Any,
    where: str,
    battery_id: str,
    index: int,
    kind: str,
    ambient_temperature_c: float | None,
    date_vector: Samples | None,
) -> AgingRecording:
    fields.require(data, ("Time", "Voltage_measured", "Current_measured"), where)
    time_s = fields.vector(data, "Time", where)
    # What the charger or load reports of itself: no model uses it. NASA's files say "load" where
    # its README says "charge", and others have neither.
    device = "charge" if kind == "charge" else "load"
    by_device = {
        f"{quantity.lower()}_{device}_{unit}": fields.optional_vector(
            data,
            f"{quantity}_{device}"
            if fields.has(data, f"{quantity}_{device}")
            else f"{quantity}_charge",
            where,
            time_s.size,
        )
        for quantity, unit in (("Voltage", "v"), ("Current", "a"))
    }
    capacity = None
    if kind == "discharge":
        has_capacity = fields.has(data, "Capacity")
        capacity = fields.scalar(data, "Capacity", where) if has_capacity else NO_CAPACITY
    return AgingRecording(
        battery_id=battery_id,
        recording_index=index,
        recording_type=kind,
        ambient_temperature_c=ambient_temperature_c,
        date_vector=date_vector,
        time_s=time_s,
        voltage_measured_v=fields.vector(data, "Voltage_measured", where, time_s.size),
        current_measured_a=fields.vector(data, "Current_measured", where, time_s.size),
        temperature_measured_c=fields.optional_vector(
            data, "Temperature_measured", where, time_s.size
        ),
        voltage_charge_v=by_device.get("voltage_charge_v"),
        current_charge_a=by_device.get("current_charge_a"),
        voltage_load_v=by_device.get("voltage_load_v"),
        current_load_a=by_device.get("current_load_a"),
        capacity_ah=capacity,
    )


def _impedance(
    data: Any,
    where: str,
    battery_id: str,
    index: int,
    ambient_temperature_c: float | None,
    date_vector: Samples | None,
) -> AgingImpedance:
    fields.require(data, (*SWEEP, "Re", "Rct"), where)
    parts: list[Any] = []
    for key in SWEEP:
        parts += fields.complex_vector(data, key, where)
    for key in ("Re", "Rct"):
        real, imaginary = fields.complex_vector(data, key, where)
        if real.size > 1:
            raise LoaderError(f"{where}: field {key} holds {real.size} numbers instead of one")
        parts += [float(real[0]), float(imaginary[0])] if real.size else [None, None]
    return AgingImpedance(battery_id, index, ambient_temperature_c, date_vector, *parts)
