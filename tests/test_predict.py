"""What is forecast is kept: the same numbers as the service's, once, whole, whatever happens."""

import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection

import database
from model import backtest, data, forecast, predict
from tests.conftest import ROOT, rows, run

CYCLES = """select battery_id, made_after_cycle, cycle_index, horizon, features,
    is_unlike_training, model_version, soh, soh_low, soh_high
from forecast.cycle_forecast order by 1, 2, 3"""
ENDS = """select battery_id, made_after_cycle, model_version, cycles, low, high, is_censored,
    days, days_low, days_high
from forecast.end_of_life_forecast order by 1, 2"""
PLACES = "select battery_id, made_after_cycle, ctid::text, xmin::text from forecast.cycle_forecast"


@pytest.fixture
def model(model_path: Path) -> forecast.Model:
    return forecast.load(model_path)


def predicted(model: forecast.Model, *batteries: str, **how: Any) -> None:
    """Forecast as `python -m model.predict` does, in this process."""
    with closing(database.connect()) as server:
        predict.run(server, model, batteries or None, **how)


def backtested(model: forecast.Model, battery_id: str, horizon: int = 100) -> None:
    """Forecast the past as `python -m model.backtest` does, in this process."""
    with closing(database.connect()) as server:
        (history,) = data.histories(server, [battery_id]).values()
        backtest.run(server, model, battery_id, history, horizon)


def same(left: list[tuple], right: list[tuple]) -> bool:  # type: ignore[type-arg]
    """Tell whether two answers of CYCLES agree, the numbers but for the network's last digit."""
    return [it[:7] for it in left] == [it[:7] for it in right] and bool(
        np.allclose([it[7:] for it in left], [it[7:] for it in right], rtol=0, atol=1e-6)
    )


def cut(sql: connection, battery_id: str, cycles: int) -> None:
    """Let a battery end after so many cycles, as if the others had yet to come."""
    change = "delete from cycle_series where battery_id = %s and cycle_index > %s"
    sql.cursor().execute(change, (battery_id, cycles))
    sql.cursor().execute(
        "update battery_summary as summary set cycles = series.cycle_index,"
        " last_soh = series.soh_target from cycle_series as series"
        " where summary.battery_id = series.battery_id and summary.battery_id = %s"
        " and cycle_index = %s",
        (battery_id, cycles),
    )


def copies(sql: connection, count: int) -> None:
    """Make a fleet of copies of S0003."""
    for table in ("cycle_series", "battery_summary"):
        names = [name for (name,) in rows(
            sql, "select column_name from information_schema.columns where table_name = %s"
            " and table_schema = 'public' and column_name <> 'battery_id'", table,
        )]  # fmt: skip
        listed = ", ".join(names)
        sql.cursor().execute(
            f"insert into {table} (battery_id, {listed}) select 'C' || n, {listed} from {table}"
            " cross join generate_series(1, %s) as n where battery_id = 'S0003'",
            (count,),
        )


def test_the_service_and_the_table_say_the_same(
    simulated: str, sql: connection, client: TestClient, model_path: Path
) -> None:
    made = run("python", "-m", "model.predict", MODEL_PATH=str(model_path))
    assert made.returncode == 0, made.stderr
    found = rows(sql, CYCLES)
    ends = rows(sql, ENDS)
    version = client.get("/model").json()["model_version"]
    batteries = [it["battery_id"] for it in client.get("/batteries").json()["batteries"]]
    assert [it[0] for it in ends] == batteries
    assert made.stdout.endswith(f"{len(found)} rows; 0 as before; 0 passed over\n")
    for battery_id, after, named, cycles, low, high, is_censored, *days in ends:
        path = client.get(f"/batteries/{battery_id}/forecast?horizon=100").json()
        own = [it for it in found if it[0] == battery_id]
        assert after == path["last_cycle_index"]
        assert named == version
        assert [it[2] for it in own] == [after + it for it in range(1, 101)]
        told = path["end_of_life"]
        assert [told[it] for it in ("cycles", "cycles_low", "cycles_high")] == [cycles, low, high]
        assert [told[it] for it in ("days", "days_low", "days_high")] == days
        ((hours,),) = rows(
            sql, "select hours_per_cycle from battery_history where battery_id = %s", battery_id
        )
        assert days == [it and it * hours / 24 for it in (cycles, low, high)]
        assert is_censored == (not path["is_reached"])
        answer = client.get(f"/batteries/{battery_id}/prediction")
        has_window = after >= 50
        assert (answer.status_code == 200) == has_window
        if has_window:
            told = answer.json()
            assert own[0][4:7] == (told["features"], bool(told["unlike_training"]), version)
            numbers = [told[name] for name in ("predicted_soh", "soh_low", "soh_high")]
            assert own[0][7:] == pytest.approx(numbers, abs=1e-6)
        for at, it in enumerate(own[has_window:], start=has_window):
            assert it[4:6] == ("fade", None)
            numbers = [path[name][at] for name in ("soh", "soh_low", "soh_high")]
            assert it[7:] == pytest.approx(numbers, abs=1e-5)  # it starts from the network
    assert {it[4] for it in found} == {"extended", "fade"}


