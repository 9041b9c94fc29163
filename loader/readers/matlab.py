"""Reader of MATLAB files: opens them, and hands each battery to the layout that knows it."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loader.battery import Battery, LoaderError
from loader.part import SMALL, STRONGEST, Head, Part
from loader.readers import aging, fields, oxford, randomized
from loader.reading import Reading

HDF5 = b"\x89HDF\r\n\x1a\n"  # what MATLAB 7.3 files are
MATLAB_HEADER = 512  # bytes that MATLAB puts before them
VERSION_5 = b"MATLAB 5.0"
COMPRESSED = 15  # type of an element whose content is deflated
# Names of variables that say nothing of the battery in it; any name without a number is one.
GENERIC = re.compile(
    r"\D*|(data|dataset|batt?|battery|cell|cycle|step|struct|var|test)_?\d{1,2}", re.IGNORECASE
)
LAYOUTS = (aging, randomized)  # structs that one field tells; `save -struct` spreads it


def recognises(head: Head) -> bool:
    return _is_hdf5(head.start) or head.start.startswith(VERSION_5) or head.suffix == ".mat"


def read(parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
    """Yield the batteries in one file.

    Raises LoaderError when the bytes are no MATLAB file, or no layout that is known, or a field is
    missing, of the wrong kind, or of the wrong length.
    """
    (part,) = parts
    if _is_hdf5(part.head().start):
        from loader.readers import matr  # rare, and slow to import

        with part.local() as path:
            if matr.recognises(path):  # gigabytes, which are not read at once
                yield from matr.read(path, part.stem, reading)
                return
    yield from batteries(part.read(), part.stem, reading)


def batteries(content: bytes, name: str, reading: Reading) -> Iterator[Battery]:
    """Yield the batteries in the bytes of a file called `name`, without folder and suffix."""
    if not content:
        raise LoaderError("the file is empty")
    variables = {key: it for key, it in _variables(content).items() if not key.startswith("__")}
    if oxford.recognises(variables):
        yield from oxford.read(variables, reading)
        return
    found = list(_structs(variables, name))
    if not found:
        known = ", ".join(variables) or "nothing"
        raise LoaderError(
            "no layout that is known: a struct with `cycle` or `step` is expected, or Oxford's "
            f"cells or MATR's batch; found {known}"
        )
    if len(found) > 1 and reading.battery_id:
        held = ", ".join(battery_id for battery_id, *_ in found)
        raise LoaderError(f"--battery-id is for one battery, and the file holds {held}")
    for battery_id, layout, record in found:
        battery = layout.read(record, reading.battery_id or battery_id)
        yield replace(battery, description=battery.description or _description(variables))


def _structs(variables: dict[str, Any], name: str) -> Iterator[tuple[str, Any, Any]]:
    """The batteries in a file: what each is called, the module for its layout, and its struct."""
    found: list[tuple[str, Any, Any]] = []
    for layout in LAYOUTS:  # save -struct: the fields themselves are the variables
        if _is_entries(variables.get(layout.ENTRIES)):
            found.append((layout.ENTRIES, layout, variables))
    for variable, held in variables.items():
        if any(variable == it.ENTRIES for it in LAYOUTS):
            continue
        try:
            record = fields.one(held, variable, variable)
        except LoaderError:
            continue
        layouts = (it for it in LAYOUTS if fields.has(record, it.ENTRIES))
        found += [(variable, layout, record) for layout in layouts][:1]
    for variable, layout, record in found:
        if not GENERIC.fullmatch(variable):
            yield variable, layout, record
        else:  # every file's name for it: the file's own name is the battery's
            yield _named(name if len(found) == 1 else f"{name}_{variable}"), layout, record


def _description(variables: dict[str, Any]) -> str | None:
    """The text of a variable called so, which stands beside the batteries."""
    held = np.asarray(variables.get("description"))
    return str(held.reshape(-1)[0]) if held.dtype.kind == "U" and held.size == 1 else None


def _named(name: str) -> str:
    if not name:
        raise LoaderError("no name: a file like this is named by its battery, RW1.mat")
    return name


def _is_entries(held: Any) -> bool:
    if not isinstance(held, np.ndarray) or not held.size:
        return False
    if held.dtype.names is not None:
        return "type" in held.dtype.names
    if held.dtype != object:
        return False
    try:
        return fields.has(fields.one(held.reshape(-1)[0], "", ""), "type")
    except LoaderError:
        return False


def _is_hdf5(start: bytes) -> bool:
    return HDF5 in (start[:8], start[MATLAB_HEADER : MATLAB_HEADER + 8])


def _variables(content: bytes) -> dict[str, Any]:
    try:
        if _is_hdf5(content):
            from loader.readers import hdf5  # rare, and slow to import

            return hdf5.load(content)
        from scipy.io import loadmat  # slow to import, and not needed to recognise a file
        from scipy.io.matlab import MatReadWarning

        _refuse_bomb(content)
        with warnings.catch_warnings():  # scipy only warns of a variable that it cannot read
            warnings.simplefilter("error", MatReadWarning)
            return dict(loadmat(io.BytesIO(content)))
    except LoaderError:
        raise
    except MemoryError:
        raise LoaderError("more in it than memory holds, or not what it says it is") from None
    except Exception as error:  # the parsers raise whatever they trip over
        reason = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
        raise LoaderError(f"not a readable MATLAB file, or cut short ({reason})") from None


def _refuse_bomb(content: bytes) -> None:
    """Refuse a version 5 file that is cut short, or whose variables would become too large.

    Each states its size in its first bytes; one that lies ends as damaged, for no more is read.
    """
    if not content.startswith(VERSION_5):
        return
    order = ">" if content[126:128] == b"MI" else "<"
    at, stated = 128, 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if at + 8 + size > len(content):
            raise LoaderError("not a readable MATLAB file, or cut short (its last variable is)")
        if kind == COMPRESSED:
            start = zlib.decompressobj().decompress(content[at + 8 : at + 8 + size], 8)
            if len(start) == 8:
                stated += struct.unpack(f"{order}II", start)[1]
        at += 8 + size
    if stated > max(SMALL, STRONGEST * len(content)):
        raise LoaderError(
            f"refused: a bomb? {len(content):,} bytes would become {stated:,}, "
            f"over {STRONGEST} times as many"
        )
