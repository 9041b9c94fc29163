"""Fields of a MATLAB struct as text and numbers, or an error that names the field and the fault."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loader.battery import LoaderError, Samples

FLOAT64 = np.dtype(np.float64)


def value(record: Any, key: str, where: str) -> NDArray[Any]:
    """Return a field of a MATLAB struct as an array, or say that it is missing."""
    try:
        return np.asarray(record[key])
    except (ValueError, IndexError):
        raise LoaderError(f"{where}: field {key} is missing") from None


def struct(record: Any, key: str, where: str) -> NDArray[Any]:
    """Return a struct-array field, flattened to [entries]."""
    entries = value(record, key, where)
    if entries.dtype.names is None:
        raise LoaderError(f"{where}: field {key} is not a struct")
    return entries.reshape(-1)


def text(record: Any, key: str, where: str) -> str:
    """Return a character field as it stands, blanks included; an empty one is ''."""
    content = value(record, key, where)
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


def _numbers(record: Any, key: str, where: str, kinds: str, length: int | None) -> NDArray[Any]:
    numbers = value(record, key, where)
    if numbers.dtype.kind not in kinds:
        raise LoaderError(f"{where}: field {key} is not numeric (found {numbers.dtype})")
    if numbers.ndim > 2 or (numbers.size and max(numbers.shape) != numbers.size):
        raise LoaderError(f"{where}: field {key} is not one row or column, but {numbers.shape}")
    if length is not None and numbers.size != length:
        raise LoaderError(
            f"{where}: field {key} has {numbers.size} values where {length} are expected"
        )
    return numbers.reshape(-1)
