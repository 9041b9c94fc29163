"""Which column of a table is what: headers looked up in vocabulary.csv, units read from them."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from loader.battery import LoaderError
from loader.readers.units import QUANTITIES, SPELLINGS, UNITS, Unit, is_spelling, unit
from loader.reading import Reading

TABLE = Path(__file__).parent / "vocabulary.csv"
STATES = {"charge": 1, "discharge": -1, "rest": 0}
TIMES = ("time", "clock", "step_time")  # any one of them will do, the first the best
BRACKETED = re.compile(r"(.*?)[\s_]*[(\[{]\s*([^()\[\]{}]+?)\s*[)\]}](.*)")


class Word(NamedTuple):
    """One line of vocabulary.csv."""

    rank: int
    vocabulary: str
    role: str
    unit: str


@dataclass(frozen=True)
class Column:
    """One column that is read: which, what it is, and how its values become the project's."""

    index: int
    name: str
    role: str
    unit: Unit | None  # None where the values tell, as dates do, or need none
    vocabulary: str
    spelling: str | None = None  # of dates, as the command line says it
    is_unit_told: bool = True  # by the header or the vocabulary; else the usual one is assumed


def choose(
    header: Sequence[str],
    reading: Reading,
    units: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
) -> list[Column]:
    """Return at most one column per role, the vocabulary's first; `units` is a row of units.

    Where the first `rows` hold numbers, a column says no state. Raises LoaderError where a unit is
    none that is known.
    """
    chosen: dict[str, tuple[int, Column]] = {}
    for index, name in enumerate(header):
        told = units[index] if index < len(units) else ""
        for rank, column in _candidates(index, name, told, reading):
            if column.role == "state" and rank >= 0 and _are_numbers(rows, index):
                continue
            if column.role not in chosen or rank < chosen[column.role][0]:
                chosen[column.role] = (rank, column)
    return sorted((column for _, column in chosen.values()), key=lambda it: it.index)


def _are_numbers(rows: Sequence[Sequence[str]], index: int) -> bool:
    cells = [row[index] for row in rows if index < len(row) and row[index]]
    return bool(cells) and all(re.fullmatch(r"-?\d+([.,]\d*)?", it) for it in cells)


def missing(columns: Sequence[Column]) -> list[str]:
    """Name what a table of samples needs and these columns do not have."""
    roles = {column.role for column in columns}
    lacking = [role for role in ("voltage", "current") if role not in roles]
    return lacking if roles & set(TIMES) else ["time", *lacking]


def require(columns: Sequence[Column], header: Sequence[str], reading: Reading) -> None:
    """Raise LoaderError that names every column that is lacking, as the file spells the others."""
    wanted = {it.name for it in reading.columns.values()} | {reading.battery_column or ""}
    absent = sorted(wanted - {""} - {name for name in wanted if _present(name, header)})
    found = ", ".join(name.strip() for name in header if name.strip()) or "nothing"
    faults = [f"no column {', '.join(absent)}"] if absent else []
    named = {role for role, it in reading.columns.items() if it.name in absent}
    if lacking := [role for role in missing(columns) if role not in named]:
        options = " ".join(f"--column {role}=NAME" for role in lacking)
        faults.append(f"no column is known to be {' or '.join(lacking)}: name yours with {options}")
    if faults:
        raise LoaderError(f"{'; '.join(faults)}; found {found}")


def state_patterns() -> list[tuple[str, int]]:
    """Patterns (SQL's LIKE, lower case) of words in a state column, the first that fits decides."""
    return [
        (name.replace("*", "%"), STATES[word.role])
        for name, words in _vocabulary().items()
        for word in words
        if word.vocabulary == "states"
    ]


def vocabulary_of(columns: Sequence[Column]) -> str:
    """Name the vocabulary that most of the columns are from."""
    names = [column.vocabulary for column in columns]
    return max(names, key=names.count, default="none")


def unit_name(column: Column) -> str:
    """The unit in which a column is read, as people write it."""
    if column.unit is None:
        return ""
    return next(
        (names.split()[0] for known, names in SPELLINGS.items() if known == column.unit), ""
    )


