"""Loading NASA's two layouts: what ends up in staging, and what is said of a file that does not."""

import csv
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg2.extensions import connection
from scipy.io import loadmat, savemat

from binary_copy import encode
from loader import simulate, simulate_randomized
from loader.battery import LoaderError
from tests.conftest import NASA, ROOT, load, matlab_file, rows

FIELDS = {
    "time_s": "Time",
    "voltage_measured_v": "Voltage_measured",
    "current_measured_a": "Current_measured",
    "temperature_measured_c": "Temperature_measured",
}
PARTS = {
    "sense_current": ("Sense_current", "_a"),
    "battery_current": ("Battery_current", "_a"),
    "current_ratio": ("Current_ratio", ""),
    "battery_impedance": ("Battery_impedance", "_ohm"),
    "rectified_impedance": ("Rectified_Impedance", "_ohm"),
    "electrolyte_resistance": ("Re", "_ohm"),
    "charge_transfer_resistance": ("Rct", "_ohm"),
}


def same(found: Any, expected: Any) -> bool:
    """Whether two lists of numbers are the same bit for bit, but for the kind of NaN."""
    return np.array_equal(
        np.ravel(np.array(found, np.float64)), np.ravel(np.asarray(expected, np.float64)), True
    )


def discharge(**changed: Any) -> dict[str, Any]:
    """A discharge of three samples in NASA's layout, with some of its fields changed."""
    data = {
        "Voltage_measured": [[4.2, 3.9, 2.6]],
        "Current_measured": [[0.0, -2.0, -2.0]],
        "Temperature_measured": [[24.0, 24.5, 25.0]],
        "Current_load": [[0.0, 2.0, 2.0]],
        "Voltage_load": [[0.0, 3.8, 2.5]],
        "Time": [[0.0, 10.0, 20.0]],
        "Capacity": 1.8,
    } | changed
    return {key: value for key, value in data.items() if value is not None}


def aging_file(path: Path, *records: dict[str, Any], name: str = "B1", **entry: Any) -> Path:
    """Write an aging file with the given discharges."""
    cycle = np.empty(
        (1, len(records)),
        dtype=[(key, object) for key in ("type", "ambient_temperature", "time", "data")],
    )
    head = {"type": "discharge", "ambient_temperature": 24, "time": [[2008, 4, 2, 15, 25, 41.593]]}
    for at, record in enumerate(records):
        cycle[0, at] = (*(head | entry).values(), record)
    savemat(path, {name: {"cycle": cycle}})
    return path


def contents(sql: connection) -> str:
    """A checksum of all that staging holds, but for when it was loaded."""
    digest = hashlib.sha256()
    for table in ("source_file", "aging_recording", "aging_impedance", "randomized_step"):
        query = f"select to_jsonb(t) - 'loaded_at' from staging.{table} as t order by 1::text"
        digest.update(repr(rows(sql, query)).encode())
    return digest.hexdigest()


def test_a_second_load_has_nothing_to_do(empty: str, sql: connection, recordings: Path) -> None:
    first = load(recordings)
    assert first.returncode == 0, first.stderr
    before = contents(sql)
    loaded_at = rows(sql, "select loaded_at from staging.source_file order by 1")
    second = load(recordings)
    assert second.returncode == 0, second.stderr
    assert second.stdout.count("nothing to do") == len(list(recordings.iterdir()))
    assert contents(sql) == before
    assert rows(sql, "select loaded_at from staging.source_file order by 1") == loaded_at


def test_a_changed_file_replaces_its_battery_whole(
    empty: str, sql: connection, recordings: Path, tmp_path: Path
) -> None:
    assert load(recordings).returncode == 0
    others = rows(sql, "select * from staging.source_file where battery_id <> 'S0002' order by 1")
    simulate.simulate_aging(tmp_path / "S0002.mat", seed=9, cycles=3)
    assert load(tmp_path).returncode == 0
    (count,) = rows(
        sql,
        "select count(*) filter (where recording_type = 'discharge'), count(*)"
        " from staging.aging_recording where battery_id = 'S0002'",
    )
    assert count[0] == 3
    assert count[1] < 10
    after = rows(sql, "select * from staging.source_file where battery_id <> 'S0002' order by 1")
    assert after == others


