"""Simulated cells straight into staging: seeded, varied, whole, and told what they take."""

import os
import signal
import subprocess
import sys
import time

import pytest
from psycopg2.extensions import connection

from loader import simulate, simulate_fleet
from tests.conftest import ROOT, build, rows, run

CELLS = ("--into-staging", "--cells", "30", "--cycles", "60")
SAMPLES = (
    "select battery_id, recording_index, time_s, voltage_v, current_a, temperature_c"
    " from staging.tabular_recording order by 1, 2"
)


def test_a_cell_is_its_seed_and_name() -> None:
    first, again, other = (
        simulate_fleet.cell(name, seed, 5).tables["tabular_recording"]
        for name, seed in (("SF1", 0), ("SF1", 0), ("SF1", 1))
    )
    assert repr(first) == repr(again)
    assert repr(first) != repr(other)


def test_a_fleet_is_varied_and_its_faults_are_found(empty: str, sql: connection) -> None:
    made = run("python", "-m", "loader.simulate", *CELLS)
    assert made.returncode == 0, made.stderr
    assert made.stdout == "staged 30 cells of 60 cycles, 0 were there\n"
    assert "1,800 cycles take about 0.0 GB in staging" in made.stderr
    assert "GB are free" in made.stderr
    before = rows(sql, SAMPLES)
    assert run("python", "-m", "loader.simulate", *CELLS).stdout.endswith("30 were there\n")
    assert rows(sql, SAMPLES) == before

    built = build(empty)
    assert built.returncode == 0, built.stdout
    reasons = dict(rows(sql, "select reason, count(*) from cycle_quality group by reason"))
    assert set(reasons) >= {"kept", "too_few_samples", "kept_across_a_gap"}
    assert reasons["kept"] > 0.95 * 1800
    ((makes, sizes, points, unheated, undated),) = rows(
        sql,
        "select count(distinct cutoff_v), count(distinct rated_capacity_ah),"
        " max(operating_points), count(*) filter (where not exists ("
        "  select from cycle_features as it where it.battery_id = summary.battery_id"
        "  and max_temperature is not null)),"
        " count(*) filter (where last_recorded_at is null)"
        " from battery_summary as summary where is_simulated",
    )
    assert makes == 3
    assert sizes > 4
    assert points > 1
    assert unheated > 0
    assert undated > 0
    ((fades, hottest),) = rows(
        sql,
        "select count(*) filter (where last_soh < first_soh), max(max_temperature)"
        " from battery_summary, (select max(max_temperature) as max_temperature"
        " from cycle_features) as every group by every.max_temperature",
    )
    assert fades == 30
    assert hottest < 150  # no spike of a sensor is taken for a temperature


def test_what_was_interrupted_goes_on(empty: str, sql: connection) -> None:
    command = [sys.executable, "-m", "loader.simulate", *CELLS]
    simulating = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    staged = 0
    while not staged and simulating.poll() is None:
        time.sleep(0.02)
        if rows(sql, "select to_regclass('staging.source_file')") != [(None,)]:
            ((staged,),) = rows(sql, "select count(*) from staging.source_file")
    os.killpg(simulating.pid, signal.SIGKILL)
    simulating.wait()
    assert 0 < staged < 30
    assert run(*("python", *command[1:])).returncode == 0
    ((cells, least, most),) = rows(
        sql,
        "select count(*), min(recordings), max(recordings) from ("
        " select count(*) as recordings from staging.tabular_recording group by battery_id"
        ") as whole",
    )
    assert (cells, least, most) == (30, 120, 120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--into-staging", "--cells", "1000000", "--cycles", "100000"), "that does not fit"),
        ((), "name a folder for files, or --into-staging"),
        (("there", "--into-staging"), "name a folder for files, or --into-staging"),
        (("--into-staging", "--cells", "0"), "must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_refused(
    empty: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    try:
        status = simulate.main([*arguments])
    except SystemExit as left:
        status = int(left.code or 0)
    assert status != 0
    assert said in capsys.readouterr().err
