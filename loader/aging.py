"""Reader of NASA's "Li-ion Battery Aging" layout: B0005, B0006, … with charges and discharges.

The layout: https://data.nasa.gov, "Li-ion Battery Aging Datasets" (B. Saha and K. Goebel, 2007).
"""

from typing import Any, NamedTuple

from loader.battery import Battery, LoaderError, Samples
from loader.fields import complex_vector, scalar, struct, text, vector


class AgingRecording(NamedTuple):
    """One charge or discharge, as recorded; columns and units: staging.sql."""

    battery_id: str
    recording_index: int
    recording_type: str
    ambient_temperature_c: float | None
    date_vector: Samples
    time_s: Samples
    voltage_measured_v: Samples
    current_measured_a: Samples
    temperature_measured_c: Samples
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
    date_vector: Samples
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


def read(battery: Any, variable: str, _name: str) -> Battery:
    """Read the struct `variable` of an aging file; the variable's name is the battery's.

    Raises LoaderError naming the entry and the field at fault.
    """
    recordings: list[NamedTuple] = []
    impedances: list[NamedTuple] = []
    samples = 0
    for index, entry in enumerate(struct(battery, "cycle", variable), start=1):
        where = f"cycle {index}"
        kind = text(entry, "type", where)
        data = struct(entry, "data", where)
        if data.size != 1:
            raise LoaderError(f"{where}: field data holds {data.size} structs instead of one")
        shared = (scalar(entry, "ambient_temperature", where), vector(entry, "time", where, 6))
        where = f"{where} ({kind})"
        if kind in ("charge", "discharge"):
            recording = _recording(data[0], where, variable, index, kind, *shared)
            samples += recording.time_s.size
            recordings.append(recording)
        elif kind == "impedance":
            impedances.append(_impedance(data[0], where, variable, index, *shared))
        else:
            raise LoaderError(
                f"{where}: field type is none of charge, discharge and impedance: '{kind}'"
            )
    tables = {"aging_recording": recordings, "aging_impedance": impedances}
    return Battery(battery_id=variable, layout="aging", tables=tables, samples=samples)


def _recording(
    data: Any,
    where: str,
    battery_id: str,
    index: int,
    kind: str,
    ambient_temperature_c: float | None,
    date_vector: Samples,
) -> AgingRecording:
    time_s = vector(data, "Time", where)
    # What the charger or load reports of itself; NASA's README calls both "charge".
    device = "charge" if kind == "charge" else "load"
    by_device = {
        f"{quantity.lower()}_{device}_{unit}": vector(
            data, f"{quantity}_{device}", where, time_s.size
        )
        for quantity, unit in (("Voltage", "v"), ("Current", "a"))
    }
    return AgingRecording(
        battery_id=battery_id,
        recording_index=index,
        recording_type=kind,
        ambient_temperature_c=ambient_temperature_c,
        date_vector=date_vector,
        time_s=time_s,
        voltage_measured_v=vector(data, "Voltage_measured", where, time_s.size),
        current_measured_a=vector(data, "Current_measured", where, time_s.size),
        temperature_measured_c=vector(data, "Temperature_measured", where, time_s.size),
        voltage_charge_v=by_device.get("voltage_charge_v"),
        current_charge_a=by_device.get("current_charge_a"),
        voltage_load_v=by_device.get("voltage_load_v"),
        current_load_a=by_device.get("current_load_a"),
        capacity_ah=scalar(data, "Capacity", where) if kind == "discharge" else None,
    )


def _impedance(
    data: Any,
    where: str,
    battery_id: str,
    index: int,
    ambient_temperature_c: float | None,
    date_vector: Samples,
) -> AgingImpedance:
    parts: list[Any] = []
    for key in (
        "Sense_current",
        "Battery_current",
        "Current_ratio",
        "Battery_impedance",
        "Rectified_Impedance",
    ):
        parts += complex_vector(data, key, where)
    for key in ("Re", "Rct"):
        real, imaginary = complex_vector(data, key, where)
        if real.size > 1:
            raise LoaderError(f"{where}: field {key} holds {real.size} numbers instead of one")
        parts += [float(real[0]), float(imaginary[0])] if real.size else [None, None]
    return AgingImpedance(battery_id, index, ambient_temperature_c, date_vector, *parts)