def test_the_seven_protocols_are_told_in_the_words_that_dbt_knows(tmp_path: Path) -> None:
    said: dict[str, set[str]] = {}
    for number in simulate_randomized.NUMBERS[:7]:
        path = tmp_path / f"SRW{number}.mat"
        simulate.simulate_randomized(path, seed=0, reference_discharges=2, walks_between=1)
        steps: Any = matlab_file(path.read_bytes(), path.stem).tables["randomized_step"]
        group = simulate_randomized.protocol_of(path.stem).group
        said[group] = {it.comment.lower() for it in steps}
        assert len([it for it in steps if it.comment == "reference discharge"]) == 2
    with (ROOT / "dbt_project/seeds/randomized_comment.csv").open() as file:
        assert set.union(*said.values()) == {row["comment"] for row in csv.DictReader(file)}
    with (ROOT / "dbt_project/seeds/battery_condition.csv").open() as file:
        groups = {it["battery_id"]: it["battery_group"] for it in csv.DictReader(file)}
    assert {f"randomized {it}" for it in said} == {
        group for battery_id, group in groups.items() if battery_id.startswith("RW")
    }
    for number in simulate_randomized.NUMBERS:
        group = simulate_randomized.protocol_of(f"SRW{number}").group
        assert groups[f"RW{number}"] == f"randomized {group}"


