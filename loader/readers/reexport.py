"""Reader of the popular re-export of NASA's aging cells: metadata.csv and a CSV per operation."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from loader.battery import Battery, LoaderError
from loader.part import Head, Part
from loader.readers import aging, fields
from loader.reading import Reading

COLUMNS = ("type", "start_time", "ambient_temperature", "battery_id", "test_id", "filename")
RESULTS = {"discharge": ("Capacity",), "impedance": ("Re", "Rct")}


def recognises(head: Head) -> bool:
    """Tell the metadata by its header."""
    names = head.start.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip().split(",")
    return set(COLUMNS) <= set(names)


def groups(metadata: bytes) -> dict[str, list[str]]:
    """Name each battery's files, in the order of its tests; raises LoaderError."""
    found: dict[str, list[str]] = {}
    for row in _rows(metadata):
        found.setdefault(row["battery_id"], []).append(row["filename"])
    return found


def read(parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
    """Yield the one battery whose files follow the metadata in `parts`.

    Raises LoaderError naming the file at fault.
    """
    files = {part.name: part for part in parts[1:]}
    rows = _rows(parts[0].read())
    battery_id = next((row["battery_id"] for row in rows if row["filename"] in files), None)
    own = [row for row in rows if row["battery_id"] == battery_id]
    absent = [row["filename"] for row in own if row["filename"] not in files]
    if absent or battery_id is None:
        raise LoaderError(f"{', '.join(absent[:3]) or 'every file'}: listed, but not there")
    operations: list[NamedTuple] = []
    for index, row in enumerate(own, start=1):
        name, kind = row["filename"], row["type"].strip().lower()
        data = _impedance(files[name]) if kind == "impedance" else _samples(files[name])
        for key in RESULTS.get(kind, ()):
            if key in row:
                data[key] = _number(row[key], f"{name}, {key}")
        ambient = _number(row["ambient_temperature"], f"{name}, ambient_temperature")
        operations.append(
            aging.operation(
                data,
                name,
                battery_id,
                index,
                kind,
                float(ambient[0].real) if ambient.size else None,
                fields.from_text(row["start_time"]),
            )
        )
    yield aging.battery(reading.battery_id or battery_id, operations)


def _rows(metadata: bytes) -> list[dict[str, str]]:
    """The lines of metadata.csv by battery and test."""
    text = io.StringIO(metadata.decode("utf-8-sig", "replace"))
    rows = [{key: it or "" for key, it in row.items() if key} for row in csv.DictReader(text)]
    try:
        return sorted(rows, key=lambda row: (row["battery_id"], int(float(row["test_id"]))))
    except (KeyError, ValueError):
        raise LoaderError("metadata.csv: a line without battery_id or test_id") from None


def _samples(part: Part) -> dict[str, Any]:
    content = part.read()
    header, _, body = content.partition(b"\n")
    names = header.decode("utf-8-sig", "replace").strip().split(",")
    if not body.strip():
        return {name: np.empty(0) for name in names}
    try:
        values = np.loadtxt(io.BytesIO(body), delimiter=",", ndmin=2)
    except ValueError as error:
        raise LoaderError(f"{part.name}: not a table of numbers ({error})") from None
    if values.shape[1] != len(names):
        raise LoaderError(f"{part.name}: {values.shape[1]} columns under {len(names)} names")
    columns = np.ascontiguousarray(values.T)
    return {name: columns[at : at + 1] for at, name in enumerate(names)}


def _impedance(part: Part) -> dict[str, Any]:
    text = io.StringIO(part.read().decode("utf-8-sig", "replace"))
    columns: dict[str, list[complex]] = {}
    for row in csv.DictReader(text):
        for key, cell in row.items():
            if key and cell and cell.strip():
                columns.setdefault(key, []).extend(_number(cell, f"{part.name}, {key}").tolist())
    return {key: np.array(values) for key, values in columns.items()}


def _number(cell: str, where: str) -> Any:
    """A number as Python writes it, complex ones too, [1]; nothing or `[]` is [0]."""
    plain = cell.strip().strip("[]").replace(" ", "")
    if not plain:
        return np.empty(0)
    try:
        number = complex(plain.replace("(", "").replace(")", ""))
    except ValueError:
        raise LoaderError(f"{where}: '{cell}' is no number") from None
    return np.array([number if number.imag else number.real])
