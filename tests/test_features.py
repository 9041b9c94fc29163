"""The features in SQL, on simulated and on NASA's cells. dbt's own tests ran in `build`."""

import json

import pytest
from psycopg2.extensions import connection

from tests.conftest import build, rows, run


def test_cycle_series_has_exactly_the_contracted_columns(simulated: str, sql: connection) -> None:
    columns = rows(
        sql,
        "select column_name, data_type from information_schema.columns"
        " where table_schema = 'public' and table_name = 'cycle_series' order by ordinal_position",
    )
    assert columns == [
        ("battery_id", "character varying"),
        ("cycle_index", "integer"),
        ("features", "jsonb"),
        ("soh_target", "double precision"),
    ]
    keys = rows(
        sql,
        "select pg_get_constraintdef(oid) from pg_constraint"
        " where conrelid = 'cycle_series'::regclass and contype = 'p'",
    )
    assert keys == [("PRIMARY KEY (battery_id, cycle_index)",)]


def test_cycles_are_counted_without_a_gap(simulated: str, sql: connection) -> None:
    gaps = rows(
        sql,
        "select battery_id from cycle_series group by battery_id"
        " having min(cycle_index) <> 1 or max(cycle_index) <> count(*)",
    )
    assert gaps == []
    counts = rows(
        sql, "select battery_id, count(*) from cycle_series where battery_id like 'S0%%' group by 1"
    )
    assert dict(counts) == dict.fromkeys(("S0001", "S0002", "S0003", "S0004"), 60)


def test_randomized_truth_comes_from_reference_discharges_only(
    simulated: str, sql: connection
) -> None:
    found = rows(
        sql,
        "select activity, count(*), count(soh_target) from cycle_series"
        " inner join cycle_quality using (battery_id, cycle_index)"
        " where battery_id = 'SRW1' group by 1 order by 1",
    )
    assert found[0][0] == "random walk"
    assert found[0][2] == 0
    assert found[1] == ("reference", 3, 3)


def test_a_battery_outside_the_seed_takes_its_layouts_defaults(
    simulated: str, sql: connection
) -> None:
    query = "select rated_capacity_ah, cutoff_v from battery_summary where battery_id = %s"
    assert rows(sql, query, "S0001") == [(2.0, 2.7)]
    assert rows(sql, query, "SRW1") == [(2.1, 3.2)]


def test_an_unknown_comment_is_named_and_left_out(simulated: str, sql: connection) -> None:
    sql.cursor().execute(
        "update staging.randomized_step set comment = 'dancing'"
        " where battery_id = 'SRW1' and comment = 'reference discharge'"
    )
    made = build(simulated, "--full-refresh")
    assert made.returncode == 0, made.stdout
    assert "unknown comment 'dancing' in the steps of SRW1" in made.stdout
    assert rows(sql, "select count(*) from cycle_quality where reason = 'unknown_step'") == [(3,)]


def test_dbt_before_the_loader_says_what_to_do(empty: str) -> None:
    made = build(empty)
    assert made.returncode != 0
    assert "run `python -m loader PATH` first" in made.stdout


