"""Fetches NASA's public archives: resumed, retried, checked, and in place only when complete."""

import argparse
import hashlib
import http.client
import random
import socket
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from loader.battery import LoaderError

ATTEMPTS = 5  # per mirror
TIMEOUT_S = 20.0
FIRST_PAUSE_S = 1.0  # before the second attempt; doubled for each one after it
CHUNK = 1 << 18


@dataclass(frozen=True)
class Archive:
    """One archive, the places that have it, and its SHA-256 where it is known beforehand."""

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None


ARCHIVES = {
    "aging": Archive(
        "5. Battery Data Set.zip",
        (
            "https://phm-datasets.s3.amazonaws.com/NASA/5.+Battery+Data+Set.zip",
            "https://s3.amazonaws.com/phm-datasets/NASA/5.+Battery+Data+Set.zip",
        ),
        "82302a7db4fc1b34e0b6676326610438d43b816bdf11a69d1d012a464ef2f92e",
    ),
    "randomized": Archive(
        "11. Randomized Battery Usage Data Set.zip",
        (
            "https://phm-datasets.s3.amazonaws.com/NASA/11.+Randomized+Battery+Usage+Data+Set.zip",
            "https://s3.amazonaws.com/phm-datasets/NASA/11.+Randomized+Battery+Usage+Data+Set.zip",
        ),
    ),
}


class _MirrorError(Exception):
    """This mirror will not give the file, however often it is asked."""


def main(arguments: list[str]) -> int:
    """Download what the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m loader download", description="Download NASA's public archives."
    )
    parser.add_argument("archive", nargs="?", choices=list(ARCHIVES), default="aging")
    parser.add_argument(
        "--to", type=Path, default=Path("data"), metavar="DIR", help="default: data"
    )
    options = parser.parse_args(arguments)
    path = fetch(ARCHIVES[options.archive], options.to)
    print(f"{path}: complete; load it with `python -m loader '{path}'`")
    return 0


def fetch(archive: Archive, folder: Path) -> Path:
    """Return the archive's path in `folder`, downloaded unless it is there and intact.

    What was downloaded stays in `<name>.part` when it fails, and is continued the next time. The
    checksum is kept in `<name>.sha256`. Raises LoaderError with what each mirror answered.
    """
    path = folder / archive.name
    record = folder / f"{archive.name}.sha256"
    part = folder / f"{archive.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and record.exists() and record.read_text().split()[:1] == [_sha256(path)]:
            return path
        answers = []
        for url in archive.urls:
            try:
                _download(url, part)
                digest = _verified(part, archive)
            except (_MirrorError, http.client.HTTPException, OSError) as error:
                answers.append(f"{url}: {error}")
                continue
            record.write_text(f"{digest}  {archive.name}\n", encoding="utf-8")
            part.replace(path)
            return path
    except OSError as error:
        raise LoaderError(f"{error.filename or folder}: {error.strerror}") from None
    raise LoaderError("could not download " + "; ".join(answers))


def _download(url: str, part: Path) -> None:
    """Get the whole of `url` into `part`, going on from what `part` holds already."""
    for attempt in range(ATTEMPTS):
        try:
            return _continue(url, part)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # nothing after what is there: it is complete, or not this file
                return None
            if error.code < 500 and error.code not in (408, 429):
                raise _MirrorError(f"{error.code} {error.reason}") from None
            failure: Exception = error
        except (http.client.HTTPException, OSError) as error:
            failure = error
            if isinstance(error, urllib.error.URLError):
                failure = error.reason if isinstance(error.reason, Exception) else error
            if isinstance(failure, socket.gaierror):  # no network: asking again takes long
                raise _MirrorError(f"no address found for it ({failure.strerror})") from None
        if attempt + 1 < ATTEMPTS:
            time.sleep(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0))
    raise failure


def _continue(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        if response.status != 206:  # the server sends it all, whatever was asked
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(
                desc=part.stem, initial=have, total=total, unit="B", unit_scale=True,
                disable=not sys.stderr.isatty(),
            ) as progress,
        ):  # fmt: skip
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
            if total is not None and file.tell() < total:
                raise OSError(f"the connection broke off after {file.tell():,} of {total:,} bytes")


def _verified(part: Path, archive: Archive) -> str:
    """Return the SHA-256 of a complete and intact download; removes one that is not."""
    digest = _sha256(part)
    try:
        if archive.sha256 not in (None, digest):
            raise _MirrorError(f"wrong content: SHA-256 is {digest} instead of {archive.sha256}")
        with zipfile.ZipFile(part) as opened:  # every member carries a checksum of its own
            broken = opened.testzip()
        if broken:
            raise _MirrorError(f"wrong content: {broken} in it is damaged")
    except zipfile.BadZipFile as error:
        part.unlink()
        raise _MirrorError(f"wrong content: {error}") from None
    except _MirrorError:
        part.unlink()
        raise
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
