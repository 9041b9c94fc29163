"""Where recordings lie: what a path on the command line stands for, and which files go together."""

import glob
import os
import stat
import zipfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from loader import archive, readers
from loader.battery import LoaderError
from loader.part import Head, Part
from loader.readers import impostors

# An empty file of another kind says nothing of a recording that is missing.
DATA_SUFFIXES = (".mat", ".csv", ".tsv", ".txt", ".dat", ".mpt", ".xlsx", ".xls", ".parquet",
                 ".nda", ".ndax")  # fmt: skip
LISTED = 3  # names of files passed over that are told


@dataclass(frozen=True)
class Source:
    """What is loaded in one transaction: files that one reader reads together.

    `file_name` is what staging keeps; `shown` is what the user calls it.
    """

    shown: str
    file_name: str
    reader: str
    parts: tuple[Part, ...]
    battery_id: str = ""  # whose they are, where equal files may be another battery's

    def named(self, parts: Sequence[Part]) -> str:
        """Return what staging calls some of the files."""
        if len(parts) == len(self.parts):
            return self.file_name
        more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        return parts[0].file_name + more


@dataclass(frozen=True)
class Refused:
    """Something that cannot be read, and why; `is_passed` where it need not be a recording."""

    shown: str
    reason: str
    is_passed: bool = False


@dataclass(frozen=True)
class Found:
    """A file, and whether the user named it or a search of a folder came upon it."""

    path: Path
    is_named: bool


def find(paths: Iterable[str]) -> list[Found]:
    """List the files that paths, folders (searched to the bottom) and patterns name, each once.

    Raises LoaderError for a path that leads to no file.
    """
    found: dict[Path, Found] = {}
    for name in paths:
        path = Path(name)
        if path.is_dir():
            listed = [Found(it, is_named=False) for it in inside(path)]
            if not listed:
                raise LoaderError(f"{path}: no file in this folder or below it")
        elif path.exists():
            listed = [Found(path, is_named=True)]
        elif matches := sorted(glob.glob(name, recursive=True)):
            listed = [Found(Path(it), is_named=True) for it in matches if not Path(it).is_dir()]
        else:
            raise LoaderError(f"{path}: no such file or folder")
        for it in listed:
            found.setdefault(it.path, it)
    return list(found.values())


def imports(files: Iterable[Found]) -> set[str]:
    """Name the modules that readers of most of the files import late, because others need not."""
    suffixes = {it.path.suffix.lower() for it in files}
    matlab = {"scipy.io", "loader.readers.matlab"} if suffixes & {".mat", ".zip"} else set()
    return matlab | ({"loader.readers.text"} if suffixes - {".mat", ".zip"} else set())


def expand(files: Sequence[Found], *, together: bool) -> Iterator[Source | Refused]:
    """Turn files into sources, an archive into one per battery's file; large files come first.

    `together` makes one source of all tables of a kind: they describe the same batteries.
    """
    tables: dict[str, list[tuple[str, Part]]] = {}
    passed: dict[str, list[str]] = {}
    claimed: set[Path] = set()
    late: list[tuple[Path, Part]] = []
    for metadata in (it.path for it in files if it.path.name.lower() == "metadata.csv"):
        part = Part(metadata.name, metadata)
        if _is_regular(metadata) and readers.recognise(part.head()) == "reexport":
            late.append((metadata, part))
            claimed |= {metadata, *_beside(metadata)}
    # Otherwise the last file, being large, would keep one process busy and the others waiting.
    for it in sorted(files, key=_size, reverse=True):
        if it.path in claimed:
            continue
        for source in _of_file(it):
            if isinstance(source, Refused):
                if source.is_passed and not it.is_named:
                    passed.setdefault(source.reason, []).append(source.shown)
                else:
                    yield source
            elif together and source.reader in readers.TABLES:
                tables.setdefault(source.reader, []).append((source.shown, source.parts[0]))
            else:
                yield source
    for reader, group in tables.items():
        yield _together(reader, sorted(group, key=lambda pair: pair[0]))
    for metadata, part in late:  # a re-export of what is here in the original counts as its twin
        yield from _reexport(str(metadata.parent), part, _beside(metadata))
    for reason, shown in passed.items():
        more = f" and {len(shown) - LISTED:,} more" if len(shown) > LISTED else ""
        yield Refused(", ".join(sorted(shown)[:LISTED]) + more, reason, is_passed=True)