def normal(name: str) -> str:
    """A header as vocabulary.csv is searched for it."""
    name = re.sub(r"[\s_]+", " ", name.replace("\ufeff", "")).strip().strip('"~').strip()
    return name.casefold()


def _candidates(index: int, name: str, told: str, reading: Reading) -> list[tuple[int, Column]]:
    for role, given in reading.columns.items():
        if given.name.strip().casefold() == name.strip().casefold():
            return [(-1, _named(index, name, role, given.unit, told))]
    if reading.battery_column and normal(reading.battery_column) == normal(name):
        return [(-1, Column(index, name, "battery", None, "command line"))]
    stem, written = split(name)
    found = []
    for spelling, text in ((normal(name), ""), (normal(stem), written)):
        for word in _vocabulary().get(spelling, ()):
            if word.vocabulary == "states" or word.role in reading.columns:
                continue
            column = _column(index, name, stem, word, word.unit or text or told)
            if column is not None:
                found.append((word.rank, column))
    return found


def _column(index: int, name: str, stem: str, word: Word, text: str) -> Column | None:
    quantity = QUANTITIES.get(word.role)
    if quantity is None:
        meant = unit(text) if text else None
        if word.role == "whose" and meant is not None:
            return None
        if word.role == "clock" and meant is not None and meant.quantity != "time":
            return None
        is_number = word.role == "clock" and meant is not None
        return Column(index, name, word.role, meant if is_number else None, word.vocabulary)
    meant = unit(text) if text and not is_spelling(text) else None
    if meant is not None and meant.quantity != quantity:
        return None
    letter = normal(stem)
    if meant is None and len(letter) == 1:  # t is time and T temperature, where no unit tells
        spelt = {"time": "t", "temperature": "T"}.get(word.role, stem.strip())
        if stem.strip() != spelt:
            return None
    if meant is None and text and not is_spelling(text) and unit(text) is None:
        return None
    is_told = meant is not None or is_spelling(text)
    unit_ = meant or _own(quantity)
    return Column(index, name, word.role, unit_, word.vocabulary, is_unit_told=is_told)


def _named(index: int, name: str, role: str, given: str | None, told: str) -> Column:
    if role == "clock" and given and "%" in given:
        return Column(index, name, role, None, "command line", spelling=given)
    quantity = "time" if role == "clock" and given else QUANTITIES.get(role)
    if quantity is None:
        return Column(index, name, role, None, "command line")
    text = given or split(name)[1] or told
    meant = unit(text) if text else None
    if given and (meant is None or meant.quantity != quantity):
        known = ", ".join(it for it, one in UNITS.items() if one.quantity == quantity)
        raise LoaderError(
            f"--column {role}={name}:{given}: {given} is no unit of {quantity}; known are {known}"
        )
    if meant is None or meant.quantity != quantity:
        meant = _own(quantity)
    return Column(index, name, role, meant, "command line")


def split(name: str) -> tuple[str, str]:
    """Part a header from its unit: `Current(mA)`, `Voltage / V`, `Time#s`, `[mA]`, `current_mA`."""
    name = name.strip().strip("~").strip()
    if match := BRACKETED.fullmatch(name):
        stem, text, rest = match.groups()
        if unit(text) is not None or is_spelling(text) or not rest:
            return f"{stem}{rest}", text
    for mark in "/#":
        stem, _, text = name.rpartition(mark)
        if stem and (unit(text) is not None or text.strip() in ("1", "")):
            return stem, text.strip().replace("1", "")
    if match := re.fullmatch(r"(.+)[\s_]+(\S+)", name):
        stem, text = match.groups()
        if unit(text) is not None:
            return stem, text
    return name, ""


def _own(quantity: str) -> Unit:
    return Unit(quantity, 1.0)


def _present(name: str, header: Sequence[str]) -> bool:
    return any(name.strip().casefold() == it.strip().casefold() for it in header)


@cache
def _vocabulary() -> Mapping[str, list[Word]]:
    words: dict[str, list[Word]] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for rank, row in enumerate(csv.DictReader(file)):
            word = Word(rank, row["vocabulary"], row["role"], row["unit"] or "")
            words.setdefault(normal(row["name"]), []).append(word)
    return words
