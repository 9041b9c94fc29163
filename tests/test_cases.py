"""Small recordings of many kinds with known answers: loaded with facts alone, then built."""

import json
import pickle
import re
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.conftest import NASA, Server, build, load, rows
from tests.databases import once

FOLDER = Path(__file__).parent / "cases"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))
TOLERANCE = 0.003


@pytest.fixture(scope="module")
def outcomes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the loader said of each case, and what dbt made of all of them together."""

    def make(folder: Path) -> None:
        (folder / "outcomes").write_bytes(pickle.dumps(_outcomes(server)))

    content = (once(tmp_path_factory, "cases", make) / "outcomes").read_bytes()
    found: dict[str, Any] = pickle.loads(content)
    return found


def _outcomes(server: Server) -> dict[str, Any]:
    url = server.create()
    said: dict[str, Any] = {}
    for case in CASES:
        facts = ["--rated-capacity-ah", case.get("rated", 2.0), "--cutoff-v", 2.5]
        name = [] if case.get("kaggle") else ["--battery-id", case["file"]]
        said[case["file"]] = load(FOLDER / case["file"], *name, *facts, DATABASE_URL=url)
    made = build(url)
    assert made.returncode == 0, made.stdout
    with closing(psycopg2.connect(url)) as opened:
        said["cycles"] = rows(
            opened,
            "select battery_id, (features ->> 'discharge_capacity')::float8, soh_target, features"
            " from cycle_series order by battery_id, cycle_index",
        )
        said["batteries"] = {
            name for (name,) in rows(opened, "select battery_id from battery_summary")
        }
    server.drop(url)
    return said


@pytest.mark.parametrize("case", CASES, ids=lambda it: it["file"])
def test_the_answer_is_right_or_refused(case: dict[str, Any], outcomes: dict[str, Any]) -> None:
    name = case["file"]
    loaded: CompletedProcess[str] = outcomes[name]
    if case.get("or_refused") and loaded.returncode == 1:
        assert len(loaded.stderr.splitlines()) == 2
        assert "row" in loaded.stderr
        return
    assert loaded.returncode == 0, loaded.stderr
    battery_id = "X0001" if case.get("kaggle") else name
    own = [row[1:] for row in outcomes["cycles"] if row[0] == battery_id]
    found = [(capacity, soh) for capacity, soh, _ in own]
    expected = case["capacity_ah"]
    if expected:
        rated, tolerance = case.get("rated", 2.0), case.get("tol", TOLERANCE)
        assert [it for it, _ in found] == pytest.approx(expected, rel=tolerance)
        health = [it / rated for it in expected]
        is_true = case.get("truth", [True] * len(expected))
        assert [it is not None for _, it in found] == is_true
        assert [it for _, it in found if it is not None] == pytest.approx(
            [it for it, true in zip(health, is_true, strict=True) if true], rel=tolerance
        )
    for feature, values in case.get("features", {}).items():
        expected = values if None in values else pytest.approx(values, rel=0.01)
        assert [it[feature] for _, _, it in own] == expected
    if "cycles" in case:
        assert len(found) == case["cycles"]
    if case.get("warned"):
        assert "--current-sign discharge-positive" in loaded.stderr
    assert battery_id in outcomes["batteries"] or case.get("loads")


@pytest.mark.long(15)
@pytest.mark.nasa
def test_a_real_cells_capacities_are_what_its_cycler_counted(empty: str, sql: connection) -> None:
    """CALCE's CS2_37 as Arbin wrote it: 27 workbooks, each of which counts from the beginning."""
    assert NASA is not None
    folder = NASA.parent / "calce" / "CS2_37"
    if not folder.exists():
        pytest.skip("no folder calce/CS2_37 beside the one that BATTERY_DATA names")
    loaded = load(
        folder, "--battery-id", "CS2_37", "--rated-capacity-ah", "1.1", "--cutoff-v", "2.7"
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")
    samples = re.findall(r"([\d,]+) samples", loaded.stdout)
    assert len(samples) == 27
    assert sum(int(it.replace(",", "")) for it in samples) == 290_998
    assert build(empty).returncode == 0
    ((count, median, worst, usable),) = rows(
        sql,
        "select count(*), percentile_cont(0.5) within group (order by abs(capacity_deviation)),"
        " max(abs(capacity_deviation)), count(*) filter (where is_usable) from cycle_quality",
    )
    assert count == 1038
    assert median < 1e-4
    assert worst < 1e-3
    assert usable > 1000
    ((first, last, without),) = rows(
        sql,
        "select (array_agg(soh_target order by cycle_index))[1],"
        " (array_agg(soh_target order by cycle_index desc))[1],"
        " count(*) filter (where features ->> 'max_temperature' is null) from cycle_series",
    )
    assert first == pytest.approx(1.135 / 1.1, rel=1e-3)
    assert last < 0.3
    assert without == usable
