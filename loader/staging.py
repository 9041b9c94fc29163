"""The one writer: rows into the staging tables, by binary COPY, a source whole or not at all."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from psycopg2.extensions import connection, cursor

import binary_copy
from loader import contract, inventory, placing, readers
from loader.battery import Battery, LoaderError
from loader.placing import Piece

FACTS = (
    "battery_id", "layout", "procedure", "description", "rated_capacity_ah", "cutoff_v",
    "full_charge_v", "ambient_temperature_c", "largest_current_a", "charge_limit_v",
    "recordings", "samples",
)  # fmt: skip


class Origin(NamedTuple):
    """Where a piece comes from, and what its rows depend on: bytes, reading and the readers."""

    file_name: str
    parts: tuple[str, ...]  # SHA-256 of each file
    size_bytes: int
    reading: str

    @property
    def fingerprint(self) -> str:
        return _digest(*self.parts, self.reading, readers.version())


class Written(NamedTuple):
    """How much of one piece went into staging."""

    battery_id: str
    recordings: int
    discharges: int
    samples: int
    notes: tuple[str, ...]
    file_name: str = ""
    replaced: tuple[str, ...] = ()  # pieces whose place it took
    twin: str | None = None  # the piece that the same recordings are loaded from already
    is_alone: bool = True  # the battery has no other piece

    @classmethod
    def of(cls, battery: Battery) -> "Written":
        counts = (battery.recordings, battery.discharges, battery.samples)
        return cls(battery.battery_id, *counts, battery.notes)


def write(
    database: connection,
    batteries: Iterable[tuple[Battery, Origin]],
    since: datetime,
    replace: Sequence[str] = (),
) -> list[Written]:
    """Add batteries, or pieces of them, in one transaction; tell how much, and what they replaced.

    A second loader of the same battery waits for the first to commit. What is there already, under
    whatever name, is left alone. LoaderError is raised where it is not clear what holds, and for
    other recordings of the same time that have been loaded `since`.
    """
    written: list[Written] = []
    with database, database.cursor() as cursor:
        contract.lock(cursor, "staging contract", "_shared")
        for battery_id, own in groupby(batteries, key=lambda it: it[0].battery_id):
            contract.lock(cursor, f"battery {battery_id}")
            written += _place(cursor, battery_id, list(own), since, replace)
    return written


def _replacing(cursor: cursor, battery_id: str, origin: Origin) -> str | None:
    """Name the piece that has replaced one from the same files, read the same way."""
    known = inventory.of_files(cursor, origin.parts, origin.reading, battery_id)
    return next(
        (it.file_name for it in known if it.is_replaced and it.parts >= set(origin.parts)), None
    )


def _place(
    cursor: cursor,
    battery_id: str,
    own: Sequence[tuple[Battery, Origin]],
    since: datetime,
    replace: Sequence[str],
) -> list[Written]:
    """Put the pieces of one battery, whose lock is held, where they belong."""
    there = inventory.pieces(cursor, battery_id, since)
    if unknown := [it for it in replace if it not in [old.name for old in there]]:
        known = ", ".join(it.name for it in there) or "none"
        raise LoaderError(
            f"{battery_id} has no piece {', '.join(unknown)} to replace: it has {known}"
        )
    is_same = partial(_is_same, cursor, battery_id)
    new, written = [], []
    for battery, origin in own:
        content = _content(battery, origin)
        twin = next(
            (
                it.name
                for it in there
                if it.fingerprint == origin.fingerprint
                or (it.content == content and placing.is_then(it, battery))
            ),
            None,
        )
        if not twin and not replace:
            twin = _replacing(cursor, battery_id, origin) or next(
                (it.name for it in there if placing.holds(it, battery, is_same)), None
            )
        if twin:
            written.append(Written.of(battery)._replace(file_name=origin.file_name, twin=twin))
        else:
            new.append((battery, origin, content))
    if new:
        named = [(origin.file_name, battery) for battery, origin, _ in new]
        gone = placing.replaced(named, there, replace, is_same)
        names = [it.name for it in there if it not in gone]
        for battery, origin, content in new:
            name, number = origin.file_name, 1
            while name in names:
                number += 1
                name = f"{origin.file_name} ({number})"
            names.append(name)
            for old in gone:
                inventory.forget(cursor, battery_id, old.name, name)
            _insert(cursor, battery, origin, content, name)
            written.append(
                Written.of(battery)._replace(
                    file_name=origin.file_name,
                    replaced=tuple(it.name for it in gone),
                    is_alone=len(names) == 1,
                )
            )
            gone = []
    return written


def _content(battery: Battery, origin: Origin) -> str:
    """A checksum of the recordings that is the same for two exports of the same samples.

    Sums, because a text export may differ in the last digit; what else the rows depend on is in it.
    """
    said = [origin.reading, readers.version()]
    for rows in battery.tables.values():
        for row in rows:
            arrays = (it for it in row if isinstance(it, np.ndarray))
            sums = (f"{it.size} {np.add.reduce(it):.8g}" for it in arrays)
            said.append(f"{getattr(row, 'recording_type', '')} {' '.join(sums)}")
    return _digest(*said)


def _is_same(cursor: cursor, battery_id: str, old: Piece, new: Battery) -> bool:
    """Tell whether most samples of the shorter of the two stand in the other too."""
    cursor.execute(
        "select time_s, voltage_v from staging.tabular_recording"
        " where battery_id = %s and piece = %s order by recording_index",
        (battery_id, old.name),
    )
    recordings: Sequence[Any] = new.tables["tabular_recording"]
    both = []
    for rows, span in (
        (cursor.fetchall(), old.span),
        ([(it.time_s, it.voltage_v) for it in recordings], new.span),
    ):
        assert span
        time_s, voltage_v = (
            np.concatenate([np.array(it, dtype=float) for it in column])
            for column in zip(*rows, strict=True)
        )
        both.append((span.origin_s + time_s, voltage_v))
    (time_s, voltage_v), (times_s, voltages_v) = sorted(both, key=lambda it: it[0].size)
    at = np.clip(np.searchsorted(times_s, time_s - 1e-3), 0, times_s.size - 1)
    agree = (np.abs(times_s[at] - time_s) < 2e-3) & (np.abs(voltages_v[at] - voltage_v) < 1e-6)
    return bool(agree.mean() > 0.5)


def _insert(cursor: cursor, battery: Battery, origin: Origin, content: str, piece: str) -> None:
    facts = {name: getattr(battery, name) for name in FACTS} | {
        "piece": piece,
        "file_name": origin.file_name,
        "parts": list(origin.parts),
        "sha256": origin.parts[0] if len(origin.parts) == 1 else _digest(*origin.parts),
        "size_bytes": origin.size_bytes,
        "reading": origin.reading,
        "readers": readers.version(),
        "fingerprint": origin.fingerprint,
        "content": content,
        **(battery.span._asdict() if battery.span else {}),
    }
    cursor.execute(
        f"insert into staging.source_file ({', '.join(facts)})"
        f" values ({', '.join(f'%({name})s' for name in facts)})",
        facts,
    )
    cursor.execute(
        "delete from staging.replaced_file where battery_id = %s and parts <@ %s",
        (battery.battery_id, list(origin.parts)),
    )
    for table, rows in battery.tables.items():
        copy(cursor, table, piece, rows)


def copy(cursor: cursor, table: str, piece: str, rows: Sequence[NamedTuple]) -> None:
    """Append rows of a piece to a staging table; their field names are its columns."""
    if rows:
        columns = ("piece", *rows[0]._fields)
        binary_copy.copy(cursor, f"staging.{table}", ((piece, *row) for row in rows), columns)


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
