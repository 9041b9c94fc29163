"""docs/formats.md says what the code does."""

import re

from loader import part
from loader.readers import READERS, phases, sniff, timeline
from loader.readers.columns import TABLE, TIMES
from loader.readers.units import QUANTITIES
from loader.reading import ROLES
from tests.conftest import ROOT

DOCS = (ROOT / "docs/formats.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> list[list[str]]:
    """The cells of a table, by the first cell of its header."""
    (table,) = re.findall(rf"\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", DOCS)
    return [
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()
    ]


def test_every_reader_is_listed_in_the_order_in_which_it_is_tried() -> None:
    assert [row[0] for row in rows_of("reader")] == list(READERS)
    for name in READERS:
        assert (ROOT / f"loader/readers/{name}.py").exists()


def test_every_role_is_listed_with_what_it_is() -> None:
    listed = {row[0]: row[1] for row in rows_of("role")}
    assert {name: text.split(" (")[0] for name, text in listed.items()} == ROLES
    units = {"time": "s", "voltage": "V", "current": "A", "temperature": "°C", "charge": "Ah"}
    for name, _, unit in rows_of("role"):
        if name != "clock":
            assert unit == (units[QUANTITIES[name]] if name in QUANTITIES else "")


def test_every_vocabulary_is_named() -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    names = {line.split(",")[0] for line in lines[1:]} - {"states", "general", "fastnda"}
    for name in names:
        assert name in DOCS, name


def test_thresholds_are_the_codes_own() -> None:
    assert (phases.RESTING, phases.FLOWING, phases.PULSE_H) == (0.01, 0.05, 0.02)
    assert (part.STRONGEST, sniff.WIDEST, timeline.OVERLAP) == (100, 2000, 0.5)
    assert TIMES == ("time", "clock", "step_time")
    project = (ROOT / "dbt_project/dbt_project.yml").read_text(encoding="utf-8")
    assert "gap_factor: 4" in project
