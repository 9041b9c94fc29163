"""What dbt leaves on the server beside its tables: roles, indexes and, on Citus, shards."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.conftest import ROOT, rows, run

CITUS = (Path(__file__).parent / "citus.sql").read_text(encoding="utf-8")
ANALYSES = sorted((Path(__file__).parents[1] / "dbt_project" / "analyses").glob("*.sql"))


def dbt(url: str, command: str, *arguments: str) -> None:
    made = run(
        "dbt", command, "--project-dir", "dbt_project", "--target-path", "target/server",
        *arguments, DATABASE_URL=url,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout


def test_run_says_what_has_to_come_before_it(simulated: str, sql: connection) -> None:
    sql.cursor().execute("drop table public_intermediate.alert_rule cascade")
    made = run("dbt", "run", "--project-dir", "dbt_project", DATABASE_URL=simulated)
    assert made.returncode == 2
    assert "has no alert_rule yet" in made.stdout
    assert "run `python -m dbt_project build` once" in made.stdout


def test_an_analyst_reads_the_marts_and_nothing_else(simulated: str, sql: connection) -> None:
    sql.cursor().execute("set role analyst")
    for table in ("cycle_series", "cycle_features", "cycle_quality", "quality_count"):
        assert rows(sql, f"select count(*) > 0 from {table}") == [(True,)]
    for table in (
        "forecast.cycle_forecast", "forecast.end_of_life_forecast", "forecast.alert_delivery",
        "forecast_error", "model_health", "fleet_alert",
    ):  # fmt: skip
        assert rows(sql, f"select count(*) from {table}") == [(0,)]
    for statement in ("delete from cycle_series", "select * from staging.aging_recording"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            sql.cursor().execute(statement)


def test_of_two_runs_at_once_one_stops_and_says_why(simulated: str, sql: connection) -> None:
    query = "select count(*) from cycle_series"
    before = rows(sql, query)
    command = [
        sys.executable, "-m", "dbt_project", "--no-use-colors", "build", "--full-refresh",
    ]  # fmt: skip
    both = [
        subprocess.Popen(
            [*command, "--target-path", f"target/{name}"], cwd=ROOT, text=True,
            env={**os.environ, "DATABASE_URL": simulated}, stdout=subprocess.PIPE,
        )
        for name in ("one", "other")
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[0] for process in both]
    failed = [at for at, process in enumerate(both) if process.returncode]
    assert len(failed) == 1, said
    assert "another run of dbt has been at work on this database since" in said[failed[0]]
    assert rows(sql, query) == before
    # one that was killed does not stop the next
    with sql.cursor() as cursor:
        cursor.execute("insert into public_intermediate.dbt_run values ('killed', now())")
    dbt(simulated, "test", "--select", "cycle_series")
    assert rows(sql, "select count(*) from public_intermediate.dbt_run") == [(0,)]


def test_features_are_found_by_an_index(simulated: str, sql: connection) -> None:
    sql.cursor().execute("set enable_seqscan = off")
    plan = rows(sql, """explain select * from cycle_series where features @> '{"rest_hours": 1}'""")
    assert any("Bitmap Index Scan" in line for (line,) in plan)


def test_distributed_spreads_every_table_by_battery(simulated: str, sql: connection) -> None:
    sql.cursor().execute(CITUS)
    for _ in range(2):  # the second time everything is distributed already
        dbt(
            simulated, "build", "--vars", "{distributed: true}",
            "--exclude-resource-type", "unit_test",
        )  # fmt: skip
    found = rows(
        sql,
        "select n.nspname, c.relname, d.distributed_by from pg_dist_partition as d"
        " inner join pg_class as c on d.logicalrelid = c.oid"
        " inner join pg_namespace as n on c.relnamespace = n.oid order by 1, 2",
    )
    by_battery = {(schema, name) for schema, name, by in found if by == "battery_id"}
    assert len(found) == len({(schema, name) for schema, name, _ in found})
    tables = rows(
        sql,
        "select schemaname, tablename from pg_tables where schemaname in"
        " ('public', 'public_intermediate', 'staging', 'forecast') and tablename not in"
        " ('pg_dist_partition', 'dbt_run', 'battery_due', 'battery_piece', 'built_model',"
        " 'replaced_file', 'alert_history')",
    )
    seeds = {name for _, name, by in found if by is None}
    assert seeds == {
        "alert_rule", "battery_condition", "layout_default", "quality_rule", "randomized_comment",
    }  # fmt: skip
    assert by_battery == {(schema, name) for schema, name in tables if name not in seeds}


def test_every_analysis_answers(simulated: str, sql: connection) -> None:
    dbt(simulated, "compile", "--vars", "{batteries: [S0001]}")
    compiled = Path("dbt_project/target/server/compiled/battery_forecast/analyses")
    folder = Path(__file__).parents[1] / compiled
    assert len(ANALYSES) == 11
    for analysis in ANALYSES:
        found = rows(sql, (folder / analysis.name).read_text().replace("%", "%%"))
        # cells that fade evenly have no outliers, and do not come back; none has been forecast
        assert found or analysis.stem in ("outliers", "regeneration", "forecast_errors"), (
            analysis.stem
        )
