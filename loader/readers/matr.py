"""Reader of the MATR set (Severson et al., 2019): a batch of cells in one MATLAB 7.3 file.

The layout: `batch` holds a list of references per field, one per cell: barcode, cycle_life,
policy_readable, summary, cycles. `cycles` holds a list of references per field, one per cycle: t
(min), V (V), I, T (°C), Qc and Qd (Ah). https://data.matr.io/1/projects/5c48dd2bc625d700019f3204
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from loader.battery import Battery, LoaderError, Samples
from loader.readers import series
from loader.readers.timeline import Table
from loader.reading import Reading

RATED_CAPACITY_AH, CUTOFF_V, AMBIENT_C = 1.1, 2.0, 30.0  # A123 APR18650M1A, cycled at 30 °C
ROLES = {"t": "time", "V": "voltage", "I": "current", "T": "temperature",
         "Qc": "charge_counter", "Qd": "discharge_counter"}  # fmt: skip
# Currents are written in A or as multiples of the rated one: the counters tell which.
TOLERANCE = 0.05


def recognises(path: Path) -> bool:
    """Tell the file by its group, without reading more."""
    try:
        with h5py.File(path) as file:
            return "batch" in file and "cycles" in file["batch"]
    except (OSError, RuntimeError, TypeError):
        return False


def read(path: Path, name: str, reading: Reading) -> Iterator[Battery]:
    """Yield the cells one by one; raises LoaderError naming the cell and the field at fault."""
    try:
        with h5py.File(path) as file:
            cells = file["batch"]["cycles"][()].reshape(-1)
            if len(cells) > 1 and reading.battery_id:
                raise LoaderError(
                    f"--battery-id is for one battery, and the file holds {len(cells)}"
                )
            for number, reference in enumerate(cells):
                barcode = _text(file, "barcode", number)
                battery_id = reading.battery_id or barcode or f"{name}_{number + 1}"
                yield _battery(file, file[reference], battery_id, number, reading)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise LoaderError(f"not a readable MATR file, or cut short ({reason})") from None


def _battery(file: Any, cycles: Any, battery_id: str, number: int, reading: Reading) -> Battery:
    columns: dict[str, list[Samples]] = {role: [] for role in (*ROLES.values(), "cycle")}
    end_s = 0.0
    for at in range(cycles["t"].size):
        found = {
            role: np.asarray(file[cycles[key][()].reshape(-1)[at]][()], np.float64).reshape(-1)
            for key, role in ROLES.items()
        }
        sizes = {it.size for it in found.values()}
        if len(sizes) != 1:
            raise LoaderError(f"{battery_id}, cycle {at + 1}: fields of {sorted(sizes)} values")
        if found["time"].size < 2:
            continue  # the first cycle of each cell is empty
        time_s = found["time"] * 60.0
        found["time"] = time_s - time_s[0] + end_s
        end_s = float(found["time"][-1]) + float(np.median(np.diff(time_s)))
        found["cycle"] = np.full(time_s.size, float(at + 1))
        for role, values in found.items():
            columns[role].append(values)
    if not columns["time"]:
        raise LoaderError(f"{battery_id}: no cycle has samples")
    whole = {role: np.concatenate(values) for role, values in columns.items()}
    whole["current"] = whole["current"] * _scale(whole, battery_id)
    battery = series.battery(
        battery_id, [Table("", whole)], replace(reading, current_sign="charge-positive")
    )
    return replace(
        battery,
        rated_capacity_ah=RATED_CAPACITY_AH,
        cutoff_v=CUTOFF_V,
        ambient_temperature_c=AMBIENT_C,
        description=_text(file, "policy_readable", number),
    )


def _scale(columns: dict[str, Samples], battery_id: str) -> float:
    """A per unit of the current as it is written: 1, or the rated current."""
    current, step_s = columns["current"], np.diff(columns["time"], prepend=columns["time"][:1])
    drawn = -np.sum(np.where(current < 0, current * step_s, 0.0)) / 3600
    rise = np.diff(columns["discharge_counter"], prepend=columns["discharge_counter"][:1])
    counted = float(np.sum(rise[rise > 0]))
    for scale in (1.0, RATED_CAPACITY_AH):
        if counted and abs(drawn * scale / counted - 1) < TOLERANCE:
            return scale
    raise LoaderError(
        f"{battery_id}: currents fit the counter Qd neither in A nor as multiples of "
        f"{RATED_CAPACITY_AH} A ({drawn:.4g} against {counted:.4g} Ah)"
    )


def _text(file: Any, key: str, number: int) -> str | None:
    if key not in file["batch"]:
        return None
    references = file["batch"][key][()].reshape(-1)
    held = file[references[number]]
    if "MATLAB_empty" in held.attrs:
        return None
    return "".join(map(chr, held[()].reshape(-1))) or None
