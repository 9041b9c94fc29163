"""The bytes of one file, wherever they lie: on disk, in an archive, compressed or not."""

import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple, cast

import zstandard

from loader.battery import LoaderError

HEAD = 1 << 18  # bytes that a file is recognised by
CHUNK = 1 << 20
# Recordings that deflate honestly shrinks further than this are not recordings.
STRONGEST = 100  # plain size ÷ compressed size
SMALL = 1 << 20  # what a file may grow to whatever its size
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Head(NamedTuple):
    """What a reader recognises a file by: its name, and how its bytes, decompressed, begin."""

    name: str  # without folder, and without .gz or .zst
    start: bytes

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()


@dataclass(frozen=True)
class Part:
    """One file: `path` on disk, or `content` where an archive holds it. Compression is undone.

    Every method raises OSError where the disk does, and LoaderError where the bytes are damaged or
    would become more than a file of their size plausibly holds.
    """

    file_name: str  # without folder, as it lies there
    path: Path | None = None
    content: bytes | None = None
    within: "Part | None" = None  # the workbook whose sheet it is

    @property
    def name(self) -> str:
        """The file's name without folder and without .gz or .zst: its suffix tells the format."""
        for ending in (".gz", ".zst"):
            if self.file_name.lower().endswith(ending):
                return self.file_name[: -len(ending)]
        return self.file_name

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    def size_bytes(self) -> int:
        if self.content is not None:
            return len(self.content)
        assert self.path is not None
        return self.path.stat().st_size

    def sha256(self) -> str:
        """Return the checksum of the bytes, as they lie there."""
        digest = hashlib.sha256()
        with self._raw() as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def head(self) -> Head:
        with self._plain() as file:
            return Head(self.name, b"".join(_up_to(file, HEAD)))

    def read(self) -> bytes:
        """Return all bytes, decompressed."""
        with self._raw() as raw:
            if _compression(raw) is None:
                return raw.read()
        with self._plain() as file:
            return b"".join(_chunks(file, self._most()))

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Give a path at which the decompressed bytes lie, for as long as it is needed."""
        with self._raw() as file:
            is_plain = _compression(file) is None
        if self.path is not None and is_plain:
            yield self.path
            return
        with TemporaryDirectory(prefix="battery-") as folder:
            copy = Path(folder) / "part"
            with self._plain() as file, copy.open("wb") as out:
                for chunk in _chunks(file, self._most()):
                    out.write(chunk)
            yield copy

    def _most(self) -> int:
        return max(SMALL, STRONGEST * self.size_bytes())

    def _raw(self) -> IO[bytes]:
        if self.content is not None:
            return io.BytesIO(self.content)
        assert self.path is not None
        return self.path.open("rb")

    @contextmanager
    def _plain(self) -> Iterator[IO[bytes]]:
        with self._raw() as raw:
            match _compression(raw):
                case "gzip":
                    with gzip.GzipFile(fileobj=raw) as file:
                        yield cast(IO[bytes], file)
                case "zstandard":
                    with zstandard.ZstdDecompressor().stream_reader(
                        raw, read_across_frames=True
                    ) as file:
                        yield file
                case _:
                    yield raw


def _compression(file: IO[bytes]) -> str | None:
    """Tell what a file is compressed with; it stands at its beginning again."""
    start = file.read(4)
    file.seek(0)
    if start.startswith(GZIP):
        return "gzip"
    return "zstandard" if start.startswith(ZSTANDARD) else None


def _up_to(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield at most `size` bytes; what is damaged further on does not matter here."""
    while size > 0:
        try:
            chunk = file.read(size)
        except (EOFError, zstandard.ZstdError, gzip.BadGzipFile, OSError):
            return
        if not chunk:
            return
        yield chunk
        size -= len(chunk)


def _chunks(file: IO[bytes], most: int) -> Iterator[bytes]:
    size = 0
    try:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > most:
                raise LoaderError(
                    f"refused: a bomb? it becomes more than {most:,} bytes, "
                    f"over {STRONGEST} times its size"
                )
            yield chunk
    except (EOFError, zstandard.ZstdError, gzip.BadGzipFile) as error:
        raise LoaderError(f"damaged, or cut short ({' '.join(str(error).split())})") from None
