"""Reader of Parquet tables, a row per sample."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb

from loader.battery import Battery, LoaderError
from loader.part import Head, Part
from loader.readers import columns, scan
from loader.readers.columns import Column
from loader.readers.scan import Scan, quoted
from loader.reading import Reading

SIGNATURE = b"PAR1"


def recognises(head: Head) -> bool:
    return head.start.startswith(SIGNATURE)


def read(parts: Sequence[Part], reading: Reading) -> Iterator[Battery]:
    """Yield the batteries in the files, by name; raises LoaderError as text does."""
    return scan.batteries(parts, reading, scanned)


@contextmanager
def scanned(part: Part, reading: Reading) -> Iterator[Scan]:
    """Give the query that reads a file, for as long as it is run."""
    with part.local() as path:
        source = f"read_parquet({quoted(path)})"
        try:
            with duckdb.connect(":memory:") as database:
                described = database.execute(f"describe select * from {source}").fetchall()
                first = database.execute(f"select * from {source} limit 50").fetchall()
        except duckdb.Error as error:
            reason = " ".join(str(error).split("\n")[0].split())
            raise LoaderError(f"not readable as Parquet ({reason})") from None
        header = [row[0] for row in described]
        texts = [["" if it is None else str(it) for it in row] for row in first]
        chosen = columns.choose(header, reading, rows=texts)
        columns.require(chosen, header, reading)

        def values(column: Column) -> list[str]:
            return [str(row[column.index]) for row in first if row[column.index] is not None]

        names = ", ".join(f"c{index}" for index in range(len(header)))
        select = scan.select(chosen, values, lambda it: True)
        yield Scan(
            typed=f"select {select} from {source} as it ({names})",
            lenient=None,
            may_be_sample=lambda line: False,
            first_row=1,
            how="Parquet",
            header=header,
            columns=chosen,
            first_rows=[[str(value) for value in row] for row in first],
        )
