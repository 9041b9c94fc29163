"""Zip archives, and archives within them, member by member and without unpacking to disk."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO

from loader.battery import LoaderError
from loader.part import STRONGEST

SIGNATURE = b"PK\x03\x04"
# NASA's archives: 2 deep, no member over 200 MB. Deflate cannot honestly do much for recordings.
DEEPEST = 3
LARGEST = 2 << 30


def members(
    file: IO[bytes], wanted: Callable[[str], bool], depth: int = 1
) -> Iterator[tuple[str, bytes | LoaderError]]:
    """Yield path and content of each member whose path is `wanted`; it tells the inner archive.

    `file` must be seekable. A member that is refused or broken comes with the reason instead of
    its content, and an archive that cannot be listed with the path ''.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                is_archive = member.filename.lower().endswith(".zip")
                if member.is_dir() or not wanted(member.filename):
                    continue
                if reason := refusal(member, depth + is_archive):
                    yield member.filename, LoaderError(reason)
                elif is_archive:
                    # Read through, and again for what lies before: slower than a copy in memory,
                    # and as small for an archive of any size.
                    with archive.open(member) as inner:
                        for path, content in members(inner, wanted, depth + 1):
                            yield f"{member.filename}/{path}".rstrip("/"), content
                else:
                    yield member.filename, _content(archive, member)
    except Exception as error:  # zipfile, too, raises whatever it trips over
        yield "", _broken(error)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | LoaderError:
    try:
        return archive.read(member)
    except Exception as error:
        return _broken(error)


def _broken(error: Exception) -> LoaderError:
    return LoaderError(f"not a readable zip archive, or cut short ({' '.join(str(error).split())})")


def refusal(member: zipfile.ZipInfo, depth: int) -> str | None:
    """Say why a member is not to be opened; None where it may be."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or path.drive or path.parts[0].endswith(":"):
        return "refused: its name leads out of the archive"
    if member.flag_bits & 0x1:
        return "refused: it is encrypted; decrypt the archive first"
    if depth > DEEPEST:
        return f"refused: archives nested more than {DEEPEST} deep"
    # What is read never exceeds the size that is stated, so that stated sizes can be trusted here.
    if member.file_size > LARGEST:
        return f"refused: {member.file_size:,} bytes, more than {LARGEST:,}"
    if member.file_size > STRONGEST * max(member.compress_size, 1 << 10):
        return (
            f"refused: a zip bomb? {member.compress_size:,} bytes would become {member.file_size:,}"
        )
    return None
