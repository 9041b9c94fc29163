"""Where recordings lie: what a path on the command line stands for, and what kind of file it is."""

import glob
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loader import archive
from loader.battery import LoaderError

SUFFIXES = (".mat", ".zip", ".parquet", ".csv", ".csv.gz", ".csv.zst")
TABULAR_SUFFIXES = SUFFIXES[2:]


@dataclass(frozen=True)
class Source:
    """What is loaded in one transaction: files together, or one member of an archive.

    `file_name` is what staging keeps; `shown` is what the user calls it.
    """

    shown: str
    file_name: str
    stem: str
    files: tuple[Path, ...]
    content: bytes | None = None
    is_tabular: bool = False

    def sha256(self) -> str:
        """Return the checksum of the bytes, those of several files one after another."""
        digest = hashlib.sha256()
        if self.content is not None:
            digest.update(self.content)
            return digest.hexdigest()
        for path in self.files:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()

    def size_bytes(self) -> int:
        if self.content is not None:
            return len(self.content)
        return sum(path.stat().st_size for path in self.files)


@dataclass(frozen=True)
class Refused:
    """Something that cannot be read, and why."""

    shown: str
    reason: str


def find(paths: Iterable[str]) -> list[Path]:
    """List the files that paths, folders (searched to the bottom) and patterns name, each once.

    Raises LoaderError for a path that leads to no file.
    """
    found: dict[Path, None] = {}
    for name in paths:
        path = Path(name)
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if file.name.lower().endswith(SUFFIXES)
            )
            if not inside:
                raise LoaderError(
                    f"{path}: no {', '.join(SUFFIXES)} file in this folder or below it"
                )
            found |= dict.fromkeys(inside)
        elif path.exists():
            found[path] = None
        elif matches := sorted(glob.glob(name, recursive=True)):
            found |= dict.fromkeys(map(Path, matches))
        else:
            raise LoaderError(f"{path}: no such file or folder")
    return list(found)


def expand(files: Iterable[Path], *, together: bool) -> Iterator[Source | Refused]:
    """Turn files into sources, an archive into one per .mat member; large files come first.

    `together` makes one source of all CSV and Parquet files: they describe the same batteries.
    """
    tabular: list[Path] = []
    # Otherwise the last file, being large, would keep one process busy and the others waiting.
    for path in sorted(files, key=_size, reverse=True):
        try:
            with path.open("rb") as file:
                start = file.read(8)
        except OSError as error:
            yield Refused(str(path), str(error.strerror))
            continue
        if start.startswith(archive.SIGNATURE) or path.suffix.lower() == ".zip":
            yield from _members(path)
        elif start.startswith(b"PAR1") or path.name.lower().endswith(TABULAR_SUFFIXES):
            tabular.append(path)
        else:
            yield Source(str(path), path.name, path.stem, (path,))
    groups = [tuple(sorted(tabular))] if together and tabular else [(path,) for path in tabular]
    for group in groups:
        name, shown = group[0].name, str(group[0])
        if len(group) > 1:
            name, shown = (f"{it} and {len(group) - 1} more" for it in (name, shown))
        stem = group[0].name
        for suffix in sorted(TABULAR_SUFFIXES, key=len, reverse=True):
            if stem.lower().endswith(suffix):
                stem = stem[: -len(suffix)]
                break
        yield Source(shown, name, stem, group, is_tabular=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _members(path: Path) -> Iterator[Source | Refused]:
    empty = True
    with path.open("rb") as file:
        for member, content in archive.members(file, ".mat"):
            empty = False
            shown, name = f"{path}/{member}".rstrip("/"), f"{path.name}/{member}"
            if isinstance(content, LoaderError):
                yield Refused(shown, str(content))
            else:
                yield Source(shown, name, Path(member).stem, (path,), content)
    if empty:
        yield Refused(str(path), "no .mat file in this archive")
