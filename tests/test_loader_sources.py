"""Where recordings come from besides plain .mat files: zip archives, MATLAB 7.3, CSV, Parquet."""

import io
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import h5py
import numpy as np
import psycopg2
import pytest
from psycopg2.extensions import connection
from scipy.io import loadmat

from loader import archive
from loader.battery import Battery, LoaderError
from tests.conftest import NASA, load, matlab_file, rebuild, rows

BDF = {
    "test_time_second": "time_s",
    "voltage_volt": "voltage_v",
    "current_ampere": "current_a",
    "surface_temperature_celsius": "temperature_c",
    "cycle_count": "cycle_count",
    "step_count": "step_count",
}


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            how = zipfile.ZIP_STORED if name.endswith(".zip") else zipfile.ZIP_DEFLATED
            opened.writestr(name, content, how)
    return buffer.getvalue()


def test_a_zip_of_zips_is_loaded_and_a_twin_in_it_once(
    empty: str, sql: connection, recordings: Path, tmp_path: Path
) -> None:
    one, two = ((recordings / name).read_bytes() for name in ("S0001.mat", "S0002.mat"))
    first = zipped(**{"S0001.mat": one, "README.txt": b"about"})
    second = zipped(**{"deep/S0001.mat": one, "S0002.mat": two})
    (tmp_path / "all.zip").write_bytes(zipped(**{"1. first.zip": first, "2. second.zip": second}))
    loaded = load(tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.count("nothing to do") == 1
    found = rows(sql, "select battery_id, file_name from staging.source_file order by 1")
    assert found[0][1] in ("all.zip/1. first.zip/S0001.mat", "all.zip/2. second.zip/deep/S0001.mat")
    assert found[1:] == [("S0002", "all.zip/2. second.zip/S0002.mat")]
    assert load(tmp_path).stdout.count("nothing to do") == 3


@pytest.mark.parametrize("name", ["../up.mat", "/etc/abs.mat", "a\\..\\..\\up.mat", "C:\\up.mat"])
def test_names_that_lead_out_of_the_archive_are_refused(name: str) -> None:
    ((path, content),) = archive.members(io.BytesIO(zipped(**{name: b"x"})), lambda it: True)
    assert isinstance(content, LoaderError)
    assert "leads out of the archive" in str(content), path


def test_bombs_are_refused_unopened(
    empty: str, sql: connection, recordings: Path, tmp_path: Path
) -> None:
    bomb = zipped(**{"bomb.mat": bytes(200_000_000)})
    shell = zipped(**{"bomb.zip": bomb})
    for name in ("a.zip", "b.zip", "c.zip"):
        shell = zipped(**{name: shell})
    good = (recordings / "SRW1.mat").read_bytes()
    (tmp_path / "it.zip").write_bytes(
        zipped(**{"in.zip": bomb, "deep.zip": shell, "SRW1.mat": good})
    )
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    assert "it.zip/in.zip/bomb.mat: refused: a zip bomb?" in loaded.stderr
    assert "refused: archives nested more than 3 deep" in loaded.stderr
    assert rows(sql, "select battery_id from staging.source_file") == [("SRW1",)]


def test_a_stated_size_that_lies_is_not_exceeded() -> None:
    content = bytearray(zipped(**{"liar.mat": bytes(100_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature) + offset
        content[at : at + 4] = (500).to_bytes(4, "little")
    ((_, found),) = archive.members(io.BytesIO(content), lambda it: True)
    assert isinstance(found, LoaderError)


def test_encrypted_and_cut_archives_are_refused(
    empty: str, recordings: Path, tmp_path: Path
) -> None:
    content = bytearray(zipped(**{"S0001.mat": (recordings / "S0001.mat").read_bytes()}))
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(signature) + offset] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    (tmp_path / "none.zip").write_bytes(zipped(**{"README.txt": b"nothing"}))
    loaded = load(tmp_path)
    assert loaded.returncode == 1
    assert "cut.zip: not a readable zip archive, or cut short" in loaded.stderr
    assert "locked.zip/S0001.mat: refused: it is encrypted" in loaded.stderr
    assert "none.zip/README.txt: passed over: not a recording that is known" in loaded.stderr


def as_matlab_73(source: Path) -> bytes:
    """Write the variables of an older MATLAB file the way MATLAB's `save -v7.3` does."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        references = file.create_group("#refs#")

        def put(parent: h5py.Group, name: str, value: np.ndarray) -> h5py.Dataset | h5py.Group:
            if value.dtype.names and value.size == 1:
                group = parent.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_(b"struct")
                for key in value.dtype.names:
                    put(group, key, value.reshape(-1)[0][key])
                return group
            if value.dtype.names:
                group = parent.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_(b"struct")
                for key in value.dtype.names:
                    pointers = np.empty((value.size, 1), dtype=h5py.ref_dtype)
                    for at, record in enumerate(value.reshape(-1)):
                        pointers[at, 0] = put(references, str(len(references)), record[key]).ref
                    group.create_dataset(key, data=pointers)
                return group
            if value.size == 0:
                kind = b"char" if value.dtype.kind == "U" else b"double"
                dataset = parent.create_dataset(name, data=np.zeros(2, np.uint64))
                dataset.attrs["MATLAB_empty"] = np.uint8(1)
            elif value.dtype.kind == "U":
                kind = b"char"
                letters = np.array([[ord(letter)] for letter in str(value[0])], np.uint16)
                dataset = parent.create_dataset(name, data=letters)
            elif value.dtype.kind == "c":
                kind = b"double"
                parts = np.empty(value.T.shape, dtype=[("real", "f8"), ("imag", "f8")])
                parts["real"], parts["imag"] = value.T.real, value.T.imag
                dataset = parent.create_dataset(name, data=parts)
            else:
                kind = b"double"
                dataset = parent.create_dataset(name, data=value.T)
            dataset.attrs["MATLAB_class"] = np.bytes_(kind)
            return dataset

        for name, value in loadmat(source).items():
            if not name.startswith("__"):
                put(file, name, value)
    content = bytearray(buffer.getvalue())
    content[:19] = b"MATLAB 7.3 MAT-file"
    return bytes(content)


def assert_same_battery(found: Battery, expected: Battery) -> None:
    assert (found.battery_id, found.layout) == (expected.battery_id, expected.layout)
    assert found.samples == expected.samples > 0
    for table, wanted in expected.tables.items():
        for row, other in zip(found.tables[table], wanted, strict=True):
            for name, value, right in zip(row._fields, row, other, strict=True):
                assert np.array_equal(value, right, isinstance(right, np.ndarray)), (row[:3], name)


@pytest.mark.parametrize("name", ["S0001", "SRW1"])
def test_matlab_73_is_read_the_same_way(recordings: Path, name: str) -> None:
    path = recordings / f"{name}.mat"
    found = matlab_file(as_matlab_73(path), name)
    assert_same_battery(found, matlab_file(path.read_bytes(), name))


@pytest.mark.nasa
def test_matlab_73_keeps_nasas_oddities() -> None:
    assert NASA is not None
    path = NASA / "aging" / "B0050.mat"
    assert_same_battery(
        matlab_file(as_matlab_73(path), "B0050"), matlab_file(path.read_bytes(), "")
    )


def test_matlab_73_that_points_at_itself_ends() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("B1")
        pointers = np.empty((1, 1), dtype=h5py.ref_dtype)
        pointers[0, 0] = group.ref
        group.create_dataset("cycle", data=pointers)
    with pytest.raises(LoaderError, match="nested deeper"):
        matlab_file(buffer.getvalue(), "B1")


def write_table(
    path: Path, battery: Battery, columns: dict[str, str] | None = None, sign: int = 1
) -> Path:
    """Write the charges and discharges of an aging file, a row per sample; the name tells how."""
    recordings: list[Any] = battery.tables["aging_recording"]
    start, cycle, samples = None, 1, []
    for it in recordings:
        date = it.date_vector
        begun = np.datetime64(
            f"{date[0]:04.0f}-{date[1]:02.0f}-{date[2]:02.0f}T{date[3]:02.0f}:{date[4]:02.0f}", "ms"
        ) + np.timedelta64(round(date[5] * 1000), "ms")
        start = begun if start is None else start
        n = it.time_s.size
        samples.append(
            {
                "time_s": it.time_s + (begun - start) / np.timedelta64(1, "s"),
                "voltage_v": it.voltage_measured_v,
                "current_a": sign * it.current_measured_a,
                "temperature_c": it.temperature_measured_c,
                "cycle_count": np.full(n, cycle),
                "step_count": np.full(n, it.recording_index),
            }
        )
        cycle += it.recording_type == "discharge"
    samples_of_all = {name: np.concatenate([it[name] for it in samples]) for name in samples[0]}  # noqa: F841
    chosen = ", ".join(f'{ours} as "{theirs}"' for theirs, ours in (columns or BDF).items())
    formats = {
        ".parquet": "parquet",
        ".gz": "csv, compression gzip",
        ".zst": "csv, compression zstd",
    }
    how = formats.get(path.suffix, "csv")
    duckdb.sql(f"copy (select {chosen} from samples_of_all) to '{path}' (format {how})")
    return path


def features(url: str, battery_id: str) -> np.ndarray[Any, Any]:
    """cycle_index, the four features and soh_target of each cycle, [cycles, 6]."""
    opened = psycopg2.connect(url)
    found = rows(
        opened,
        "select cycle_index, (features ->> 'discharge_capacity')::float8,"
        " (features ->> 'max_temperature')::float8, (features ->> 'avg_voltage_load')::float8,"
        " (features ->> 'time_to_discharge')::float8, soh_target"
        " from cycle_series where battery_id = %s order by 1",
        battery_id,
    )
    opened.close()
    return np.array(found, dtype=np.float64)


@pytest.mark.nasa
def test_b0005_as_a_table_has_the_features_of_its_mat_file(
    nasa: str, sql: connection, tmp_path: Path
) -> None:
    assert NASA is not None
    expected = features(nasa, "B0005")
    battery = matlab_file((NASA / "aging" / "B0005.mat").read_bytes(), "")
    write_table(tmp_path / "B0005.csv", battery)
    assert "loaded whole from B0005.mat" in load(tmp_path).stderr
    loaded = load(tmp_path, "--replace", "B0005.mat")
    assert loaded.returncode == 0, loaded.stderr
    assert rows(sql, "select layout from staging.source_file where battery_id = 'B0005'") == [
        ("tabular",)
    ]
    rebuild(nasa)
    found = features(nasa, "B0005")
    assert found.shape == (168, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)


@pytest.fixture(scope="module")
def simulated_battery(recordings: Path) -> Battery:
    return matlab_file((recordings / "S0001.mat").read_bytes(), "")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "parquet"])
def test_every_format_and_mapping_says_the_same(
    empty: str, sql: connection, tmp_path: Path, simulated_battery: Battery, ending: str
) -> None:
    own = {"t": "time_s", "V cell": "voltage_v", "I": "current_a", "Temp": "temperature_c"}
    own |= {"Cyc": "cycle_count", "Step": "step_count"}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_table(tmp_path / "a" / f"X[1].{ending}", simulated_battery)
    write_table(tmp_path / "b" / f"own.{ending}", simulated_battery, own, sign=-1)
    first = load(tmp_path / "a")
    assert first.returncode == 0, first.stderr
    named = ("time=t", "voltage=v CELL", "current=I", "temperature=Temp", "cycle=Cyc", "step=Step")
    second = load(
        tmp_path / "b", *(it for name in named for it in ("--column", name)),
        "--current-sign", "discharge-positive", "--battery-id", "Y",
        "--rated-capacity-ah", "2", "--cutoff-v", "2.7",
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    query = "select to_jsonb(t) - 'battery_id' - 'piece' from staging.tabular_recording as t"
    one = rows(sql, f"{query} where battery_id = 'X[1]' order by recording_index")
    assert one == rows(sql, f"{query} where battery_id = 'Y' order by recording_index")
    assert len(one) == len(simulated_battery.tables["aging_recording"])
    stated = rows(
        sql, "select rated_capacity_ah, cutoff_v from staging.source_file where battery_id = 'Y'"
    )
    assert stated == [(2.0, 2.7)]
    for row, wanted in zip(one, simulated_battery.tables["aging_recording"], strict=True):
        assert row[0]["recording_type"] == wanted.recording_type  # type: ignore[attr-defined]
        assert row[0]["voltage_v"] == wanted.voltage_measured_v.tolist()  # type: ignore[attr-defined]


def test_a_fleets_column_tells_the_battery(empty: str, sql: connection, tmp_path: Path) -> None:
    for part in (1, 2):
        (tmp_path / f"{part}.csv").write_text(
            "test_time_second,voltage_volt,current_ampere,vin\n"
            + "".join(
                f"{part * 20000 + 1000 * i},4.{i},{i // 2 - 2},cell {i % 2}\n" for i in range(10)
            )
        )
    loaded = load(tmp_path / "*.csv", "--battery-column", "VIN")
    assert loaded.returncode == 0, loaded.stderr
    found = rows(
        sql,
        "select battery_id, recording_type, time_s, current_a from staging.tabular_recording"
        " order by battery_id, time_s",
    )
    assert found[0] == ("cell 0", "discharge", [20000.0, 22000.0, 24000.0], [-2.0, -1.0, 0.0])
    assert found[-1] == ("cell 1", "charge", [47000.0, 49000.0], [1.0, 2.0])
    assert "nothing to do" in load(tmp_path / "*.csv", "--battery-column", "VIN").stdout


def test_a_sample_of_no_battery_is_refused(empty: str, tmp_path: Path) -> None:
    head = "test_time_second,voltage_volt,current_ampere,vin\n"
    (tmp_path / "1.csv").write_text(f"{head}1,4,1,a\n2,4,1,\n")
    assert "samples without a battery" in load(tmp_path / "1.csv", "--battery-column", "vin").stderr
    (tmp_path / "1.csv").write_text(head)
    assert "no samples in it" in load(tmp_path / "1.csv", "--battery-column", "vin").stderr


def test_operations_are_split_where_the_current_turns_and_stops(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    currents = [0, 1.5, 1.5, 0, 0.005, -2, 0, -2, -2, 0, 0, 0, 1.5]
    (tmp_path / "B1.csv").write_text(
        "test_time_second,voltage_volt,current_ampere,unix_time_second\n"
        + "".join(
            f"{600 * i},4,{it},{1.6e9 + 600 * i}\n" for i, it in reversed(list(enumerate(currents)))
        )
    )
    assert load(tmp_path).returncode == 0
    found = rows(
        sql,
        "select recording_type, current_a, started_at_unix_s, temperature_c"
        " from staging.tabular_recording order by recording_index",
    )
    assert found == [
        ("rest", currents[:1], 1.6e9, None),
        ("charge", currents[1:5], 1.6e9 + 600, None),
        ("discharge", currents[5:9], 1.6e9 + 3000, None),
        ("rest", currents[9:12], 1.6e9 + 5400, None),
        ("charge", currents[12:], 1.6e9 + 7200, None),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("test_time_second,voltage_volt,current_ampere\n", "no samples in it"),
        (
            "a,b\n1,2\n",
            "no column is known to be time or voltage or current: name yours with "
            "--column time=NAME --column voltage=NAME --column current=NAME; found a, b",
        ),
        ("test_time_second,voltage_volt,current_ampere\n1,2,three\n2,2,four\n", "three"),
        ("test_time_second,voltage_volt,current_ampere\n1,2,3\n,2,3\n", "1 of 2 samples have no"),
        ("PAR1 is not enough", "not readable as Parquet"),
        ("\x1f\x8b", "the file is empty"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(
    empty: str, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "B1.csv").write_bytes(content.encode("latin-1"))
    loaded = load(tmp_path / "B1.csv")
    assert loaded.returncode == 1
    assert said in loaded.stderr
    assert len(loaded.stderr.splitlines()) == 2


def test_the_same_table_read_another_way_is_loaded_again(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    (tmp_path / "B1.csv").write_text("test_time_second,voltage_volt,current_ampere\n0,4,1\n1,4,1\n")
    assert load(tmp_path).returncode == 0
    assert "nothing to do" in load(tmp_path).stdout
    assert "1 recordings" in load(tmp_path, "--current-sign", "discharge-positive").stdout
    found = rows(sql, "select recording_type, current_a from staging.tabular_recording")
    assert found == [("discharge", [-1.0, -1.0])]
