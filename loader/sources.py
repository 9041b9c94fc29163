"""Where recordings lie: finds the .mat files that a path stands for."""

from collections.abc import Iterable
from pathlib import Path

from loader.matlab import LoaderError


def find(paths: Iterable[Path]) -> list[Path]:
    """List the .mat files named or lying in the folders named, searched recursively, each once.

    Raises LoaderError for a path that does not exist and a folder without any .mat file.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".mat")
            if not inside:
                raise LoaderError(f"{path}: no .mat file in this folder or below it")
            found |= dict.fromkeys(inside)
        elif path.exists():
            found[path] = None
        else:
            raise LoaderError(f"{path}: no such file or folder")
    return list(found)
