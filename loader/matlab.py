"""Open the bytes of a .mat file, tell NASA's two layouts apart by content, and read the fields."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.io
from numpy.typing import NDArray

Samples = NDArray[np.float64]


class LoaderError(Exception):
    """What is wrong with one source, in one line that names the field and the fault."""


@dataclass(frozen=True)
class Battery:
    """All that one file says of one battery, as rows of the staging tables.

    `tables` maps a staging table's name to its rows; a row's field names are the table's columns.
    """

    battery_id: str
    layout: str
    tables: dict[str, list[NamedTuple]]
    samples: int
    procedure: str | None = None
    description: str | None = None
    recordings: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "recordings", sum(map(len, self.tables.values())))


def read(content: bytes, name: str) -> Battery:
    """Read one .mat file of either layout; `name` (without folder) identifies a randomized cell.

    Raises LoaderError when the bytes are no MATLAB file, or no layout of NASA's, or a field of it
    is missing, of the wrong kind, or of the wrong length.
    """
    from loader import aging, randomized  # each needs the helpers below

    if not content:
        raise LoaderError("the file is empty")
    try:
        variables = scipy.io.loadmat(io.BytesIO(content))
    except NotImplementedError:
        raise LoaderError(
            "MATLAB 7.3 (HDF5) file: save it again with MATLAB's `save -v7`"
        ) from None
    except Exception as error:  # scipy raises whatever its parser trips over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise LoaderError(f"not a readable MATLAB file, or cut short ({reason})") from None
    structs = {
        key: value
        for key, value in variables.items()
        if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1
    }
    layouts: dict[str, Callable[..., Battery]] = {"cycle": aging.read, "step": randomized.read}
    for key, struct in structs.items():
        for entries, read_layout in layouts.items():
            if entries in struct.dtype.names:
                return read_layout(struct.reshape(-1)[0], key, name)
    known = ", ".join(key for key in variables if not key.startswith("__")) or "nothing"
    raise LoaderError(
        f"neither of NASA's layouts: a struct with `cycle` or `step` is expected, found {known}"
    )


def value(record: Any, key: str, where: str) -> NDArray[Any]:
    """Return a field of a MATLAB struct as an array, or say that it is missing."""
    if record.dtype.names is None or key not in record.dtype.names:
        raise LoaderError(f"{where}: field {key} is missing")
    return np.asarray(record[key])


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
    return _numbers(record, key, where, "buif", length).astype(np.float64)


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