def inside(folder: Path) -> Iterator[Path]:
    """Files below a folder; what macOS and hidden folders leave behind is none."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(it for it in folders if not _is_leftover(it))
        yield from (Path(where) / it for it in sorted(names) if not _is_leftover(it))


def _is_leftover(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _size(found: Found) -> int:
    try:
        return found.path.stat().st_size
    except OSError:
        return 0


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _of_file(found: Found) -> Iterator[Source | Refused]:
    path, shown = found.path, str(found.path)
    part = Part(path.name, path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            yield Refused(shown, "not a regular file", is_passed=True)
            return
        head = part.head()
        if head.start.startswith(archive.SIGNATURE) or path.suffix.lower() == ".zip":
            name = readers.recognise(head)
            if name is None or path.suffix.lower() == ".zip":
                yield from _members(path)
                return
        yield _source(shown, part, head, is_named=found.is_named)
    except OSError as error:
        yield Refused(shown, str(error.strerror or error))
    except LoaderError as error:
        yield Refused(shown, str(error))


def _source(shown: str, part: Part, head: Head, *, is_named: bool) -> Source | Refused:
    if not head.start:
        is_data = head.suffix in DATA_SUFFIXES
        return Refused(shown, "the file is empty", is_passed=not is_data and not is_named)
    if reason := impostors.explain(head):
        return Refused(shown, reason)
    name = readers.recognise(head)
    if name is None:
        if reason := impostors.another_way(head):
            return Refused(shown, reason, is_passed=True)
        if not is_named or b"\0" in head.start:
            return Refused(shown, "not a recording that is known", is_passed=True)
        name = "text"  # which says what it misses
    return Source(shown, part.file_name, name, (part,))


def _together(reader: str, group: Sequence[tuple[str, Part]]) -> Source:
    shown, first = group[0]
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    parts = tuple(part for _, part in group)
    return Source(f"{shown}{more}", f"{first.file_name}{more}", reader, parts)


def _beside(metadata: Path) -> list[Path]:
    """Files that a re-export's metadata may list: those beside it, and in the folder `data`."""
    folders = (metadata.parent, metadata.parent / "data")
    return [it for folder in folders if folder.is_dir() for it in folder.glob("*.csv")]


def _reexport(
    shown: str, metadata: Part, files: Iterable[Path | Part]
) -> Iterator[Source | Refused]:
    """One source per battery of a re-export: its metadata, and its own files."""
    from loader.readers import reexport

    parts = {it.name: it if isinstance(it, Part) else Part(it.name, it) for it in files}
    try:
        for battery_id, names in reexport.groups(metadata.read()).items():
            own = tuple(parts[name] for name in names if name in parts)
            yield Source(
                f"{shown} ({battery_id})",
                f"{Path(shown).name}/{battery_id}",
                "reexport",
                (metadata, *own),
                battery_id,
            )
    except LoaderError as error:
        yield Refused(shown, str(error))


def _members(path: Path) -> Iterator[Source | Refused]:
    """What an archive holds: members that are recordings; the others are passed over."""
    empty = True
    with path.open("rb") as file:
        claimed = yield from _reexport_within(path)
        for member, content in archive.members(file, lambda it: _is_wanted(it, claimed)):
            empty = False
            shown = f"{path}/{member}".rstrip("/")
            if isinstance(content, LoaderError):
                yield Refused(shown, str(content))
                continue
            part = Part(PurePosixPath(member).name, content=content)
            try:
                found = _source(shown, part, part.head(), is_named=False)
            except LoaderError as error:
                found = Refused(shown, str(error))
            yield (
                replace(found, file_name=f"{path.name}/{member}")
                if isinstance(found, Source)
                else found
            )
    if empty and not claimed:
        yield Refused(str(path), "nothing in this archive")


def _reexport_within(path: Path) -> Generator[Source | Refused, None, set[str]]:
    """The batteries of a re-export in an archive; returns the members it is made of."""
    claimed: set[str] = set()
    try:
        with zipfile.ZipFile(path) as opened:
            members = {it.filename: it for it in opened.infolist()}
            for name in members:
                where = PurePosixPath(name)
                if where.name.lower() != "metadata.csv" or archive.refusal(members[name], 1):
                    continue
                metadata = Part(where.name, content=opened.read(name))
                if readers.recognise(metadata.head()) != "reexport":
                    continue
                folders = (where.parent, where.parent / "data")
                own = [it for it in members if PurePosixPath(it).parent in folders]
                claimed |= {name, *own}
                files = (
                    Part(PurePosixPath(it).name, content=opened.read(it))
                    for it in own
                    if it != name and not archive.refusal(members[it], 1)
                )
                yield from _reexport(f"{path}/{where.parent}", metadata, files)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return claimed  # said of the archive as a whole, or of its member
    return claimed


def _is_wanted(member: str, claimed: set[str]) -> bool:
    parts = PurePosixPath(member.replace("\\", "/")).parts
    return member not in claimed and not any(_is_leftover(it) for it in parts if it != "..")
