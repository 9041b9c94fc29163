"""MATLAB 7.3 files, which are HDF5, in the shape scipy gives the older ones: structs as records.

The layout: a struct is a group with a member per field; in an array of structs each member is a
dataset of references, one per struct, and a cell array is such a dataset; text is uint16, an empty
array a list of its dimensions.
"""

import io
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from loader.battery import LoaderError
from loader.part import SMALL, STRONGEST

DEEPEST = 6  # struct arrays and cells within structs; NASA's layouts, in cells, need five


def load(content: bytes) -> dict[str, Any]:
    """Return the file's variables by name; raises whatever h5py trips over."""
    with h5py.File(io.BytesIO(content)) as file:
        reader = _Reader(file, max(SMALL, STRONGEST * len(content)))
        return {name: reader.array(file[name], 0) for name in file if not name.startswith("#")}


class _Reader:
    def __init__(self, file: h5py.File, most_bytes: int) -> None:
        self._file = file
        self._left = most_bytes
        self._read: dict[h5py.Reference, Any] = {}  # what many references share is read once

    def array(self, item: Any, depth: int) -> NDArray[Any]:
        if depth > DEEPEST:
            raise ValueError(f"{item.name}: structs nested deeper than NASA's layouts have them")
        if isinstance(item, h5py.Group):
            return self._struct(item, depth)
        if "MATLAB_empty" in item.attrs:
            kind = item.attrs.get("MATLAB_class", b"double")
            return np.empty(0, "U1" if kind == b"char" else "f8")
        self._left -= item.nbytes
        if self._left < 0:
            raise LoaderError(f"refused: a bomb? it becomes over {STRONGEST} times its size")
        values: NDArray[Any] = item[()]
        if values.dtype == h5py.ref_dtype:
            cells = np.empty(values.size, dtype=object)
            for at, reference in enumerate(values.reshape(-1)):
                cells[at] = self._dereferenced(reference, depth)
            return cells
        if item.attrs.get("MATLAB_class") == b"char":
            return np.array(["".join(map(chr, values.reshape(-1)))])
        if values.dtype.names == ("real", "imag"):
            return np.asarray(values["real"] + 1j * values["imag"])
        return values

    def _struct(self, group: h5py.Group, depth: int) -> NDArray[Any]:
        fields = list(group)
        members = [group[name] for name in fields]
        # A cell array is made of references too, but says that it is one.
        is_array = bool(members) and all(
            isinstance(member, h5py.Dataset)
            and member.dtype == h5py.ref_dtype
            and "MATLAB_class" not in member.attrs
            for member in members
        )
        size = members[0].size if is_array else 1
        structs = np.empty(size, dtype=[(name, object) for name in fields])
        for name, member in zip(fields, members, strict=True):
            if not is_array:
                structs[0][name] = self.array(member, depth + 1)
                continue
            for at, reference in enumerate(member[()].reshape(-1)):
                structs[at][name] = self._dereferenced(reference, depth)
        return structs

    def _dereferenced(self, reference: h5py.Reference, depth: int) -> NDArray[Any]:
        item = self._file[reference]
        if item.id not in self._read:
            self._read[item.id] = self.array(item, depth + 1)
        found: NDArray[Any] = self._read[item.id]
        return found
