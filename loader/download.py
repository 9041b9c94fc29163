"""Fetches NASA's public aging cells into a folder: `python -m loader.download DIR`."""

import argparse
import io
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tqdm import tqdm

URL = "https://phm-datasets.s3.amazonaws.com/NASA/5.+Battery+Data+Set.zip"
TIMEOUT_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loader.download", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    archive = folder / "aging.zip.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(URL, archive)
        with zipfile.ZipFile(archive) as opened:
            for name, content in mat_files(opened):
                (folder / name).write_bytes(content)
    except (OSError, zipfile.BadZipFile) as error:
        print(f"could not download {URL}: {error}", file=sys.stderr)
        return 1
    finally:
        archive.unlink(missing_ok=True)
    return 0


def fetch(url: str, path: Path) -> None:
    """Download `url` to `path` with a progress bar; raises OSError."""
    with (
        urllib.request.urlopen(url, timeout=TIMEOUT_S) as response,
        path.open("wb") as file,
        tqdm(
            total=int(response.headers.get("Content-Length") or 0) or None,
            desc=path.name,
            unit="B",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        ) as progress,
    ):
        while chunk := response.read(1 << 20):
            file.write(chunk)
            progress.update(len(chunk))


def mat_files(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yield name (without folder) and content of each .mat file in a zip, or in a zip within it."""
    for member in archive.infolist():
        name = Path(member.filename).name
        if name.lower().endswith(".zip"):
            inner: IO[bytes] = io.BytesIO(archive.read(member))
            with zipfile.ZipFile(inner) as nested:
                yield from mat_files(nested)
        elif name.lower().endswith(".mat"):
            yield name, archive.read(member)


if __name__ == "__main__":
    sys.exit(main())
