"""Fields of a MATLAB struct as text and numbers, or an error that names the field and the fault.

A record is a struct as scipy gives it or a mapping; what other programs put into cells or strip of
its dimensions on the way is taken out of them again.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loader.battery import LoaderError, Samples

FLOAT64 = np.dtype(np.float64)
# Days from MATLAB's year 0 to Python's year 1; a datenum counts from there.
YEAR_ZERO_DAYS = 366
SPELLINGS = (
    "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S",
    "%d-%b-%Y %H:%M:%S.%f", "%d-%b-%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d-%b-%Y",
)  # fmt: skip


def names(record: Any) -> tuple[str, ...]:
    """Return the names of a record's fields."""
    return tuple(record) if isinstance(record, dict) else tuple(record.dtype.names or ())


def has(record: Any, key: str) -> bool:
    return key in names(record)


def require(record: Any, keys: Iterable[str], where: str) -> None:
    """Raise LoaderError that names every field that the record lacks."""
    held = names(record)
    if missing := [key for key in keys if key not in held]:
        are = "field {} is" if len(missing) == 1 else "fields {} are"
        raise LoaderError(f"{where}: {are.format(', '.join(missing))} missing")


def value(record: Any, key: str, where: str) -> NDArray[Any]:
    """Return a field of a MATLAB struct as an array, or say that it is missing."""
    try:
        return np.asarray(record[key])
    except (ValueError, IndexError, KeyError):
        raise LoaderError(f"{where}: field {key} is missing") from None


def structs(record: Any, key: str, where: str) -> Iterator[Any]:
    """Yield the structs of a struct array, or of a cell array of structs."""
    entries = value(record, key, where)
    if entries.dtype.names is not None:
        yield from entries.reshape(-1)
        return
    if entries.dtype != object:
        raise LoaderError(f"{where}: field {key} is not a struct")
    for entry in entries.reshape(-1):
        yield one(entry, key, where)


def struct(record: Any, key: str, where: str) -> Any:
    """Return a field that holds one struct."""
    return one(value(record, key, where), key, where)


def one(held: Any, key: str, where: str) -> Any:
    """Take one struct out of the cells and the arrays that hold it."""
    while isinstance(held, np.ndarray):
        if held.size != 1 and held.dtype.names is not None:
            raise LoaderError(f"{where}: field {key} holds {held.size} structs instead of one")
        if held.size != 1 or (held.dtype.names is None and held.dtype != object):
            raise LoaderError(f"{where}: field {key} is not a struct")
        held = held.reshape(-1)[0]
    if not isinstance(held, np.void | dict):
        raise LoaderError(f"{where}: field {key} is not a struct")
    return held


def text(record: Any, key: str, where: str) -> str:
    """Return a character field as it stands, blanks included; an empty one is ''."""
    content = _uncelled(value(record, key, where))
    if content.dtype.kind != "U" or content.size > 1:
        raise LoaderError(f"{where}: field {key} is not text")
    return str(content.reshape(-1)[0]) if content.size else ""


def vector(record: Any, key: str, where: str, length: int | None = None) -> Samples:
    """Return a numeric row or column as float64 [samples], NaN and infinity as they are."""
    found = value(record, key, where)
    # Nearly every field of nearly every file; the checks below take longer than the field.
    if found.dtype == FLOAT64 and found.shape == (1, length):
        row: Samples = found[0]
        return row
    return _numbers(record, key, where, "buif", length).astype(np.float64, copy=False)


def optional_vector(record: Any, key: str, where: str, length: int) -> Samples | None:
    """Return a numeric row or column [samples]; None where the field is missing or empty."""
    if not has(record, key) or (length and not value(record, key, where).size):
        return None
    return vector(record, key, where, length)


def complex_vector(record: Any, key: str, where: str) -> tuple[Samples, Samples]:
    """Return the real and the imaginary part of a numeric row or column, each [values]."""
    numbers = _numbers(record, key, where, "buifc", None).astype(np.complex128)
    return np.ascontiguousarray(numbers.real), np.ascontiguousarray(numbers.imag)


def scalar(record: Any, key: str, where: str) -> float | None:
    """Return a single number; an empty field is None."""
    numbers = vector(record, key, where)
    if numbers.size > 1:
        raise LoaderError(f"{where}: field {key} holds {numbers.size} numbers instead of one")
    return float(numbers[0]) if numbers.size else None


def date_vector(record: Any, key: str, where: str) -> Samples | None:
    """Return a date as [6], year to second: from a date vector, a datenum or text; None if none."""
    if not has(record, key):
        return None
    found = _uncelled(value(record, key, where))
    if found.dtype.kind in "buif" and found.size == 6:
        return found.reshape(-1).astype(np.float64)
    if found.dtype.kind in "buif" and found.size == 1:
        return from_datenum(float(found.reshape(-1)[0]))
    if found.dtype.kind == "U" and found.size == 1:
        return from_text(str(found.reshape(-1)[0]))
    return None


def from_datenum(days: float) -> Samples | None:
    """Return the [6] of days since MATLAB's year 0; None where there is no such date."""
    try:
        return _parts(datetime(1, 1, 1) + timedelta(days=days - YEAR_ZERO_DAYS - 1))
    except (OverflowError, ValueError):
        return None


def from_text(written: str) -> Samples | None:
    """Return the [6] of a date in one of SPELLINGS, or of six numbers; None if it is neither."""
    numbers = re.findall(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?", written)
    if written.strip().startswith("[") and len(numbers) == 6:
        return np.array([float(it) for it in numbers])
    for spelling in SPELLINGS:
        try:
            return _parts(datetime.strptime(written.strip(), spelling))
        except ValueError:
            continue
    return None


def _parts(moment: datetime) -> Samples:
    second = moment.second + moment.microsecond / 1e6
    date = (moment.year, moment.month, moment.day, moment.hour, moment.minute, second)
    return np.array(date, dtype=np.float64)


def _uncelled(content: NDArray[Any]) -> NDArray[Any]:
    while content.dtype == object and content.size == 1:
        content = np.asarray(content.reshape(-1)[0])
    return content


def _numbers(record: Any, key: str, where: str, kinds: str, length: int | None) -> NDArray[Any]:
    numbers = _uncelled(value(record, key, where))
    if numbers.dtype.kind not in kinds:
        raise LoaderError(f"{where}: field {key} is not numeric (found {numbers.dtype})")
    if numbers.ndim > 2 or (numbers.size and max(numbers.shape, default=1) != numbers.size):
        raise LoaderError(f"{where}: field {key} is not one row or column, but {numbers.shape}")
    if length is not None and numbers.size != length:
        raise LoaderError(
            f"{where}: field {key} has {numbers.size} values where {length} are expected"
        )
    return numbers.reshape(-1)
