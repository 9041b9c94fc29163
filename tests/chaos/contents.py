"""Compares databases row by row: a checksum of each row, apart from what tells when it was made."""

from collections import Counter
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import psycopg2

SCHEMAS = ("staging", "public", "public_intermediate")
MARTS = ("staging", "public")
# What a build remembers of the builds before it.
HISTORY = ("dbt_run",)
TIMES = ("loaded_at", "replaced_at", "since", "dbt_scd_id", "dbt_updated_at", "dbt_valid_from")
WHOLE = (Path(__file__).parent / "whole.sql").read_text(encoding="utf-8")
NAMED = 3  # batteries in a message

Contents = dict[str, Counter[tuple[str, str]]]  # relation: rows, as battery and checksum


def contents(url: str, schemas: Collection[str] = SCHEMAS) -> Contents:
    """Return a checksum of every row of every table and view in some schemas of a database."""
    with closing(psycopg2.connect(url)) as opened, opened.cursor() as cursor:
        cursor.execute(
            "select format('%%I.%%I', table_schema, table_name), array_agg(quote_ident(column_name)"
            " order by column_name) from information_schema.columns where table_schema = any(%s)"
            " and table_name <> all(%s) and column_name <> all(%s) group by 1",
            (list(schemas), list(HISTORY), list(TIMES)),
        )
        found: Contents = {}
        for relation, columns in cursor.fetchall():
            battery = "battery_id" if "battery_id" in columns else "''"
            row = f"md5(row({', '.join(columns)})::text)"
            cursor.execute(f"select {battery}, {row} from {relation}")
            found[relation] = Counter(cursor.fetchall())
    return found


def differences(expected: Contents, found: Contents, is_part: bool = False) -> list[str]:
    """Name each relation that differs, with its batteries; of a part, only those that are there."""
    said = []
    for relation in sorted(expected if is_part else expected | found):
        if relation not in found and is_part:
            continue
        if relation not in found or relation not in expected:
            said.append(f"{relation} is {'new' if relation in found else 'missing'}")
            continue
        missing, new = expected[relation] - found[relation], found[relation] - expected[relation]
        if missing or new:
            batteries = sorted({battery for battery, _ in missing + new})
            named = ", ".join(batteries[:NAMED]) + (" …" if len(batteries) > NAMED else "")
            said.append(
                f"{relation}: {missing.total()} rows are missing, {new.total()} new ({named})"
            )
    return said


def halves(url: str) -> list[str]:
    """Name the pieces of which a part only is in staging."""
    with closing(psycopg2.connect(url)) as opened, opened.cursor() as cursor:
        cursor.execute("select to_regclass('staging.source_file') is null")
        if cursor.fetchone() == (True,):
            return []
        cursor.execute(WHOLE)
        return [
            f"{battery_id}, {piece}: {found} of {promised} recordings are in staging"
            for battery_id, piece, promised, found in cursor.fetchall()
        ]
