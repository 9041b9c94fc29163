"""Times and dates that tables write as text, in DuckDB's SQL: seconds elapsed, or since 1970."""

import re
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from loader.battery import LoaderError, Samples
from loader.readers.columns import Column

DURATION = re.compile(r"(\d+\s*d(ays?)?[\s,]*|\d+[-.]|)\d+:\d{1,2}:\d{1,2}([.,:]\d+)?")
ISO = re.compile(
    r"\d{4}-\d\d?-\d\d?([T ]+\d\d?:\d\d(:\d\d([.,]\d+)?)?)?\s*(Z|UTC|[+-]\d\d(:?\d\d)?)?"
)
ZONE = re.compile(r"(Z|UTC|[+-]\d\d(:?\d\d)?)$")
NUMBER = re.compile(r"\d+([.,]\d*)?")
# Seconds since 1970 of the years in which there are such recordings; and what counts them in text.
EPOCH = (6e8, 4.2e9)
COUNTS = (1.0, 1e-3, 1e-6, 1e-9)  # s
SERIAL = (25_000.0, 75_000.0)  # days since 1899-12-30, as spreadsheets write dates of these years
CLOCKS = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
# Spellings of a date that differ in nothing but the order of day and month stand side by side.
DAYS = (
    ("%Y/%m/%d", None),
    ("%Y.%m.%d", None),
    ("%Y%m%d", None),
    ("%d.%m.%Y", None),
    ("%d.%m.%y", None),
    ("%b %d, %Y", None),
    ("%d-%b-%Y", None),
    ("%d-%b-%y", None),
    ("%d %b %Y", None),
    ("%b %d %Y", None),
    ("%m/%d/%Y", "%d/%m/%Y"),
    ("%m/%d/%y", "%d/%m/%y"),
    ("%m-%d-%Y", "%d-%m-%Y"),
)


def are_times(values: Sequence[str]) -> bool:
    """Whether values are times or dates in words, not numbers."""
    return any(DURATION.fullmatch(it) or ISO.fullmatch(it) or _spellings([it]) for it in values[:5])


def elapsed(name: str, values: Sequence[str]) -> str:
    """Seconds of `h:m:s`, `0d 00:00:00`, `1-00:00:00`, or of a date."""
    if not any(DURATION.fullmatch(it) for it in values):
        return _date(name, values)[0]
    text = f"replace(trim({name}::varchar), ',', '.')"
    days = rf"coalesce(try_cast(regexp_extract({text}, '^(\d+)\s*[-.d]', 1) as double), 0)"
    clock = rf"string_split(regexp_extract({text}, '(\d+:[0-9:.]+)$', 1), ':')"
    return (
        f"{days} * 86400 + try_cast({clock}[1] as double) * 3600 + try_cast({clock}[2] as double)"
        f" * 60 + try_cast(array_to_string({clock}[3:], '.') as double)"
    )


def clock(column: Column, name: str, values: Sequence[str]) -> tuple[str, str]:
    """Seconds since 1970, UTC where no zone is said; and the same read day for month, or null."""
    if column.spelling:
        spelling = column.spelling.replace("'", "''")
        return f"epoch(try_strptime(trim({name}::varchar), '{spelling}'))", "null::double"
    first = next(iter(values), "")
    if NUMBER.fullmatch(first):
        number = f"try_cast(replace(trim({name}::varchar), ',', '.') as double)"
        value = float(first.replace(",", "."))
        if (scale := epoch_scale(value)) is not None:
            return f"{number} * {scale!r}", "null::double"
        if SERIAL[0] < value < SERIAL[1]:
            return f"({number} - 25569) * 86400", "null::double"
    return _date(name, values)


def epoch_scale(value: float) -> float | None:
    """Seconds that a number counts, where it is a time since 1970; None where it is none."""
    return next((it for it in COUNTS if EPOCH[0] < value * it < EPOCH[1]), None)


def joined(columns: dict[str, Samples]) -> dict[str, Samples]:
    """Make one clock of a column of days and one of the time of the day."""
    day, time_s = columns.get("clock"), columns.get("time")
    if day is None or time_s is None or not np.isfinite(day).all():
        return columns
    if (day % 86400).any() or not ((time_s >= 0) & (time_s < 86400)).all():
        return columns
    next_day, passed, clock = np.diff(day), np.diff(time_s), day + time_s
    is_midnight = next_day != 0
    if (next_day * passed >= 0)[is_midnight].any():  # it counts on: from the start of a test
        return columns
    if (np.diff(clock) < 0).any() and (np.diff(clock) > 0).any():
        return columns
    return {name: it for name, it in columns.items() if name != "time"} | {"clock": clock}


def settle(columns: dict[str, Samples]) -> tuple[dict[str, Samples], tuple[str, ...]]:
    """Tell day from month where the first values did not, by all of them.

    Raises LoaderError where both readings are possible and there is no other time.
    """
    other = columns.pop("clock_other", None)
    if other is None or np.isnan(other).all():
        return columns, ()
    readings = [columns["clock"], other]
    whole = [it for it in readings if not np.isnan(it).any()]
    # A test that ran for days shows which order its dates have: the wrong one leaps by months.
    likely = [
        it for it in whole if (np.diff(it) >= 0).all() and np.diff(it).max(initial=0) < 20 * 86400
    ]
    fitting = likely if len(whole) == 2 and likely else whole
    if len(fitting) == 1 or (len(fitting) == 2 and (fitting[0] == fitting[1]).all()):
        return columns | {"clock": fitting[0]}, ()
    if len({tuple(np.diff(it)) for it in fitting}) == 1 and fitting:
        without = {name: it for name, it in columns.items() if name != "clock"}
        note = "dates may be day/month or month/day: left out; say --column clock=NAME:%d/%m/%Y"
        if "time" not in columns:
            return without | {"time": fitting[0]}, (note,)
        return without, (note,)
    if "time" in columns:
        without = {name: it for name, it in columns.items() if name != "clock"}
        return without, ("dates are not readable throughout, and are left out",)
    raise LoaderError(
        "dates may be day/month or month/day: say which with "
        "--column 'clock=NAME:%d/%m/%Y %H:%M:%S' or '…:%m/%d/%Y %H:%M:%S'"
    )


def _date(name: str, values: Sequence[str]) -> tuple[str, str]:
    text = f"trim({name}::varchar)"
    if values and all(ISO.fullmatch(it) for it in values):
        is_zoned = any(ZONE.search(it[10:]) for it in values)
        text = f"replace({text}, ',', '.')"
        return (
            f"epoch(try_cast({text} as {'timestamptz' if is_zoned else 'timestamp'}))",
            "null::double",
        )
    found = _spellings(values[:50])
    sql = [f"epoch(try_strptime({text}, {_listed(it)}))" for it in found]
    return (*sql, "null::double", "null::double")[:2]  # type: ignore[return-value]


def _spellings(values: Sequence[str]) -> list[list[str]]:
    """The one or two ways to read all the values, each a list of spellings for strptime."""
    for pair in DAYS:
        found = []
        for day in pair:
            spelt = [f"{day} {clock}" for clock in CLOCKS] if day else []
            if day and day != "%Y%m%d":  # which any number may be
                spelt.append(day)
            if values and spelt and all(any(_fits(it, one) for one in spelt) for it in values):
                found.append(spelt)
        if found:
            return found
    return []


def _listed(spellings: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{it}'" for it in spellings) + "]"


def _fits(value: str, spelling: str) -> bool:
    try:
        datetime.strptime(value, spelling)
    except ValueError:
        return False
    return True
