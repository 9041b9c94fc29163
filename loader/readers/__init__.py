"""What bytes mean: one module per family of files, each of which turns them into batteries.

A reader has `recognises(head) -> bool`, which looks at a file's name and first bytes, and
`read(parts, reading) -> Iterator[Battery]`. The first that recognises a file reads it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from loader.battery import Battery
from loader.part import Head, Part
from loader.reading import Reading

# Tried in this order: what is told by a signature before what is told by words.
READERS = ("matlab", "parquet", "neware", "workbook", "reexport", "text")
TABLES = ("parquet", "neware", "workbook", "text")  # one battery's samples may lie in several files


class Reader(Protocol):
    """What each module of READERS offers."""

    def recognises(self, head: Head) -> bool:
        """Tell whether this reader is the one for a file."""

    def read(self, parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
        """Yield the batteries in files that belong together; raises LoaderError."""


def reader(name: str) -> Reader:
    """Return a reader by its name; imported where it is needed, for some are slow to import."""
    return cast(Reader, import_module(f"loader.readers.{name}"))


def recognise(head: Head) -> str | None:
    """Name the reader for a file; None where there is none."""
    return next((name for name in READERS if reader(name).recognises(head)), None)


@cache
def version() -> str:
    """A checksum of the readers and their vocabulary: what they make of a file depends on it."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".csv"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
