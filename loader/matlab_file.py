"""Writes simulated recordings as MATLAB files in NASA's layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import savemat

SIMULATED = "Simulated, not a measurement"  # dbt knows the cells by these words


def structs(records: list[dict[str, Any]]) -> npt.NDArray[np.void]:
    """A 1xN MATLAB struct array; all records have the fields of the first, in its order."""
    array = np.empty((1, len(records)), dtype=[(name, object) for name in records[0]])
    for at, record in enumerate(records):
        array[0, at] = tuple(record.values())
    return array


def save(path: Path, variables: dict[str, Any]) -> None:
    """Write a MATLAB file, whole or not at all."""
    draft = path.with_suffix(".part")
    # Opened here because savemat adds ".mat" to names and hides why a file cannot be written.
    with draft.open("wb") as file:
        savemat(file, variables, do_compression=True)
    draft.replace(path)
