"""From posted bytes to columns of numbers: JSON, CSV and Parquet, within the bounds of Cycle.

What is plainly right goes straight into columns. Of whatever else it is pydantic judges: what it
accepts is taken from it, and what it refuses is told in its terms.
"""

import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise
from operator import itemgetter
from types import NoneType
from typing import Any

import duckdb
import numpy as np
import orjson
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from api.problems import FieldError, ProblemError, refusal
from api.schemas import BOUNDS, CSV, JSON, PARQUET, Posted, PostedBatch
from model import columns
from model.columns import Array, Columns

MOST = 1000  # cycles of a window, windows of a batch
ONE, MANY = TypeAdapter(Posted), TypeAdapter(PostedBatch)
NUMBERS = {float, int, NoneType}
# what tables of cycles have beside features: as the service, the page or a query gives them
BESIDE = {
    "battery_id", "cycle_index", "discharge_index", "started_at", "discharge_capacity_ah",
    "is_usable", "reason", "is_simulated", "kind", "predicted_soh", "soh_low", "soh_high",
}  # fmt: skip
RENAMED = {"soh": "soh_target"}
EMPTY = {"", "null", "none", "nan", "na", "\\n"}

Rows = list[dict[str, Any]]


def window(body: bytes, content_type: str | None) -> Columns:
    """Read the cycles of one window.

    Raises RequestValidationError or ProblemError for what is wrong with it, HTTPException for what
    cannot be read at all.
    """
    media_type = (content_type or JSON).partition(";")[0].strip().lower()
    if media_type == CSV:
        sent: Any = _cycles(_csv(body))
    elif media_type == PARQUET:
        sent = _cycles(_parquet(body))
    elif media_type == JSON:
        sent = _json(body)
        if found := _plain_by_column([sent]):
            return found[0]
        sent = _by_cycle(sent)
    else:
        raise HTTPException(415, f"{media_type} cannot be read: send {JSON}, {CSV} or {PARQUET}")
    (read,) = _plain([sent]) or (columns.of(_judged(ONE, sent)),)
    return read


def windows(body: bytes) -> list[Columns]:
    """Read the windows of a batch; raises as `window`."""
    sent = _json(body)
    if isinstance(sent, list) and len(sent) <= MOST:
        if read := _plain_by_column(sent):
            return read
        sent = [_by_cycle(it, number) for number, it in enumerate(sent, start=1)]
        if read := _plain(sent):
            return read
    return [columns.of(it) for it in _judged(MANY, sent)]


def _plain(windows: Sequence[Any]) -> list[Columns] | None:
    """Read windows whose cycles all tell the same features in the same order; None of others."""
    if {*map(type, windows)} != {list}:
        return None
    count = [len(it) for it in windows]
    every: Rows = list(chain.from_iterable(windows))
    if min(count) < 1 or max(count) > MOST or {*map(type, every)} != {dict}:
        return None
    names, *others = {*map(tuple, every)}
    if others or not BOUNDS.keys() >= {*names}:
        return None
    values = _numbers(list(chain.from_iterable(map(dict.values, every))))
    if values is None or not _is_within(names, values := values.reshape(len(every), len(names))):
        return None
    ends = np.cumsum([0, *count]).tolist()
    return [Columns(names, values[begin:end]) for begin, end in pairwise(ends)]


def _plain_by_column(windows: Sequence[Any]) -> list[Columns] | None:
    """Read objects of columns of one length that tell the same features; None of others."""
    if {*map(type, windows)} != {dict}:
        return None
    names, *others = {*map(tuple, windows)}
    lists = list(chain.from_iterable(map(dict.values, windows)))
    if others or not BOUNDS.keys() >= {*names} or {*map(type, lists)} != {list}:
        return None
    count, *uneven = {*map(len, lists)}
    if uneven or not 1 <= count <= MOST:
        return None
    values = _numbers(list(chain.from_iterable(lists)))
    if values is None:
        return None
    values = values.reshape(len(windows), len(names), count).swapaxes(1, 2)
    if not _is_within(names, values):
        return None
    return [Columns(names, it) for it in values]


def _numbers(flat: list[Any]) -> Array | None:
    """Return numbers as they were sent, NaN for null; None where one is no number."""
    kinds = {*map(type, flat)}
    if not kinds <= NUMBERS:  # a truth value and a text are no numbers
        return None
    try:
        values = np.array(flat, dtype=np.float64)
    except OverflowError:  # a whole number that is no double
        return None
    nulls = flat.count(None) if NoneType in kinds else 0
    return values if np.isnan(values).sum() == nulls else None


@lru_cache
def _bounds(names: tuple[str, ...]) -> Array:
    """Lowest and highest values of features [2, names]."""
    return np.array([BOUNDS[name] for name in names]).reshape(-1, 2).T


