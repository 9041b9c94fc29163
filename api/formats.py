"""In which form an answer goes out, by Accept: JSON, CSV or Parquet; or 304, for it is known."""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import duckdb
import mimeparse  # type: ignore[import-untyped]
from fastapi import Depends, Request, Response
from pydantic import BaseModel

from api.problems import ProblemError, responses
from api.schemas import CSV, JSON, PARQUET, Cycle

TYPES = {str: "varchar", int: "bigint", float: "double", bool: "boolean", datetime: "timestamptz"}
FEATURES = {name: "double" for name in Cycle.__annotations__ if name != "soh_target"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how text begins that a spreadsheet would reckon with

UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "What If-None-Match names is still so"},
    **responses(406),
}
TABULAR: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            CSV: {"schema": {"type": "string"}},
            PARQUET: {"schema": {"type": "string", "format": "binary"}},
        }
    },
    **UNCHANGED,
}


@dataclass(frozen=True)
class Table:
    """An answer as rows of named columns, each with its SQL type; what a row lacks is null."""

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]


class Asked:
    """How the client wants the answer, and which one it has already."""

    def __init__(self, request: Request, *offered: str) -> None:
        """Raise a 406 where nothing of what is offered, the best first, would do."""
        accept = ",".join(request.headers.getlist("accept"))
        try:
            self._media_type = mimeparse.best_match(offered[::-1], accept) if accept else offered[0]
        except mimeparse.MimeTypeParseException:
            self._media_type = offered[0]
        if not self._media_type:
            raise ProblemError(406, f"{accept} cannot be had here: there are {', '.join(offered)}")
        given = request.headers.get("if-none-match", "")
        self._known = {tag.strip() for tag in given.split(",")}
        self._service = request.app.version
        self._headers = {"Cache-Control": "no-cache", "Vary": "Accept"}

    def unchanged(self, *depends_on: object) -> Response | None:
        """Return 304 where the client has what is made of just this; else note it, for `answer`."""
        told = repr((self._service, self._media_type, depends_on)).encode()
        # weak: the same answer goes out compressed, or not
        self._headers["ETag"] = f'W/"{blake2b(told, digest_size=16).hexdigest()}"'
        if self._headers["ETag"] in self._known:
            return Response(status_code=304, headers=self._headers)
        return None

    def answer(
        self, body: BaseModel, table: Callable[[], Table] | None = None, **headers: str
    ) -> Response:
        """Return the answer in the form asked for.

        Where nothing was noted that it depends on, its own content tells whether it is known.
        """
        if self._media_type == JSON or table is None:
            content = body.model_dump_json().encode()
        else:
            content = _csv(table()) if self._media_type == CSV else _parquet(table())
        if "ETag" not in self._headers and (known := self.unchanged(content)):
            return known
        return Response(content, headers=self._headers | headers, media_type=self._media_type)


def _asked(request: Request) -> Asked:
    return Asked(request, JSON)


def _asked_for_rows(request: Request) -> Asked:
    return Asked(request, JSON, CSV, PARQUET)


AskedObject = Annotated[Asked, Depends(_asked)]
AskedRows = Annotated[Asked, Depends(_asked_for_rows)]


def columns(model: type[BaseModel]) -> dict[str, str]:
    """Return the SQL types of a model's fields, but of those that hold lists or objects."""
    found = {}
    for name, field in model.model_fields.items():
        is_union = get_origin(field.annotation) in (Union, UnionType)
        kinds = get_args(field.annotation) if is_union else (field.annotation,)
        plain = [str if get_origin(it) is Literal else it for it in kinds if it is not NoneType]
        if plain[0] in TYPES:
            found[name] = TYPES[plain[0]]
    return found


def _csv(table: Table) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.columns)
    writer.writerows([_cell(row.get(name)) for name in table.columns] for row in table.rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else value


def _parquet(table: Table) -> bytes:
    values: Iterable[list[Any]] = ([row.get(name) for row in table.rows] for name in table.columns)
    named = [f'unnest(?::{kind}[]) as "{name}"' for name, kind in table.columns.items()]
    with tempfile.TemporaryDirectory() as folder, closing(duckdb.connect()) as opened:
        opened.execute("set threads = 1")  # more would cost more than so few rows gain
        path = Path(folder) / "rows.parquet"
        opened.execute(f"create table answer as select {', '.join(named)}", list(values))
        opened.execute(f"copy answer to '{path}' (format parquet)")
        return path.read_bytes()
