"""Load sources in parallel: each is read, and written in a transaction of its own, by a worker."""

import os
import resource
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psycopg2
from psycopg2.extensions import connection

import database
from loader import contract, inventory, pool, readers, staging
from loader.battery import Battery, LoaderError
from loader.part import Part
from loader.reading import Reading
from loader.sources import Found, Refused, Source, expand

NAMED = 3  # pieces in a message
ABSURD = 1e60  # products of three such numbers still are numbers
MOST_UNPACKED = 1 << 30  # bytes that a file of which nothing is known may become


class Outcome(NamedTuple):
    """What became of one source: what was done, or why it failed."""

    shown: str
    said: str | None
    failure: str | None = None
    notes: tuple[str, ...] = ()
    is_fatal: bool = False  # the database is at fault: the other sources would fare no better
    is_known: bool = False  # it has been loaded before


@dataclass(frozen=True)
class Order:
    """What a worker needs to know to load any source."""

    url: str
    reading: Reading
    since: datetime | None  # when this load began, on the server's clock; None writes nothing
    replace: tuple[str, ...] = ()  # pieces that the user says are to be replaced


def run(
    sources: Iterable[Source | Refused], order: Order, jobs: int
) -> Generator[Outcome, None, None]:
    """Load sources in `jobs` processes and yield what became of each, in the order of the ends."""
    refused: list[Outcome] = []

    def readable() -> Iterator[Source]:
        for source in sources:
            if isinstance(source, Refused):
                refused.append(_refused(source))
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
        return _load(connected(order.url), order, source)
    except LoaderError as error:
        return Outcome(source.shown, None, str(error))
    except psycopg2.InterfaceError as error:
        lost = f"lost the connection: {database.one_line(error)}"
        return Outcome(source.shown, None, lost, is_fatal=True)
    except psycopg2.OperationalError as error:
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


def load_apart(order: Order, file: Path) -> list[Outcome]:
    """Load one file, an archive whole, that nobody knows; its folder takes what is unpacked.

    The database has the staging tables, `order.since` counts from here on. Runs in a worker of its
    own. What it becomes is bounded, however well it was compressed.
    """
    os.chdir(file.parent)  # what is said of it then names no folder
    tempfile.tempdir = str(file.parent)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_UNPACKED, MOST_UNPACKED))
    order = replace(order, since=contract.prepare(connected(order.url)))
    found = [Found(Path(file.name), is_named=True)]
    outcomes, left = [], MOST_UNPACKED
    for source in expand(found, together=order.reading.names_batteries):
        if isinstance(source, Refused):
            outcomes.append(_refused(source))
            continue
        left -= sum(part.size_bytes() for part in source.parts)
        if left < 0:
            reason = f"refused: the archive becomes more than {MOST_UNPACKED:,} bytes"
            return [*outcomes, Outcome(source.shown, None, reason)]
        outcomes.append(load(order, source))
    return outcomes


def _refused(source: Refused) -> Outcome:
    passed = ("passed over: " + source.reason,) if source.is_passed else ()
    return Outcome(source.shown, None, None if passed else source.reason, passed)


def connected(url: str) -> connection:
    """Return this process's connection, a new one where the last has been lost."""
    if _connection(url).closed:
        _connection.cache_clear()
    return _connection(url)


@cache
def _connection(url: str) -> connection:
    return psycopg2.connect(url, application_name="battery-forecast")


def _load(server: connection, order: Order, source: Source) -> Outcome:
    if not any(part.size_bytes() for part in source.parts):
        raise LoaderError("the file is empty")
    reading = repr(order.reading)
    digests = {part: part.sha256() for part in source.parts}
    known = inventory.known(server, list(digests.values()), reading, source.battery_id)
    if order.replace:
        known = [it for it in known if not it.is_replaced]
    new = [part for part, it in digests.items() if not any(it in one.parts for one in known)]
    if not new:
        return Outcome(source.shown, _told_known(known), is_known=True)

    def origin(battery: Battery) -> staging.Origin:
        parts = battery.parts or source.parts
        return staging.Origin(
            source.named(parts),
            tuple(digests[it] for it in parts),
            sum(it.size_bytes() for it in parts),
            reading,
        )

    found, complaints = _read(source, new, order.reading)
    batteries = _said(found, order.reading)
    if order.since:
        pieces = ((it, origin(it)) for it in batteries)
        said, notes = _told(staging.write(server, pieces, order.since, order.replace), source)
    else:
        said, notes = _told([staging.Written.of(it) for it in batteries], source)
        said = f"would load {said}"
    return Outcome(source.shown, said, "; ".join(complaints) or None, notes)


def _told_known(known: Sequence[inventory.Known]) -> str:
    """What had been loaded before."""
    first = known[0]
    if first.is_replaced:
        return f"nothing to do, replaced by {first.file_name}"
    more = f" and {len(known) - 1} more" if len(known) > 1 else ""
    return f"nothing to do, loaded as {first.battery_id} from {first.file_name}{more}"


def _told(written: Sequence[staging.Written], source: Source) -> tuple[str | None, tuple[str, ...]]:
    """What was loaded, in one line, and what there is to be noted of it."""
    new = [it for it in written if not it.twin]
    said = [
        f"nothing to do, {it.battery_id} is loaded with the same recordings from {it.twin}"
        for it in written
        if it.twin
    ]
    notes = []
    for it in new:
        own = list(it.notes)
        where = f" from {it.file_name}" if it.file_name not in ("", source.file_name) else ""
        said.append(
            f"{it.battery_id}{where}: {it.recordings:,} recordings, {it.discharges:,} discharges, "
            f"{it.samples:,} samples"
            + (f", in place of {_listed(it.replaced)}" if it.replaced else "")
        )
        if not it.discharges and it.is_alone and not any(note[:7] == "warning" for note in own):
            own.append("warning: no discharge in it: are these the recordings of a whole test?")
        notes += [f"{it.battery_id}{where}: {note}" if len(written) > 1 else note for note in own]
    return "; ".join(said) or None, tuple(notes)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _read(
    source: Source, new: Sequence[Part], reading: Reading
) -> tuple[Iterable[Battery], list[str]]:
    """Read a source, of tables the files that are new, and say which of these cannot be read.

    Where files have no dates, only all of them tell their order: then all are read, or none.
    """
    reader = readers.reader(source.reader)
    if source.reader not in readers.TABLES or len(source.parts) == 1:
        return reader.read(source.parts, reading), []
    if len(new) < len(source.parts):
        found, complaints = _apart(reader, new, reading)
        if all(it.span and it.span.is_dated for it in found):
            return found, complaints
    try:
        return list(reader.read(source.parts, reading)), []
    except LoaderError:
        found, complaints = _apart(reader, new, reading)
        if not found or not all(it.span and it.span.is_dated for it in found):
            raise
        return found, complaints


def _apart(
    reader: readers.Reader, parts: Sequence[Part], reading: Reading
) -> tuple[list[Battery], list[str]]:
    """Read files together, or else each by itself, and say of those that fail why."""
    try:
        return list(reader.read(parts, reading)), []
    except LoaderError:
        found: list[Battery] = []
        complaints = []
        for part in parts:
            try:
                found += reader.read([part], reading)
            except LoaderError as error:
                complaints.append(f"{part.file_name}: {error}")
        return found, complaints


def _said(batteries: Iterable[Battery], reading: Reading) -> Iterator[Battery]:
    """Let what the user says of a battery go before what its reader knows of the data set."""
    for battery in batteries:
        _refuse_absurd(battery)
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