def test_dbt_run_works_as_typed(simulated: str) -> None:
    made = run(
        "dbt", "run", "--project-dir", "dbt_project", "--target-path", "target/typed",
        DATABASE_URL=simulated,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout


@pytest.mark.nasa
def test_nasa_cells_have_all_their_cycles(nasa: str, sql: connection) -> None:
    counts = dict(rows(sql, "select battery_id, count(soh_target) from cycle_series group by 1"))
    picked = {name: counts[name] for name in ("B0005", "B0006", "B0007", "B0018")}
    assert picked == {"B0005": 168, "B0006": 168, "B0007": 168, "B0018": 132}


@pytest.mark.nasa
def test_capacities_equal_nasas(nasa: str, sql: connection) -> None:
    worst = rows(
        sql,
        "select q.battery_id, count(*),"
        " max(abs(q.discharge_capacity_ah / r.capacity_ah - 1)) as error"
        " from cycle_quality as q inner join staging.aging_recording as r"
        " on q.battery_id = r.battery_id and q.recording_index = r.recording_index"
        " where r.capacity_ah > 0.3 group by 1",
    )
    assert len(worst) == 17
    (stated,) = rows(sql, "select count(*) from staging.aging_recording where capacity_ah > 0.3")
    assert sum(count for _, count, _ in worst) == stated[0] == 1169
    for battery_id, _, error in worst:
        assert error < (0.006 if battery_id == "B0050" else 0.001), battery_id


@pytest.mark.nasa
def test_rw26_has_its_reference_capacities(nasa: str, sql: connection) -> None:
    found = rows(
        sql,
        "select (features ->> 'discharge_capacity')::float8, soh_target from cycle_series"
        " where battery_id = 'RW26' and soh_target is not null order by cycle_index",
    )
    capacities = [round(capacity, 3) for capacity, _ in found]
    assert len(capacities) == 14
    assert (capacities[0], capacities[-1]) == (2.147, 1.813)
    assert capacities == sorted(capacities, reverse=True)
    assert all(soh == pytest.approx(capacity / 2.1) for capacity, soh in found)


@pytest.mark.nasa
def test_every_nasa_discharge_has_one_verdict(nasa: str, sql: connection) -> None:
    (missing,) = rows(
        sql,
        "select count(*) from staging.aging_recording as r left join cycle_quality as q"
        " on q.battery_id = r.battery_id and q.recording_index = r.recording_index"
        " where r.recording_type = 'discharge' and q.reason is null",
    )
    assert missing == (0,)
    reasons = dict(rows(sql, "select reason, count(*) from cycle_quality group by 1"))
    assert reasons["no_load"] == 4  # B0050's last four: its capacity is empty
    assert reasons["no_capacity"] == 6
    assert "unknown_step" not in reasons


@pytest.mark.nasa
def test_nasa_cells_end_by_age_and_not_by_load_or_cold(nasa: str, sql: connection) -> None:
    ends = rows(
        sql,
        "select battery_id, end_of_life_cycle, end_of_life_measure from battery_summary"
        " where end_of_life_cycle is not null order by 1",
    )
    assert ends == [
        ("B0005", 125, "soh"), ("B0006", 109, "soh"), ("B0018", 97, "soh"), ("B0047", 10, "soh"),
        ("B0049", 6, "capacity_retention"), ("B0050", 4, "soh"),
    ]  # fmt: skip


@pytest.mark.nasa
def test_loads_and_temperatures_are_told_apart(nasa: str, sql: connection) -> None:
    points = rows(
        sql,
        "select operating_point, min(cycle_index), round(avg(avg_current_load)),"
        " min(ambient_temperature) from cycle_features where battery_id = 'B0040'"
        " group by 1 order by 1",
    )
    assert points == [(1, 1, 4, 24), (2, 13, 1, 44), (3, 40, 2, 44), (4, 46, 4, 44)]
    counts = dict(rows(sql, "select battery_id, operating_points from battery_summary"))
    assert counts.pop("RW26") == 2  # the reference discharges and the walks
    assert {name for name, count in counts.items() if count > 1} == {"B0038", "B0039", "B0040"}


@pytest.mark.nasa
def test_only_what_began_part_way_is_no_longer_a_truth(nasa: str, sql: connection) -> None:
    found = rows(
        sql,
        "select battery_id, discharge_index from cycle_quality"
        " where reason in ('kept_not_recharged', 'kept_contact_lost')",
    )
    assert found == [("B0050", 19)]


@pytest.mark.nasa
def test_features_are_of_the_right_size(nasa: str, sql: connection) -> None:
    (row,) = rows(
        sql, "select features from cycle_series where battery_id = 'B0005' and cycle_index = 1"
    )
    features = row[0] if isinstance(row[0], dict) else json.loads(row[0])
    assert features["discharge_capacity"] == pytest.approx(1.8565, abs=1e-4)
    assert features["max_temperature"] == pytest.approx(38.9, abs=0.1)
    assert features["avg_voltage_load"] == pytest.approx(3.55, abs=0.01)
    assert features["time_to_discharge"] == pytest.approx(3311, abs=1)
