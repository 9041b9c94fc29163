"""Command line of the loader: `python -m loader PATH…`."""

import argparse
import hashlib
import sys
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection
from tqdm import tqdm

import database
from loader import matlab, sources, staging
from loader.matlab import LoaderError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loader",
        description="Load NASA battery recordings (.mat) into the staging tables of PostgreSQL.",
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help=".mat file, or folder searched for them"
    )
    paths = parser.parse_args().paths
    try:
        files = sources.find(paths)
        server = database.connect()
        staging.prepare(server)
        failures = load(server, files)
    except (LoaderError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg2.Error as error:
        print(f"the database refused: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the files reported so far are loaded, whole", file=sys.stderr)
        return 130
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        print(f"{len(failures)} of {len(files)} files were not loaded", file=sys.stderr)
    return 1 if failures else 0


def load(server: connection, files: list[Path]) -> list[str]:
    """Load each file in a transaction of its own and return a line for each that failed."""
    failures = []
    with tqdm(files, unit="file", disable=not sys.stderr.isatty()) as progress:
        for file in progress:
            try:
                said = _load_file(server, file)
            except (LoaderError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                failures.append(f"{file}: {reason}")
            else:
                progress.write(f"{file}: {said}")
    return failures


def _load_file(server: connection, file: Path) -> str:
    content = file.read_bytes()
    loaded = staging.find(server, hashlib.sha256(content).hexdigest())
    if loaded:
        return f"nothing to do, loaded as {loaded.battery_id} from {loaded.file_name}"
    battery = matlab.read(content, file.stem)
    staging.write(server, battery, file.name, content)
    return f"{battery.battery_id}: {battery.recordings:,} recordings, {battery.samples:,} samples"


if __name__ == "__main__":
    sys.exit(main())