def test_again_there_is_nothing_to_do(
    simulated: str, sql: connection, model: forecast.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted(model)
    before, count = rows(sql, PLACES), len(rows(sql, ENDS))
    predicted(model, horizon=50)
    assert capsys.readouterr().out.endswith(
        f"batteries: 0 forecast, 0 rows; {count} as before; 0 passed over\n"
    )
    assert rows(sql, PLACES) == before
    cut(sql, "S0001", 59)
    predicted(model)
    assert "batteries: 1 forecast, 100 rows" in capsys.readouterr().out
    assert set(before) < set(rows(sql, PLACES))


def test_a_larger_horizon_replaces_the_smaller(
    simulated: str, sql: connection, model: forecast.Model
) -> None:
    predicted(model, "S0003", horizon=10)
    short = rows(sql, CYCLES)
    predicted(model, "S0003", horizon=120)
    long = rows(sql, CYCLES)
    assert (len(short), len(long)) == (10, 120)
    assert same(short, long[:10])
    assert len(rows(sql, ENDS)) == 1


def test_other_recordings_of_a_battery_are_forecast_anew(
    simulated: str, sql: connection, model: forecast.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    predicted(model, "S0003", "S0004", horizon=10)
    backtested(model, "S0003", horizon=10)
    assert rows(sql, "select count(*) > 0 from forecast_error") == [(True,)]
    # as after a load with another rated capacity
    sql.cursor().execute(
        "update cycle_series set soh_target = 0.8 * soh_target where battery_id = 'S0003'"
    )
    sql.cursor().execute(
        "update battery_summary set last_soh = 0.8 * last_soh where battery_id = 'S0003'"
    )
    assert rows(sql, "select count(*) from forecast_error") == [(0,)]
    capsys.readouterr()
    predicted(model, horizon=10)
    assert capsys.readouterr().out.startswith("batteries: 4 forecast, 40 rows; 1 as before")
    backtested(model, "S0003", horizon=10)
    assert capsys.readouterr().out == ("S0003: forecast after 59 cycles, 590 rows; 1 as before\n")
    assert rows(sql, "select max(abs(last_soh - soh)) < 0.1 from forecast.cycle_forecast") == [
        (True,)
    ]


def test_batteries_are_chosen_by_when_they_were_last_discharged(
    simulated: str, sql: connection, model: forecast.Model
) -> None:
    sql.cursor().execute("update cycle_quality set started_at = null")
    sql.cursor().execute(
        "update cycle_quality set started_at = '2026-05-01'"
        " where battery_id = 'S0002' and discharge_index = 60"
    )
    predicted(model, since=datetime(2026, 4, 30))
    assert {it[0] for it in rows(sql, ENDS)} == {"S0002"}


def test_what_a_battery_lacks_is_said_by_kind(
    simulated: str, sql: connection, model: forecast.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    sql.cursor().execute(
        "update battery_summary set rated_capacity_ah = null where battery_id = 'S0001'"
    )
    sql.cursor().execute("update battery_summary set first_soh = null where battery_id = 'S0002'")
    sql.cursor().execute(
        "update cycle_series set features = features || '{\"max_temperature\": null}'"
        " where battery_id = 'S0003' and cycle_index = 30"
    )
    predicted(model, "S0001", "S0002", "S0003", "S0004")
    assert capsys.readouterr().out.splitlines() == [
        "passed over: 1 without a rated capacity: load them again with --rated-capacity-ah",
        "passed over: 1 without ground truth",
        "passed over: 1 without max_temperature in each of the last 50 cycles",
        "batteries: 1 forecast, 100 rows; 0 as before; 3 passed over",
    ]
    assert {it[0] for it in rows(sql, CYCLES)} == {"S0004"}
    backtested(model, "S0003")
    after = {it[1] for it in rows(sql, CYCLES) if it[0] == "S0003"}
    assert after == set(range(1, 50))  # each window from then on holds cycle 30


def test_a_killed_run_leaves_whole_batteries_and_is_completed(
    simulated: str, sql: connection, model_path: Path
) -> None:
    copies(sql, 200)
    command = "import sys; from model import predict; predict.CHUNK_CYCLES = 60; "
    command += "sys.exit(predict.main())"
    environment = {**os.environ, "MODEL_PATH": str(model_path)}
    process = subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, env=environment)
    while process.poll() is None and len(rows(sql, ENDS)) < 20:
        time.sleep(0.01)
    process.kill()
    process.wait()
    whole = (
        "select battery_id, count(*) from forecast.cycle_forecast group by battery_id order by 1"
    )
    killed = rows(sql, whole)
    assert 20 <= len(killed) < 200
    assert {count for _, count in killed} == {100}
    assert [it[0] for it in rows(sql, ENDS)] == [battery_id for battery_id, _ in killed]
    before = set(rows(sql, PLACES))
    made = run("python", "-m", "model.predict", MODEL_PATH=str(model_path))
    assert f"; {len(killed)} as before;" in made.stdout
    assert before < set(rows(sql, PLACES))
    completed = rows(sql, CYCLES), rows(sql, ENDS)
    sql.cursor().execute("truncate forecast.cycle_forecast, forecast.end_of_life_forecast")
    made = run("python", "-m", "model.predict", MODEL_PATH=str(model_path))
    assert "; 0 as before;" in made.stdout
    assert same(rows(sql, CYCLES), completed[0])
    assert rows(sql, ENDS) == completed[1]


def test_what_is_wrong_is_said_in_one_line(
    simulated: str, model_path: Path, server: Any, tmp_path: Path
) -> None:
    not_built = server.create()
    for arguments, environment, said in (
        (["predict", "--battery", "X1"], {}, "there is no battery X1: there are S0001, S0002"),
        (["backtest", "X1"], {}, "cycle_series has no battery X1"),
        (["predict"], {"MODEL_PATH": str(tmp_path / "none.pth")}, "no model at"),
        (["predict"], {"DATABASE_URL": not_built}, "run `python -m dbt_project build`"),
        (["backtest", "X1"], {"DATABASE_URL": not_built}, "`python -m dbt_project build`"),
    ):
        made = run(
            "python", "-m", f"model.{arguments[0]}", *arguments[1:],
            **({"MODEL_PATH": str(model_path)} | environment),
        )  # fmt: skip
        assert made.returncode == 1
        assert said in made.stderr
        assert made.stderr.count("\n") == 1
    server.drop(not_built)


def test_a_backtest_says_what_would_have_been_said(
    simulated: str, sql: connection, model: forecast.Model
) -> None:
    backtested(model, "S0003")
    past = rows(sql, CYCLES), rows(sql, ENDS)
    assert {it[1] for it in past[0]} == set(range(1, 61))
    sql.cursor().execute("truncate forecast.cycle_forecast, forecast.end_of_life_forecast")
    for cycles in (60, 59, 54, 50, 49, 1):  # the later ones know less
        cut(sql, "S0003", cycles)
        predicted(model, "S0003")
        live = [it for it in rows(sql, CYCLES) if it[1] == cycles]
        assert same(live, [it for it in past[0] if it[1] == cycles])
        assert [it for it in rows(sql, ENDS) if it[1] == cycles] == [
            it for it in past[1] if it[1] == cycles
        ]


def test_between_reference_discharges_no_network_is_asked(
    simulated: str, sql: connection, model: forecast.Model, client: TestClient
) -> None:
    """Ground truths every 20 cycles: the next is due in cycle 65; a network tells of no walk."""
    sql.cursor().execute(
        "update cycle_series set soh_target = null,"
        " features = features || '{\"max_temperature\": null}'"
        " where battery_id = 'S0003' and cycle_index % 20 <> 5"
    )
    sql.cursor().execute(
        "update battery_history as history set truth_cycle = truths.cycle, truth_age = truths.age,"
        " truth_soh = truths.soh from (select array_agg(cycle_index order by cycle_index) as cycle,"
        " array_agg((features ->> 'equivalent_full_cycles')::float8 order by cycle_index) as age,"
        " array_agg(soh_target order by cycle_index) as soh from cycle_series"
        " where battery_id = 'S0003' and soh_target is not null) as truths"
        " where battery_id = 'S0003'"
    )
    predicted(model, "S0003")
    found = rows(sql, CYCLES)
    assert {it[4:6] for it in found} == {("fade", None)}
    said = client.get("/batteries/S0003/forecast?horizon=5").json()
    assert [it[7] for it in found[:5]] == pytest.approx(said["soh"], abs=1e-12)
    assert said["unit"] == "cycles"
    assert said["next_truth_cycle"] == found[4][2] == 65
    assert said["next_truth_soh"] == pytest.approx(found[4][7], abs=1e-12)
    before = client.get("/batteries/S0003/forecast?horizon=4").json()
    assert (before["next_truth_cycle"], before["next_truth_soh"]) == (65, None)
    assert client.get("/batteries/S0004/forecast").json()["next_truth_cycle"] is None
    # after cycle 44 the truth of cycle 45 is due, and the network lacks a feature
    backtested(model, "S0003", horizon=10)
    assert {it[1] for it in rows(sql, CYCLES)} == set(range(5, 61))


def test_a_backtest_goes_on_from_what_is_there(
    simulated: str, sql: connection, model: forecast.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    backtested(model, "S0003", horizon=20)
    whole = rows(sql, CYCLES)
    for table in ("cycle_forecast", "end_of_life_forecast"):
        sql.cursor().execute(f"delete from forecast.{table} where made_after_cycle > 35")
    before = set(rows(sql, PLACES))
    backtested(model, "S0003", horizon=20)
    assert capsys.readouterr().out.splitlines() == [
        "S0003: forecast after 60 cycles, 1200 rows; 0 as before",
        "S0003: forecast after 25 cycles, 500 rows; 35 as before",
    ]
    assert before < set(rows(sql, PLACES))
    assert same(rows(sql, CYCLES), whole)


def test_errors_and_health_by_hand(simulated: str, sql: connection, model: forecast.Model) -> None:
    sql.cursor().execute(
        "update cycle_series set soh_target = null where battery_id = 'S0003' and cycle_index = 55"
    )
    backtested(model, "S0003", horizon=5)
    truth = dict(rows(
        sql, "select cycle_index, soh_target from cycle_series where battery_id = 'S0003'"
    ))  # fmt: skip
    expected = []
    for it in rows(sql, CYCLES):
        after, cycle, soh, low, high = it[1], it[2], *it[7:]
        if (came := truth.get(cycle)) is not None:
            last = truth[after] if truth[after] is not None else truth[after - 1]
            expected.append((after, cycle, soh - came, last - came, low <= came <= high))
    found = rows(
        sql,
        "select made_after_cycle, cycle_index, error, persistence_error, is_within"
        " from forecast_error where battery_id = 'S0003' order by 1, 2",
    )
    assert found == expected
    assert len(found) == 59 * 5 - (4 + 3 + 2 + 1) - 5
    last = [it for it in expected if it[1] - it[0] == 1][-50:]
    error, persistence = (np.array([it[at] for it in last]) for at in (2, 3))
    ((group, batteries, cycles, *numbers),) = rows(
        sql,
        "select battery_group, batteries, cycles, rmse, persistence_rmse, coverage, bias,"
        " share_unlike_training from model_health",
    )
    assert (group, batteries, cycles) == ("aging", 1, 50)
    unlike = rows(
        sql,
        "select avg(is_unlike_training::int)::float8 from forecast.cycle_forecast"
        " where horizon = 1 and cycle_index between 51 and 60 and cycle_index <> 55",
    )
    assert numbers == pytest.approx(
        [
            np.sqrt((error**2).mean()),
            np.sqrt((persistence**2).mean()),
            np.mean([it[4] for it in last]),
            error.mean(),
            unlike[0][0],
        ]
    )
