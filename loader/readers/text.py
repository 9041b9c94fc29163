"""Reader of text tables of any cycler, a row per sample, whatever stands before and after them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from loader.battery import Battery
from loader.part import Head, Part
from loader.readers import columns, scan
from loader.readers.columns import Column
from loader.readers.scan import Scan, quoted
from loader.readers.sniff import Format, names_samples, sniff
from loader.reading import Reading


def recognises(head: Head) -> bool:
    """Tell a table of samples from other text by the names in it."""
    return names_samples(head)


def read(parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
    """Yield the batteries in the files, in order of their names.

    Raises LoaderError when no line is a header, a column is missing or not numeric, a sample has no
    time, or time goes back for no reason.
    """
    return scan.batteries(parts, reading, scanned)


@contextmanager
def scanned(part: Part, reading: Reading) -> Iterator[Scan]:
    """Give the queries that read a file, for as long as they are run."""
    found = sniff(part.head(), reading)
    with part.local() as path, _rows_alone(path, found) as (rows, skip):
        yield Scan(
            typed=_typed(rows, skip, found),
            lenient=_lenient(rows, skip, found),
            may_be_sample=found.may_be_sample,
            first_row=found.skip + 1,
            how=found.how,
            header=found.header,
            columns=found.columns,
            first_rows=found.rows,
        )


@contextmanager
def _rows_alone(path: Path, found: Format) -> Iterator[tuple[Path, int]]:
    """Give a file that DuckDB follows, and how many lines to skip in it.

    It neither finds its way past quotes above the header, nor reads UTF-16 in pieces, lines in
    quotes as a whole, or columns parted by several blanks: then a copy.
    """
    is_wide = found.encoding.startswith("utf-16")
    is_blank = found.delimiter == " "
    if not (is_wide or is_blank or found.has_quotes_above or found.has_quoted_lines):
        yield path, found.skip
        return
    with TemporaryDirectory(prefix="battery-") as folder:
        copy = Path(folder) / "rows"
        encoding = found.encoding if is_wide else "latin-1"  # which keeps every byte
        with (
            path.open(encoding=encoding, newline="") as source,
            copy.open("w", encoding="utf-8" if is_wide else encoding, newline="") as target,
        ):
            for _ in range(found.skip):
                source.readline()
            while lines := source.readlines(1 << 20):
                text = "".join(lines)
                text = text.replace('"', "") if found.has_quoted_lines else text
                target.write(re.sub(r"(?m)^ +| +$|( ) +", r"\1", text) if is_blank else text)
        yield copy, 0


def _typed(path: Path, skip: int, found: Format) -> str:
    """A query over rows with numbers where numbers belong; DuckDB lists the others."""
    numeric = {it.index for it in found.columns if scan.is_number(it, found.values(it))}
    types = ", ".join(
        f"'c{it}': '{'DOUBLE' if it in numeric else 'VARCHAR'}'" for it in range(found.width)
    )
    select = scan.select(found.columns, found.values, lambda it: it.index in numeric)
    return (
        f"select {select} from read_csv({quoted(path)}, auto_detect = false, header = false,"
        f" store_rejects = true, columns = {{{types}}}, skip = {skip},"
        f" decimal_separator = '{found.decimal}', {_dialect(found)})"
    )


def _lenient(path: Path, skip: int, found: Format) -> str:
    """A query over rows of any length and content; text in a sample is told as `wrong`."""
    types = ", ".join(f"'c{it}': 'VARCHAR'" for it in range(found.width))
    source = (
        f"select *, row_number() over () + {found.skip} as row from read_csv({quoted(path)},"
        f" auto_detect = false, header = false, null_padding = true, strict_mode = false,"
        f" parallel = false, columns = {{{types}}}, skip = {skip}, {_dialect(found)})"
    )
    carried = _carried(found)
    if carried:
        filled = ", ".join(
            f"last_value({sql} ignore nulls) over (order by row) as {role}"
            for role, sql in carried.items()
        )
        source = f"select *, {filled} from ({source})"
    own = {column.role for column in found.columns}
    above = [Column(-1, role, role, None, "") for role in carried if role not in own]
    chosen = [*found.columns, *above]
    select = scan.select(chosen, found.values, lambda it: False, found.decimal)
    raw = {it.role: f"nullif(trim(c{it.index}), '')" for it in found.columns}
    indented = "".join(f" and coalesce(trim(c{it}), '') = ''" for it in range(len(found.parents)))
    time = next(it for it in columns.TIMES if it in raw)
    wrong = " ".join(
        f"when {time} is not null and {it} is null then raw_{it}" for it in ("voltage", "current")
    )
    return (
        f"select * exclude (raw_voltage, raw_current), case {wrong} end as wrong from ("
        f"select {select}, row, {raw['voltage']} as raw_voltage, {raw['current']} as raw_current"
        f" from ({source}) where true{indented})"
    )


def _carried(found: Format) -> dict[str, str]:
    """What rows of the levels above say, by role: SQL that is null in all others."""
    carried = {}
    for level, header in enumerate(found.parents):
        above = "".join(f"coalesce(trim(c{it}), '') = '' and " for it in range(level))
        for column in columns.choose(header, Reading()):
            if column.role in ("cycle", "step", "state"):
                sql = (
                    f"case when {above}coalesce(trim(c{level}), '') <> '' then c{column.index} end"
                )
                carried[column.role] = sql
    return carried


def _dialect(found: Format) -> str:
    encoding = "latin-1" if found.encoding == "latin-1" else "utf-8"
    delimiter = "'\\t'" if found.delimiter == "\t" else f"'{found.delimiter}'"
    return f"delim = {delimiter}, quote = '\"', escape = '\"', encoding = '{encoding}'"
