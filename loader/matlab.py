"""Open the bytes of a .mat file and tell NASA's two layouts apart by content."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadWarning

from loader import aging, randomized
from loader.battery import Battery, LoaderError

HDF5 = b"\x89HDF\r\n\x1a\n"  # what MATLAB 7.3 files are
MATLAB_HEADER = 512  # bytes that MATLAB puts before them
LAYOUTS: dict[str, Callable[[Any, str, str], Battery]] = {
    "cycle": aging.read,
    "step": randomized.read,
}


def read(content: bytes, name: str) -> Battery:
    """Read one .mat file of either layout; `name` (without folder) identifies a randomized cell.

    Raises LoaderError when the bytes are no MATLAB file, or no layout of NASA's, or a field of it
    is missing, of the wrong kind, or of the wrong length.
    """
    if not content:
        raise LoaderError("the file is empty")
    variables = _variables(content)
    for variable, struct in variables.items():
        if not (isinstance(struct, np.ndarray) and struct.dtype.names and struct.size == 1):
            continue
        for entries, read_layout in LAYOUTS.items():
            if entries in struct.dtype.names:
                return read_layout(struct.reshape(-1)[0], variable, name)
    known = ", ".join(key for key in variables if not key.startswith("__")) or "nothing"
    raise LoaderError(
        f"neither of NASA's layouts: a struct with `cycle` or `step` is expected, found {known}"
    )


def _variables(content: bytes) -> dict[str, Any]:
    try:
        if HDF5 in (content[:8], content[MATLAB_HEADER : MATLAB_HEADER + 8]):
            from loader import hdf5  # rare, and slow to import

            return hdf5.load(content)
        with warnings.catch_warnings():  # scipy only warns of a variable that it cannot read
            warnings.simplefilter("error", MatReadWarning)
            return dict(scipy.io.loadmat(io.BytesIO(content)))
    except MemoryError:
        raise LoaderError("more in it than memory holds, or not what it says it is") from None
    except Exception as error:  # the parsers raise whatever they trip over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise LoaderError(f"not a readable MATLAB file, or cut short ({reason})") from None
