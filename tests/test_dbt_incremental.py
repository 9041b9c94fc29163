"""dbt recomputes the batteries that changed, and these only; the tables do not tell which way."""

from pathlib import Path

import pytest
from psycopg2.extensions import connection

from loader import simulate
from tests.cells import CAPACITIES, cell, plain
from tests.conftest import ROOT, rebuild, rows, run

TABLES = (
    "public_intermediate.int_charges",
    "public_intermediate.int_discharges",
    "public_intermediate.int_operating_points",
    "cycle_series",
    "cycle_quality",
    "battery_summary",
)


def load(folder: Path, url: str) -> None:
    loaded = run("python", "-m", "loader", str(folder), DATABASE_URL=url)
    assert loaded.returncode == 0, loaded.stderr


def contents(sql: connection) -> dict[str, list[tuple]]:  # type: ignore[type-arg]
    """Every row of every table that is kept, as text."""
    return {name: rows(sql, f"select it::text from {name} as it order by 1") for name in TABLES}


def places(sql: connection, without: str = "") -> dict[str, list[tuple]]:  # type: ignore[type-arg]
    """Where each row lies and which transaction wrote it: both change with every write."""
    query = "select battery_id, ctid::text, xmin::text from {} where battery_id <> %s order by 1, 2"
    return {name: rows(sql, query.format(name), without) for name in TABLES}


def test_a_rebuild_with_no_change_touches_nothing(simulated: str, sql: connection) -> None:
    before = places(sql)
    rebuild(simulated)
    assert places(sql) == before


def test_one_more_file_recomputes_that_battery_only(
    simulated: str, sql: connection, tmp_path: Path
) -> None:
    before = places(sql)
    simulate.simulate_aging(tmp_path / "S0009.mat", seed=9, cycles=5)
    load(tmp_path, simulated)
    rebuild(simulated)
    assert places(sql, without="S0009") == before
    assert rows(sql, "select count(*) from cycle_series where battery_id = 'S0009'") == [(5,)]
    incremental = contents(sql)
    rebuild(simulated, "--full-refresh")
    assert contents(sql) == incremental


def test_a_file_loaded_anew_replaces_its_battery(
    simulated: str, sql: connection, tmp_path: Path
) -> None:
    before = places(sql, without="S0002")
    simulate.simulate_aging(tmp_path / "S0002.mat", seed=9, cycles=5)
    load(tmp_path, simulated)
    rebuild(simulated)
    assert places(sql, without="S0002") == before
    assert rows(sql, "select count(*) from cycle_series where battery_id = 'S0002'") == [(5,)]


def test_a_battery_that_is_gone_vanishes(simulated: str, sql: connection) -> None:
    for table in ("source_file", "aging_recording", "aging_impedance"):
        sql.cursor().execute(f"delete from staging.{table} where battery_id = 'S0002'")
    rebuild(simulated)
    for name in TABLES:
        assert rows(sql, f"select count(*) from {name} where battery_id = 'S0002'") == [(0,)]


def test_a_part_of_the_project_built_alone_does_not_hide_the_rest(
    simulated: str, sql: connection, tmp_path: Path
) -> None:
    simulate.simulate_aging(tmp_path / "S0009.mat", seed=9, cycles=5)
    load(tmp_path, simulated)
    rebuild(simulated, "--select", "cycle_series")
    rebuild(simulated)
    assert rows(sql, "select count(*) from cycle_series where battery_id = 'S0009'") == [(5,)]


def test_another_value_of_a_variable_rebuilds_everything(simulated: str, sql: connection) -> None:
    query = "select count(*) from battery_summary where end_of_life_cycle = 1"
    assert rows(sql, query) == [(0,)]
    rebuild(simulated, "--vars", "{end_of_life_soh: 1.1}")
    assert rows(sql, query) == rows(sql, "select count(*) from battery_summary")


def test_the_same_file_read_another_way_is_built_anew(
    simulated: str, sql: connection, tmp_path: Path
) -> None:
    (tmp_path / "C1.csv").write_text(plain(cell()))
    query = "select soh_target from cycle_series where battery_id = 'C1' order by cycle_index"
    for rated in (2.0, 2.5, 2.0):
        loaded = run(
            "python", "-m", "loader", str(tmp_path), "--cutoff-v", "2.5",
            "--rated-capacity-ah", str(rated), DATABASE_URL=simulated,
        )  # fmt: skip
        assert loaded.returncode == 0, loaded.stderr
        rebuild(simulated)
        found = [soh for (soh,) in rows(sql, query)]
        assert found == pytest.approx([it / rated for it in CAPACITIES], rel=1e-3)


def test_an_edited_macro_rebuilds_everything(simulated: str, sql: connection) -> None:
    macro = ROOT / "dbt_project" / "macros" / "edited_by_a_test.sql"
    before = places(sql)
    try:
        macro.write_text("{% macro edited_by_a_test() %} 1 {% endmacro %}\n")
        rebuild(simulated)
    finally:
        macro.unlink()
    after = places(sql)
    assert all(after[name] != before[name] for name in TABLES)
