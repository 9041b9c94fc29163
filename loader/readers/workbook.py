"""Reader of Excel workbooks, .xlsx and .xls: their sheets become text, which is read as such."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta

import python_calamine

from loader import archive
from loader.battery import Battery, LoaderError
from loader.part import Head, Part
from loader.readers import sniff, text
from loader.reading import Reading

Rows = Sequence[Sequence[object]]
XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def recognises(head: Head) -> bool:
    """Tell a workbook from other archives by the name of a member that every one begins with."""
    if head.start.startswith(XLS):
        return True
    is_office = any(it in head.start[:4096] for it in (b"[Content_Types].xml", b"xl/", b"_rels/"))
    return head.start.startswith(archive.SIGNATURE) and is_office


def read(parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
    """Yield the batteries in the workbooks; raises LoaderError as text does."""
    return text.read([sheet for part in parts for sheet in sheets(part, reading)], reading)


def sheets(part: Part, reading: Reading) -> list[Part]:
    """Return the sheets that hold samples, each as a text table; raises LoaderError without one.

    Of sheets with samples, those are read that have the columns of the longest: a summary by cycle
    names the same quantities and more.
    """
    found: dict[tuple[str, ...], list[tuple[str, Rows]]] = {}
    complaint = None
    for name, rows in _rows(part):
        written = _written(rows[:60])
        try:
            header = sniff.sniff(Head(name, written), reading).header
        except LoaderError as error:
            complaint = complaint or error
            continue
        found.setdefault(tuple(header), []).append((name, rows))
    if not found:
        raise LoaderError(f"no sheet holds samples: {complaint or 'all are empty'}")
    longest = max(found.values(), key=lambda group: max(len(rows) for _, rows in group))
    several = len(longest) > 1
    return [
        Part(
            f"{part.stem} {name}.csv" if several else f"{part.stem}.csv",
            content=_written(rows),
            within=part,
        )
        for name, rows in longest
    ]


def _rows(part: Part) -> Iterator[tuple[str, Rows]]:
    content = part.read()
    if content.startswith(archive.SIGNATURE):
        _refuse_bomb(content)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        for name in book.sheet_names:
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=True)
            if rows:
                yield name, rows
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise LoaderError(f"not a readable workbook ({' '.join(str(error).split())})") from None


def _refuse_bomb(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for member in opened.infolist():
                if reason := archive.refusal(member, depth=1):
                    raise LoaderError(reason)
    except zipfile.BadZipFile as error:
        raise LoaderError(f"not a readable workbook, or cut short ({error})") from None


def _written(rows: Rows) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(it) for it in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:09.6f}"
    if isinstance(value, datetime | date | time):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return value.replace("\n", " ") if isinstance(value, str) else value
