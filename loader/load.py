"""Load sources in parallel: each is read, and written in a transaction of its own, by a worker."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import psycopg2
from psycopg2.extensions import connection

import database
from loader import pool, readers, staging
from loader.battery import Battery, LoaderError
from loader.reading import Reading
from loader.sources import Refused, Source

ABSURD = 1e60  # products of three such numbers still are numbers


class Outcome(NamedTuple):
    """What became of one source: what was done, or why it failed."""

    shown: str
    said: str | None
    failure: str | None = None
    notes: tuple[str, ...] = ()
    is_fatal: bool = False  # the database is at fault: the other sources would fare no better


@dataclass(frozen=True)
class Order:
    """What a worker needs to know to load any source."""

    url: str
    reading: Reading
    since: datetime | None  # when this load began, on the server's clock; None writes nothing


def run(
    sources: Iterable[Source | Refused], order: Order, jobs: int
) -> Generator[Outcome, None, None]:
    """Load sources in `jobs` processes and yield what became of each, in the order of the ends."""
    refused: list[Outcome] = []

    def readable() -> Iterator[Source]:
        for source in sources:
            if isinstance(source, Refused):
                passed = ("passed over: " + source.reason,) if source.is_passed else ()
                refused.append(
                    Outcome(source.shown, None, None if passed else source.reason, passed)
                )
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
        said, notes = _load(_connected(order.url), order, source)
        return Outcome(source.shown, said, notes=notes)
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


def _load(server: connection, order: Order, source: Source) -> tuple[str, tuple[str, ...]]:
    reading = repr(order.reading)
    origin = staging.Origin.of(
        source.file_name, source.sha256(), source.size_bytes(), reading, source.battery_id
    )
    loaded = staging.find(server, origin)
    if not loaded and order.since:
        written = staging.write(server, _read(source, order.reading), origin, order.since)
        if written is not None:
            return _told(written)
        loaded = staging.find(server, origin)  # by another loader, meanwhile
    if loaded:
        return f"nothing to do, loaded as {loaded.battery_id} from {loaded.file_name}", ()
    said, notes = _told(list(map(staging.Written.of, _read(source, order.reading))))
    return f"would load {said}", notes


def _told(written: Sequence[staging.Written]) -> tuple[str, tuple[str, ...]]:
    """What was loaded, in one line, and what there is to be noted of it."""
    said = "; ".join(
        f"nothing to do, {it.battery_id} is loaded with the same recordings from {it.twin}"
        if it.twin
        else f"{it.battery_id}: {it.recordings:,} recordings, {it.discharges:,} discharges, "
        f"{it.samples:,} samples"
        for it in written
    )
    notes = []
    for it in written:
        own = [] if it.twin else list(it.notes)
        if not it.discharges and not any(note.startswith("warning") for note in own):
            own.append("warning: no discharge in it: are these the recordings of a whole test?")
        notes += [f"{it.battery_id}: {note}" if len(written) > 1 else note for note in own]
    return said, tuple(notes)


def _read(source: Source, reading: Reading) -> Iterator[Battery]:
    if not source.size_bytes():
        raise LoaderError("the file is empty")
    for battery in readers.reader(source.reader).read(source.parts, reading):
        _refuse_absurd(battery)
        # What the user says of a battery goes before what its reader knows of the data set.
        yield replace(
            battery,
            rated_capacity_ah=reading.rated_capacity_ah or battery.rated_capacity_ah,
            cutoff_v=reading.cutoff_v or battery.cutoff_v,
            full_charge_v=reading.full_charge_v or battery.full_charge_v,
            ambient_temperature_c=battery.ambient_temperature_c
            if reading.ambient_temperature_c is None
            else reading.ambient_temperature_c,
        )


def _refuse_absurd(battery: Battery) -> None:
    """Refuse finite numbers that no instrument gives: arithmetic on them would overflow."""
    for rows in battery.tables.values():
        for number, row in enumerate(rows, start=1):
            for name, values in zip(row._fields, row, strict=True):
                if isinstance(values, np.ndarray) and values.size:
                    largest = np.fmax.reduce(np.abs(values))
                    if largest > ABSURD and (np.abs(values[np.isfinite(values)]) > ABSURD).any():
                        raise LoaderError(
                            f"{battery.battery_id}, recording {number}: {name} holds "
                            f"{largest:.3g}, which nothing measures"
                        )
