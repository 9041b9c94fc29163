"""How a text table is written, as its beginning shows: encoding, header, delimiter, decimals."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from loader.battery import LoaderError
from loader.part import HEAD, Head
from loader.readers import columns
from loader.readers.columns import Column
from loader.readers.units import is_spelling, unit
from loader.reading import Reading

DELIMITERS = "\t;,| "  # the blank is the last resort
WIDEST = 2000  # columns; a table of samples has a few dozen
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Format:
    """How a text file is written, as its beginning shows."""

    encoding: str
    delimiter: str
    decimal: str
    header: list[str]
    units: list[str]  # a row of units below the header, or nothing
    header_line: int  # from 1
    parents: list[list[str]]  # headers of the levels above that of the samples, outermost first
    columns: list[Column]
    rows: list[list[str]]  # the first rows below the header
    has_quotes_above: bool
    has_quoted_lines: bool  # each in quotes as a whole

    @property
    def width(self) -> int:
        return max(map(len, [self.header, *self.rows]))

    @property
    def skip(self) -> int:
        """Lines above the first row."""
        return self.header_line + bool(self.units)

    @property
    def how(self) -> str:
        delimiter = {"\t": "tab", " ": "blank"}.get(self.delimiter, self.delimiter)
        units = f", units in line {self.header_line + 1}" if self.units else ""
        levels = f", below {len(self.parents)} more levels" if self.parents else ""
        return (
            f"text, {self.encoding}, header in line {self.header_line}{units}{levels}, "
            f"columns parted by {delimiter}, decimal {self.decimal}"
        )

    def may_be_sample(self, line: str) -> bool:
        """Whether a line has a number for voltage or current, or is one of several levels."""
        cells = _cells(line, self.delimiter)
        at = [it.index for it in self.columns if it.role in ("voltage", "current")]
        numbers = (index < len(cells) and NUMBER.fullmatch(cells[index]) for index in at)
        return bool(self.parents) or any(numbers)

    def values(self, column: Column) -> list[str]:
        """The first values of a column, blanks left out."""
        if column.index < 0:
            return []
        cells = (row[column.index] for row in self.rows if column.index < len(row))
        return [cell for cell in cells if cell]


def names_samples(head: Head) -> bool:
    """Tell whether a line above numbers names two of time, voltage and current."""
    encoding = _encoding(head.start)
    if b"\0" in head.start and not encoding.startswith("utf-16"):
        return False
    lines = _lines(head.start)
    told = Reading()
    return any(
        _score(line, told) >= 2 and _is_above_numbers(lines, at, told)
        for at, line in enumerate(lines)
    )


def sniff(head: Head, reading: Reading) -> Format:
    """Find out how a file is written; raises LoaderError where no line names its samples."""
    lines = _lines(head.start)
    if not any(line.strip() for line in lines):
        raise LoaderError("the file is empty")
    at = _header(lines, reading)
    delimiter = _delimiter(lines[at], reading)
    header = _cells(lines[at], delimiter)
    below = [_cells(line, delimiter) for line in lines[at + 1 : at + 200]]
    units = below.pop(0) if below and _are_units(below[0]) else []
    chosen = columns.choose(header, reading, units, below)
    columns.require(chosen, header, reading)
    rows = [cells for cells in below if any(cells)]
    return Format(
        encoding=_encoding(head.start),
        delimiter=delimiter,
        decimal=_decimal(rows, chosen, delimiter),
        header=header,
        units=units,
        header_line=at + 1,
        parents=_parents([_cells(it, delimiter) for it in lines[max(0, at - 2) : at]], header),
        columns=chosen,
        rows=rows,
        has_quotes_above=any('"' in line for line in lines[:at]),
        has_quoted_lines=len(next(csv.reader([lines[at]], delimiter=delimiter))) == 1,
    )


def _header(lines: list[str], reading: Reading) -> int:
    """The first line above numbers that names all three; else that which comes nearest to it."""
    nearest: dict[int, int] = {}
    for at, line in enumerate(lines):
        score = _score(line, reading)
        if score == 3 and _is_above_numbers(lines, at, reading):
            return at
        nearest.setdefault(score, at)
    best = max(nearest)
    return (
        nearest[best] if best else max(range(len(lines)), key=lambda it: (_count(lines[it]), -it))
    )


def _parents(above: list[list[str]], header: list[str]) -> list[list[str]]:
    """Headers right above one that is indented, each a column less than the next."""
    indent = _indent(header)
    parents: list[list[str]] = []
    while indent > 0 and above and _indent(above[-1]) == indent - 1:
        parents.insert(0, above.pop())
        indent -= 1
    return parents if indent == 0 else []


def _indent(cells: list[str]) -> int:
    return next((at for at, cell in enumerate(cells) if cell), len(cells))


def _encoding(start: bytes) -> str:
    for mark, encoding in BOMS.items():
        if start.startswith(mark):
            return encoding
    odd, even = start[1:1024:2].count(0), start[0:1024:2].count(0)
    if max(odd, even) > len(start[:1024]) / 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else the last character is cut in two
            return "latin-1"
    return "utf-8"


def _lines(start: bytes) -> list[str]:
    lines = re.split(r"\r\n|\n|\r", start.decode(_encoding(start), errors="replace"))
    return lines[:-1] if len(start) >= HEAD and len(lines) > 1 else lines  # the last is cut


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.lstrip("~\ufeff").split()
    cells = next(csv.reader([line.strip("\r\n").lstrip("~\ufeff")], delimiter=delimiter), [])
    if len(cells) == 1 and delimiter in cells[0]:  # a line in quotes as a whole
        cells = cells[0].split(delimiter)
    return [cell.strip() for cell in cells]


def _is_above_numbers(lines: list[str], at: int, reading: Reading) -> bool:
    """Whether one of the next lines, below units or levels, has numbers in as many columns."""
    delimiter = _delimiter(lines[at], reading)
    width = len(_cells(lines[at], delimiter))
    rows = (_cells(line, delimiter) for line in lines[at + 1 : at + 6] if line.strip())
    return any(
        abs(len(row) - width) <= 1 and sum(NUMBER.fullmatch(cell) is not None for cell in row) >= 2
        for row in rows
    )


def _count(line: str) -> int:
    return max(line.count(it) for it in DELIMITERS[:-1])


def _delimiter(line: str, reading: Reading) -> str:
    return max(DELIMITERS, key=lambda it: (_named(line, it, reading), it != " ", line.count(it)))


def _score(line: str, reading: Reading) -> int:
    """How many of time, voltage and current a line names, with the delimiter that serves best."""
    if _count(line) > WIDEST:
        raise LoaderError(f"over {WIDEST:,} columns: more than a table of samples has")
    return max((_named(line, it, reading) for it in DELIMITERS if it in line), default=0)


def _named(line: str, delimiter: str, reading: Reading) -> int:
    if delimiter not in line:
        return 0
    try:
        cells = _cells(line, delimiter)
    except csv.Error:
        return 0
    if sum(NUMBER.fullmatch(it) is not None for it in cells) > len(cells) / 2:
        return 0
    return 3 - len(columns.missing(columns.choose(cells, reading)))


def _are_units(cells: Sequence[str]) -> bool:
    told = [cell for cell in cells if cell]
    known = sum(unit(cell) is not None or is_spelling(cell.strip("[]()")) for cell in told)
    return known >= 2 and not any(NUMBER.fullmatch(cell) for cell in told)


def _decimal(rows: list[list[str]], chosen: list[Column], delimiter: str) -> str:
    wanted = [column.index for column in chosen if column.unit is not None]
    cells = [row[at] for row in rows for at in wanted if at < len(row)]
    is_comma = any(re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", cell) for cell in cells)
    return "," if delimiter != "," and is_comma else "."