def test_a_battery_that_changes_layout_leaves_nothing_of_the_old(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    simulate.simulate_randomized(tmp_path / "B1.mat", seed=0, reference_discharges=2)
    assert load(tmp_path).returncode == 0
    aging_file(tmp_path / "B1.mat", discharge())
    assert load(tmp_path).returncode == 0
    assert rows(sql, "select count(*) from staging.randomized_step") == [(0,)]
    assert rows(sql, "select battery_id, layout from staging.source_file") == [("B1", "aging")]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Voltage_measured": None}, "cycle 2 (discharge): field Voltage_measured is missing"),
        ({"Time": None}, "cycle 2 (discharge): field Time is missing"),
        ({"Time": "soon"}, "cycle 2 (discharge): field Time is not numeric"),
        ({"Time": [[0.0, 1.0], [2.0, 3.0]]}, "field Time is not one row or column, but (2, 2)"),
        ({"Time": [[0j, 1j, 2j]]}, "field Time is not numeric (found complex128)"),
        ({"Voltage_load": [[1.0, 2.0]]}, "Voltage_load has 2 values where 3 are expected"),
        ({"Capacity": [[1.0, 2.0]]}, "field Capacity holds 2 numbers instead of one"),
    ],
)
def test_a_failing_file_is_named_with_field_and_fault_and_leaves_nothing(
    empty: str, sql: connection, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    aging_file(tmp_path / "bad.mat", discharge(), discharge(**changed), name="B2")
    aging_file(tmp_path / "good.mat", discharge())
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    failure, summary = loaded.stderr.splitlines()
    assert failure.startswith(f"{tmp_path}/bad.mat: ")
    assert said in failure
    assert summary == "1 of 2 files were not loaded"
    assert rows(sql, "select battery_id from staging.source_file") == [("B1",)]
    assert rows(sql, "select battery_id from staging.aging_recording") == [("B1",)]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"type": "standstill"}, "field type is none of charge, discharge, impedance"),
        ({"type": 7}, "field type is not text"),
        ({"ambient_temperature": "warm"}, "field ambient_temperature is not numeric"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    content = aging_file(tmp_path / "bad.mat", discharge(), **entry).read_bytes()
    with pytest.raises(LoaderError, match=r"^cycle 1") as raised:
        matlab_file(content, "bad")
    assert said in str(raised.value)


def test_numbers_that_nothing_measures_are_refused(empty: str, tmp_path: Path) -> None:
    aging_file(tmp_path / "a.mat", discharge(Current_measured=[[0.0, -2.0, float("inf")]]))
    assert load(tmp_path).returncode == 0
    aging_file(tmp_path / "a.mat", discharge(Current_measured=[[0.0, -2.0, 1e300]]))
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    assert "B1, recording 1: current_measured_a holds 1e+300, which nothing" in loaded.stderr


def test_oddities_are_kept_as_they_are(empty: str, sql: connection, tmp_path: Path) -> None:
    odd = [[float("nan"), float("inf"), -0.0]]
    aging_file(
        tmp_path / "odd.mat",
        discharge(Voltage_measured=odd, Capacity=np.empty((0, 0))),
        discharge(Time=np.array([[0, 10, 20]], dtype=np.uint8)),
    )
    assert load(tmp_path).returncode == 0
    found = rows(
        sql,
        "select voltage_measured_v, capacity_ah, time_s, current_measured_a"
        " from staging.aging_recording order by recording_index",
    )
    assert same(found[0][0], odd)
    assert np.signbit(found[0][0][2])
    assert found[0][1] is None
    assert found[1][1:] == (1.8, [0.0, 10.0, 20.0], [0.0, -2.0, -2.0])


def test_a_file_without_a_cycle_is_a_battery_without_recordings(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    aging_file(tmp_path / "none.mat")
    loaded = load(tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert "B1: 0 recordings, 0 discharges, 0 samples" in loaded.stdout
    assert "warning: no discharge in it" in loaded.stderr
    assert rows(sql, "select battery_id, recordings from staging.source_file") == [("B1", 0)]


def test_layouts_are_recognised_by_content(
    empty: str, sql: connection, recordings: Path, tmp_path: Path
) -> None:
    shutil.copy(recordings / "S0001.mat", tmp_path / "RW9.mat")
    shutil.copy(recordings / "SRW1.mat", tmp_path / "B0099")
    loaded = load(tmp_path / "RW9.mat", tmp_path / "B0099")
    assert loaded.returncode == 0, loaded.stderr
    found = rows(sql, "select battery_id, layout, file_name from staging.source_file order by 1")
    assert found == [("B0099", "randomized", "B0099"), ("S0001", "aging", "RW9.mat")]


@pytest.mark.parametrize("battery_id", ["B'); drop table staging.source_file; --", "Ü\t\\N {}"])
def test_no_battery_id_reaches_the_sql(
    empty: str, sql: connection, recordings: Path, tmp_path: Path, battery_id: str
) -> None:
    shutil.copy(recordings / "SRW1.mat", tmp_path / f"{battery_id}.mat")
    loaded = load(tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert rows(sql, "select battery_id from staging.source_file") == [(battery_id,)]
    (steps,) = rows(
        sql, "select count(*) from staging.randomized_step where battery_id = %s", battery_id
    )
    assert steps[0] > 100


def test_unreadable_files_are_told_apart(empty: str, recordings: Path, tmp_path: Path) -> None:
    whole = (recordings / "S0001.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mat").write_bytes(b"")
    (tmp_path / "page.mat").write_text("<html>404</html>")
    savemat(tmp_path / "other.mat", {"x": 1.0})
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    said = dict(line.split(": ", 1) for line in sorted(loaded.stderr.splitlines()[:-1]))
    assert "not a readable MATLAB file, or cut short" in said[f"{tmp_path}/cut.mat"]
    assert said[f"{tmp_path}/empty.mat"] == "the file is empty"
    assert "a web page, not a recording" in said[f"{tmp_path}/page.mat"]
    assert said[f"{tmp_path}/other.mat"].endswith("MATR's batch; found x")


def test_paths_that_lead_nowhere(empty: str, tmp_path: Path) -> None:
    assert "no such file or folder" in load(tmp_path / "missing").stderr
    assert "file in this folder or below it" in load(tmp_path).stderr


def test_two_files_of_one_battery_contradict_each_other(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    aging_file(tmp_path / "one.mat", discharge())
    aging_file(tmp_path / "two.mat", discharge(), discharge(Capacity=1.7))
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    assert "B1 has just been loaded from" in loaded.stderr
    (kept,) = rows(sql, "select recordings from staging.source_file")
    assert rows(sql, "select count(*) from staging.aging_recording") == [kept]


def test_the_same_recordings_in_two_files_count_once(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    aging_file(tmp_path / "one.mat", discharge())
    aging_file(tmp_path / "copy of one.mat", discharge(), discharge())
    loaded = load(tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert "nothing to do, B1 is loaded with the same recordings from" in loaded.stdout
    assert rows(sql, "select recordings from staging.source_file") == [(1,)]


def test_a_dry_run_tells_and_writes_nothing(empty: str, sql: connection, tmp_path: Path) -> None:
    aging_file(tmp_path / "good.mat", discharge())
    aging_file(tmp_path / "wrong.mat", discharge(Time=None), name="B2")
    dry = load("--dry-run", tmp_path)
    assert dry.returncode == 1
    assert (
        f"{tmp_path}/good.mat: would load B1: 1 recordings, 1 discharges, 3 samples" in dry.stdout
    )
    assert "field Time is missing" in dry.stderr
    assert rows(sql, "select to_regnamespace('staging')") == [(None,)]
    assert load(tmp_path / "good.mat").returncode == 0
    assert "nothing to do" in load("--dry-run", tmp_path / "good.mat").stdout


def test_fail_fast_leaves_the_rest(empty: str, sql: connection, tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"no" * 10_000)  # large files come first
    aging_file(tmp_path / "b.mat", discharge())
    loaded = load("--fail-fast", "--jobs", "1", tmp_path)
    assert loaded.returncode == 1
    assert "1 of 1 files were not loaded" in loaded.stderr
    assert rows(sql, "select count(*) from staging.source_file") == [(0,)]


def test_status_tells_what_is_loaded(empty: str, recordings: Path) -> None:
    assert "nothing is loaded yet" in load("status").stdout
    assert load("status", "--json").stdout.strip() == "[]"
    assert load(recordings / "SRW1.mat").returncode == 0
    (entry,) = json.loads(load("status", "--json").stdout)
    assert entry.pop("loaded_at")
    assert entry.pop("samples") > 1000
    assert entry.pop("recordings") > 100
    whole = {"begins_at": None, "ends_at": None}
    assert entry == whole | {"battery_id": "SRW1", "layout": "randomized", "piece": "SRW1.mat"}
    head, line = load("status").stdout.splitlines()
    assert head.split()[:3] == ["battery_id", "piece", "layout"]
    assert line.split()[:3] == ["SRW1", "SRW1.mat", "randomized"]


def check_aging(sql: connection, path: Path) -> None:
    """Compare everything staging holds of an aging file with what scipy reads."""
    battery = path.stem
    cycle = loadmat(path)[battery]["cycle"][0, 0].ravel()
    with sql.cursor() as cursor:
        cursor.execute(
            "select * from staging.aging_recording where battery_id = %s order by recording_index",
            (battery,),
        )
        names = [column.name for column in cursor.description or ()]
        recordings = {row[2]: dict(zip(names, row, strict=True)) for row in cursor}
        cursor.execute("select * from staging.aging_impedance where battery_id = %s", (battery,))
        names = [column.name for column in cursor.description or ()]
        sweeps = {row[2]: dict(zip(names, row, strict=True)) for row in cursor}
    assert sorted([*recordings, *sweeps]) == list(range(1, cycle.size + 1))
    for index, entry in enumerate(cycle, start=1):
        data, kind = entry["data"][0, 0], str(entry["type"][0])
        stored = sweeps[index] if kind == "impedance" else recordings[index]
        assert same(stored["date_vector"], entry["time"])
        assert same(stored["ambient_temperature_c"], entry["ambient_temperature"])
        if kind == "impedance":
            for column, (key, unit) in PARTS.items():
                expected = data[key].ravel() if data[key].size else np.array([np.nan])
                found = [stored[f"{column}_{part}{unit}"] for part in ("re", "im")]
                assert same(found[0], expected.real), (index, key)
                if data[key].size:
                    assert same(found[1], expected.imag), (index, key)
            continue
        device = "charge" if kind == "charge" else "load"
        fields = FIELDS | {
            f"voltage_{device}_v": f"Voltage_{device}",
            f"current_{device}_a": f"Current_{device}",
        }
        assert stored["recording_type"] == kind
        for column, key in fields.items():
            assert same(stored[column], data[key]), (index, key)
        if kind == "discharge":
            expected = data["Capacity"].ravel().tolist() or [None]
            assert [stored["capacity_ah"]] == expected


def check_randomized(sql: connection, path: Path) -> None:
    """Compare everything staging holds of a randomized file with what scipy reads."""
    steps = loadmat(path)["data"]["step"][0, 0].ravel()
    stored = rows(
        sql,
        "select comment, step_type, date, relative_time_s, time_s, voltage_v, current_a,"
        " temperature_c from staging.randomized_step where battery_id = %s"
        " order by recording_index",
        path.stem,
    )
    assert len(stored) == steps.size
    for index, (row, step) in enumerate(zip(stored, steps, strict=True), start=1):
        assert row[:3] == tuple(str(step[key][0]) for key in ("comment", "type", "date"))
        for found, key in zip(
            row[3:], ("relativeTime", "time", "voltage", "current", "temperature"), strict=True
        ):
            assert same(found, step[key]), (index, key)


def test_every_simulated_value_is_scipys(simulated: str, sql: connection, recordings: Path) -> None:
    check_aging(sql, recordings / "S0001.mat")
    check_randomized(sql, recordings / "SRW1.mat")


@pytest.mark.nasa
def test_every_nasa_value_is_scipys(nasa: str, sql: connection) -> None:
    assert NASA is not None
    files = sorted(NASA.glob("aging/*.mat"))
    assert len(files) == 17
    for path in files:
        check_aging(sql, path)
    check_randomized(sql, NASA / "randomized" / "RW26.mat")


@pytest.fixture
def table(empty: str, sql: connection) -> connection:
    sql.cursor().execute("create table t (a text, b int, c bool, d float8, e float8[])")
    return sql


def test_what_is_encoded_is_what_postgres_reads(table: connection) -> None:
    rng = np.random.default_rng(0)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308])
    written = [
        ("Ü", 2**31 - 1, True, -0.0, odd),
        ("", -(2**31), False, float("nan"), np.empty(0)),
        (None, None, None, None, None),
        ("tab\t\\N", 0, True, 1e-300, rng.normal(size=100_000)),
        ("a view", 1, False, 1.0, rng.normal(size=(50, 4))[:, 1]),
    ]
    with table.cursor() as cursor:
        stream = io.BytesIO(b"".join(encode(written)))
        cursor.copy_expert("copy t from stdin (format binary)", stream)
    found = rows(table, "select * from t")
    for row, expected in zip(found, written, strict=True):
        assert row[:3] == expected[:3]
        for value, wanted in zip(row[3:], expected[3:], strict=True):
            if wanted is None:
                assert value is None
            else:
                assert same(np.ravel(value), wanted)
                assert (np.signbit(np.ravel(value)) == np.signbit(np.ravel(wanted))).all()


def test_a_name_that_is_no_text_costs_its_file_only(
    empty: str, sql: connection, recordings: Path, tmp_path: Path
) -> None:
    aging_file(tmp_path / "b.mat", discharge())
    content = (recordings / "SRW1.mat").read_bytes()
    (tmp_path / os.fsdecode(b"a\xff.mat")).write_bytes(content)
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    assert f"{tmp_path}/a\\udcff.mat: the name of the battery is not text" in loaded.stderr
    assert rows(sql, "select battery_id from staging.source_file") == [("B1",)]


def test_a_database_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    aging_file(tmp_path / "b.mat", discharge())
    loaded = load(tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert loaded.returncode == 1
    assert loaded.stderr.startswith("no PostgreSQL: ")
    assert len(loaded.stderr.splitlines()) == 1
