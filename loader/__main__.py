"""Command line of the loader: `python -m loader PATH…`, and `… status`, `… inspect` and so on."""

import io
import sys
from contextlib import closing
from importlib import import_module

import psycopg2
from tqdm import tqdm

import database
from loader import contract, pool, sources
from loader.battery import LoaderError
from loader.options import parse

COMMANDS = ("status", "remove", "inspect", "download", "watch")  # a module each


def main(arguments: list[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return _run(given)
    except (LoaderError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg2.Error as error:
        print(f"the database refused: {database.one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what has been reported so far is loaded, whole", file=sys.stderr)
        return 130


def _run(given: list[str]) -> int:
    if given[:1] and given[0] in COMMANDS:
        # Imported where it is needed: a load starts sooner without.
        return int(import_module(f"loader.{given[0]}").main(given[1:]))
    return _load(given)


def _load(arguments: list[str]) -> int:
    options = parse(arguments)
    files = sources.find(options.paths)
    # Imported there while this process does its own work, and once for all workers.
    pool.start("loader.load", *sources.imports(files))
    from loader import load

    with closing(database.connect()) as server:
        since = None if options.dry_run else contract.prepare(server)
    outcomes = load.run(
        sources.expand(files, together=options.reading.names_batteries),
        load.Order(database.url(), options.reading, since, options.replace),
        options.jobs,
    )
    done, failures = 0, []
    with closing(outcomes), tqdm(unit="file", disable=not sys.stderr.isatty()) as progress:
        for outcome in outcomes:
            progress.update()
            for note in outcome.notes:
                progress.write(f"{outcome.shown}: {note}", file=sys.stderr)
            if outcome.said:
                progress.write(f"{outcome.shown}: {outcome.said}")
            done += bool(outcome.said or outcome.failure)
            if outcome.failure is None:
                continue
            failures.append(f"{outcome.shown}: {outcome.failure}")
            if outcome.is_fatal:
                failures.append("the database failed: load again to complete what is missing")
            if outcome.is_fatal or options.fail_fast:
                break
    for failure in failures:
        print(failure, file=sys.stderr)
    if not done:
        print("nothing was loaded: no recordings in what was named", file=sys.stderr)
        return 1
    if failures and not outcome.is_fatal:
        print(f"{len(failures)} of {done} files were not loaded", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