def _is_within(names: tuple[str, ...], values: Array) -> bool:
    """Whether values [… names] are within the bounds of the features."""
    low, high = _bounds(names)
    return not ((values < low) | (values > high)).any()


def _judged(kind: TypeAdapter[Any], sent: Any) -> Any:
    try:
        return kind.validate_python(sent)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise RequestValidationError(
            [{**it, "loc": ("body", *it["loc"])} for it in faults]
        ) from None


def _json(body: bytes) -> Any:
    if not body:
        raise RequestValidationError(
            [{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}]
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:  # knows NaN and Infinity, for whose place the bounds are asked
        return json.loads(body)
    except json.JSONDecodeError as error:
        fault = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error"}
        raise RequestValidationError(
            [{**fault, "input": {}, "ctx": {"error": error.msg}}]
        ) from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise HTTPException(400, "the body cannot be read as JSON") from None


def _by_cycle(sent: Any, number: int | None = None) -> Any:
    """Turn an object of columns into a list of cycles; leave everything else as it is."""
    if not (isinstance(sent, dict) and sent and {*map(type, sent.values())} == {list}):
        return sent
    lengths = {name: len(values) for name, values in sent.items()}
    first, *others = lengths
    for name in others:
        if lengths[name] != lengths[first]:
            detail = f"{lengths[name]} values, but {first} has {lengths[first]}"
            raise refusal([FieldError(window=number, field=name, detail=detail)])
    return [dict(zip(sent, row, strict=True)) for row in zip(*sent.values(), strict=True)]


def _cycles(table: Rows) -> Rows:
    """Keep the last usable cycles of one battery's table, and of each its features."""
    batteries = sorted({str(it["battery_id"]) for it in table if it.get("battery_id")})
    if len(batteries) > 1:
        raise ProblemError(422, f"cycles of {', '.join(batteries[:5])}: send one battery's")
    measured = [it for it in table if it.get("kind", "measured") == "measured"]
    usable = [it for it in measured if str(it.get("is_usable", True)).lower() in ("true", "t")]
    return [
        {RENAMED.get(name, name): value for name, value in it.items() if name not in BESIDE}
        for it in map(_unpacked, _in_order(usable)[-MOST:])
    ]


def _in_order(cycles: Rows) -> Rows:
    """Put cycles in the order of their index, where they have one."""
    try:
        index = [int(it["cycle_index"]) for it in cycles]
    except (KeyError, TypeError, ValueError):
        return cycles
    if again := [number for number, count in Counter(index).items() if count > 1]:
        raise ProblemError(422, f"cycle_index {again[0]} stands in more than one row")
    return [it for _, it in sorted(zip(index, cycles, strict=True), key=itemgetter(0))]


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    """Put the features of a row of cycle_series beside its other columns."""
    packed = row.get("features")
    if not isinstance(packed, str) or not packed.startswith("{"):
        return row
    try:
        features: dict[str, Any] = orjson.loads(packed)
    except orjson.JSONDecodeError:
        raise ProblemError(422, "the column features is not the JSON of cycle_series") from None
    return {name: it for name, it in row.items() if name != "features"} | features


def _csv(body: bytes) -> Rows:
    """Read a table with a header; unless commas part its columns, numbers may have one."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ProblemError(422, "the table is not UTF-8: save it as CSV in UTF-8") from None
    text = text.lstrip("\r\n")
    header = text.partition("\n")[0]
    separator = max(",;\t|", key=header.count)
    point = "." if separator == "," else ","
    try:
        head, *rows = [*csv.reader(io.StringIO(text, newline=""), delimiter=separator)] or [[]]
    except csv.Error as error:
        raise ProblemError(422, f"the table cannot be read: {error}") from None
    names = [it.strip() for it in head]
    if again := [name for name, count in Counter(names).items() if count > 1]:
        raise ProblemError(422, f"the table has more than one column {again[0]}")
    for number, row in enumerate(rows, start=2):
        if row and len(row) != len(names):
            raise ProblemError(
                422, f"line {number} of the table has {len(row)} values, its header {len(names)}"
            )
    return [
        {name: _number(value.strip(), name, point) for name, value in zip(names, row, strict=True)}
        for row in rows
        if row
    ]


def _number(text: str, name: str, point: str) -> Any:
    if name in BESIDE:
        return text
    if text.lower() in EMPTY:
        return None
    try:
        return float(text.replace(point, "."))
    except ValueError:
        return text


def _parquet(body: bytes) -> Rows:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as memory:
        file.write(body)
        file.flush()
        try:
            found = memory.execute("select * from read_parquet(?)", [file.name])
            names = [it[0] for it in found.description or ()]
            rows = found.fetchmany(MOST + 1)
        except duckdb.Error:
            raise ProblemError(422, "the body cannot be read as Parquet") from None
    return [dict(zip(names, row, strict=True)) for row in rows]
