"""How a file would be read, and what looks odd in it: `python -m loader inspect FILE`."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from loader import options, readers, sources
from loader.battery import Battery, LoaderError
from loader.readers import columns
from loader.readers.scan import Scan
from loader.reading import ROLES, Reading

SHOWN = 3  # first rows
LISTED = 12  # recordings


def main(arguments: list[str]) -> int:
    """Print how each file would be read; returns 1 where one cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m loader inspect",
        description="Show how files would be read: their columns, batteries and recordings, and "
        "what looks odd. Nothing is written.",
    )
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file, folder or pattern")
    options.add_reading(parser)
    given = parser.parse_args(arguments)
    reading = options.reading(given, parser)
    found, failed = sources.find(given.paths), False
    for source in sources.expand(found, together=reading.names_batteries):
        print(source.shown)
        try:
            for line in _described(source, reading):
                print(f"  {line}")
        except LoaderError as error:
            failed = True
            print(f"  cannot be read: {error}")
    return 1 if failed else 0


def _described(source: sources.Source | sources.Refused, reading: Reading) -> Iterator[str]:
    if isinstance(source, sources.Refused):
        if not source.is_passed:
            raise LoaderError(source.reason)
        yield f"passed over: {source.reason}"
        return
    if source.reader in readers.TABLES:
        name = "text" if source.reader == "workbook" else source.reader
        for part in source.parts:
            tables = [part]
            if source.reader == "workbook":
                from loader.readers import workbook

                tables = workbook.sheets(part, reading)
            for table in tables:
                if len(tables) + len(source.parts) > 2:
                    yield f"{table.file_name}:"
                module: Any = readers.reader(name)
                with module.scanned(table, reading) as scan:
                    yield from _columns(scan)
    else:
        yield f"reader: {source.reader}"
    for battery in readers.reader(source.reader).read(source.parts, reading):
        yield from _battery(battery)


def _columns(scan: Scan) -> Iterator[str]:
    yield f"{scan.how}; most columns named as {columns.vocabulary_of(scan.columns)} does"
    by_index = {column.index: column for column in scan.columns}
    lines = [("column", "role", "unit", "first rows")]
    for index, name in enumerate(scan.header):
        column = by_index.get(index)
        first = [row[index] for row in islice(scan.first_rows, SHOWN) if index < len(row)]
        unit = columns.unit_name(column) if column else ""
        lines.append((name or "(none)", column.role if column else "-", unit, "  ".join(first)))
    widths = [max(len(line[at]) for line in lines) for at in range(3)]
    for line in lines:
        yield "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3][:60]]
        ).rstrip()
    found = {column.role for column in scan.columns} | {"battery"}
    absent = [role for role in ROLES if role not in found]
    yield f"not found: {', '.join(absent)}"


def _battery(battery: Battery) -> Iterator[str]:
    yield ""
    yield (
        f"battery {battery.battery_id} ({battery.layout}): {battery.recordings:,} recordings, "
        f"{battery.discharges:,} discharges, {battery.samples:,} samples"
    )
    if battery.largest_current_a:
        limit = f", charged to {battery.charge_limit_v:.3f} V" if battery.charge_limit_v else ""
        yield f"largest current {battery.largest_current_a:.4g} A{limit}"
    recordings: Sequence[Any] = [row for rows in battery.tables.values() for row in rows]
    kinds = Counter(getattr(it, "recording_type", type(it).__name__) for it in recordings)
    yield "recordings: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    for it in recordings[:LISTED] if battery.layout == "tabular" else ():
        start = it.started_at_unix_s
        when = f" from {datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M:%S}" if start else ""
        counted = "" if it.counted_ah is None else f", {it.counted_ah:.4g} Ah by the cycler"
        yield (
            f"  {it.recording_index:>3} {it.recording_type:<9} {it.time_s.size:>7,} samples, "
            f"{it.time_s[-1] - it.time_s[0]:>9,.0f} s{when}{counted}"
        )
    if battery.layout == "tabular" and len(recordings) > LISTED:
        yield f"  … and {len(recordings) - LISTED:,} more"
    for note in battery.notes:
        yield f"odd: {note.removeprefix('warning: ')}"
