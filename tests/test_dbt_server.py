"""What dbt leaves on the server beside its tables: roles, indexes and, on Citus, shards."""

from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.conftest import rows, run

CITUS = (Path(__file__).parent / "citus.sql").read_text(encoding="utf-8")
ANALYSES = sorted((Path(__file__).parents[1] / "dbt_project" / "analyses").glob("*.sql"))


def dbt(url: str, command: str, *arguments: str) -> None:
    made = run(
        "dbt", command, "--project-dir", "dbt_project", "--target-path", "target/server",
        *arguments, DATABASE_URL=url,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout


def test_an_analyst_reads_the_marts_and_nothing_else(simulated: str, sql: connection) -> None:
    sql.cursor().execute("set role analyst")
    for table in ("cycle_series", "cycle_features", "cycle_quality", "quality_count"):
        assert rows(sql, f"select count(*) > 0 from {table}") == [(True,)]
    for statement in ("delete from cycle_series", "select * from staging.aging_recording"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            sql.cursor().execute(statement)


def test_features_are_found_by_an_index(simulated: str, sql: connection) -> None:
    sql.cursor().execute("set enable_seqscan = off")
    plan = rows(sql, """explain select * from cycle_series where features @> '{"rest_hours": 1}'""")
    assert any("Bitmap Index Scan" in line for (line,) in plan)


def test_distributed_spreads_every_table_by_battery(simulated: str, sql: connection) -> None:
    sql.cursor().execute(CITUS)
    for _ in range(2):  # the second time everything is distributed already
        dbt(simulated, "build", "--vars", "{distributed: true}")
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
        " ('public', 'public_intermediate', 'staging')"
        " and tablename not in ('pg_dist_partition', 'battery_fingerprint')",
    )
    seeds = {name for _, name, by in found if by is None}
    assert seeds == {"battery_condition", "layout_default", "quality_rule", "randomized_comment"}
    assert by_battery == {(schema, name) for schema, name in tables if name not in seeds}


def test_every_analysis_answers(simulated: str, sql: connection) -> None:
    dbt(simulated, "compile")
    compiled = Path("dbt_project/target/server/compiled/battery_forecast/analyses")
    folder = Path(__file__).parents[1] / compiled
    assert len(ANALYSES) == 10
    for analysis in ANALYSES:
        rows(sql, (folder / analysis.name).read_text().replace("%", "%%"))
