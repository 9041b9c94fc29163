"""Reader of Neware's binary .nda and .ndax files, through the package fastnda."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from loader.battery import Battery, LoaderError
from loader.part import Head, Part
from loader.readers import parquet, scan
from loader.readers.scan import Scan
from loader.reading import Reading

SIGNATURE = b"NEWARE"


def recognises(head: Head) -> bool:
    return head.start.startswith(SIGNATURE) or head.suffix in (".nda", ".ndax")


def read(parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
    """Yield the batteries in the files; raises LoaderError where fastnda is missing, or as text."""
    return scan.batteries(parts, reading, scanned)


@contextmanager
def scanned(part: Part, reading: Reading) -> Iterator[Scan]:
    """Give the query that reads a file, for as long as it is run."""
    try:
        import fastnda
    except ImportError:
        raise LoaderError(
            "Neware's binary files need one more package: pip install 'battery-forecast[neware]'"
        ) from None
    with TemporaryDirectory(prefix="battery-") as folder, part.local() as path:
        # fastnda tells the format by the suffix.
        named = Path(folder) / f"part{Path(part.name).suffix.lower()}"
        named.symlink_to(path.resolve())
        try:
            frame = fastnda.read(named)
        except (ValueError, KeyError, IndexError, OSError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise LoaderError(f"not a readable Neware file ({reason})") from None
        copy = Path(folder) / "part.parquet"
        frame.write_parquet(copy)
        with parquet.scanned(Part(part.file_name, copy), reading) as found:
            yield found
