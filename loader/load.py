"""Load sources in parallel: each is read, and written in a transaction of its own, by a worker."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import connection

import database
from loader import matlab, pool, staging
from loader.battery import Battery, LoaderError
from loader.mapping import Mapping
from loader.sources import Refused, Source


class Outcome(NamedTuple):
    """What became of one source: what was done, or why it failed."""

    shown: str
    said: str | None
    failure: str | None = None
    is_fatal: bool = False  # the database is at fault: the other sources would fare no better


@dataclass(frozen=True)
class Order:
    """What a worker needs to know to load any source."""

    url: str
    mapping: Mapping
    since: datetime | None  # when this load began, on the server's clock; None writes nothing


def run(
    sources: Iterable[Source | Refused], order: Order, jobs: int
) -> Generator[Outcome, None, None]:
    """Load sources in `jobs` processes and yield what became of each, in the order of the ends."""
    refused: list[Outcome] = []

    def readable() -> Iterator[Source]:
        for source in sources:
            if isinstance(source, Refused):
                refused.append(Outcome(source.shown, None, source.reason))
            else:
                yield source

    for source, outcome in pool.run(partial(load, order), readable(), jobs):
        while refused:
            yield refused.pop()
        if isinstance(outcome, pool.Died):
            outcome = Outcome(source.shown, None, outcome.how)
        yield outcome
    yield from refused


def load(order: Order, source: Source) -> Outcome:
    """Load one source; whatever goes wrong with it is in the outcome. Runs in a worker."""
    try:
        return Outcome(source.shown, _load(_connected(order.url), order, source))
    except LoaderError as error:
        return Outcome(source.shown, None, str(error))
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        return Outcome(source.shown, None, database.one_line(error), is_fatal=True)
    except OSError as error:
        return Outcome(source.shown, None, error.strerror or type(error).__name__)
    except UnicodeEncodeError:
        return Outcome(source.shown, None, "the name of the battery is not text: rename the file")
    except MemoryError:
        return Outcome(source.shown, None, "more in it than a job's share of memory holds")
    except Exception as error:  # a fault of ours must not cost the other sources
        reason = f"{type(error).__name__}: {database.one_line(error)}"
        return Outcome(source.shown, None, reason)


def _connected(url: str) -> connection:
    """Return this worker's connection, a new one where the last has been lost."""
    if _connection(url).closed:
        _connection.cache_clear()
    return _connection(url)


@cache
def _connection(url: str) -> connection:
    return psycopg2.connect(url, application_name="battery-forecast")


def _load(server: connection, order: Order, source: Source) -> str:
    reading = repr(order.mapping) if source.is_tabular else None
    origin = staging.Origin(source.file_name, source.sha256(), source.size_bytes(), reading)
    loaded = staging.find(server, origin)
    if not loaded and order.since:
        written = staging.write(server, _read(source, order.mapping), origin, order.since)
        if written is not None:
            return _told(written)
        loaded = staging.find(server, origin)  # by another loader, meanwhile
    if loaded:
        return f"nothing to do, loaded as {loaded.battery_id} from {loaded.file_name}"
    return "would load " + _told(map(staging.Written.of, _read(source, order.mapping)))


def _told(written: Iterable[staging.Written]) -> str:
    return "; ".join(
        f"{it.battery_id}: {it.recordings:,} recordings, {it.samples:,} samples" for it in written
    )


def _read(source: Source, mapping: Mapping) -> Iterator[Battery]:
    if not source.size_bytes():
        raise LoaderError("the file is empty")
    if source.is_tabular:
        from loader import tabular  # DuckDB is slow to import

        yield from tabular.read(source.files, source.stem, mapping)
    else:
        content = source.content
        yield matlab.read(source.files[0].read_bytes() if content is None else content, source.stem)
