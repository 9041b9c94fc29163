"""MATLAB files as the world re-saves them, other sets' layouts, and the re-export as CSV files."""

import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from loader.battery import Battery, LoaderError
from loader.readers import matlab
from loader.reading import Reading
from tests.cells import batteries
from tests.conftest import NASA, matlab_file
from tests.test_loader import aging_file, discharge
from tests.test_loader_sources import as_matlab_73, assert_same_battery

PLAIN = Reading()


def mat(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, content)
    return buffer.getvalue()


def own(path: Path, **how: bool) -> dict[str, Any]:
    return {key: it for key, it in loadmat(path, **how).items() if not key.startswith("__")}


def same(found: Battery, expected: Battery) -> None:
    assert_same_battery(found, replace(expected, battery_id=found.battery_id))


RESAVES: dict[str, Callable[[Path], bytes]] = {
    "squeezed": lambda path: mat(own(path, squeeze_me=True)),
    "simplified": lambda path: mat(own(path, simplify_cells=True)),
    "as objects": lambda path: mat(own(path, struct_as_record=True, chars_as_strings=True)),
    "gzip": lambda path: gzip.compress(path.read_bytes()),
}


@pytest.mark.parametrize("name", ["S0001", "SRW1"])
@pytest.mark.parametrize("how", RESAVES)
def test_a_file_saved_again_is_the_same_battery(
    recordings: Path, tmp_path: Path, name: str, how: str
) -> None:
    path = recordings / f"{name}.mat"
    (tmp_path / f"{name}.mat").write_bytes(RESAVES[how](path))
    (found,) = batteries([tmp_path / f"{name}.mat"], PLAIN)
    assert_same_battery(found, matlab_file(path.read_bytes(), name))


def test_cells_of_structs_survive_matlab_73(recordings: Path, tmp_path: Path) -> None:
    whole = own(recordings / "S0001.mat")["S0001"]
    (tmp_path / "few.mat").write_bytes(mat({"S0001": {"cycle": whole["cycle"][0, 0][:, :6]}}))
    expected = matlab_file((tmp_path / "few.mat").read_bytes(), "")
    content = as_matlab_73(tmp_path / "few.mat")
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(buffer, "w") as target:
        cycle = source["S0001/cycle"]
        cells = np.empty((1, 6), dtype=h5py.ref_dtype)
        for at in range(6):
            entry = target.create_group(f"#refs#/e{at}")
            for key in cycle:
                source.copy(source[cycle[key][at, 0]], entry, key)
            cells[0, at] = entry.ref
        held = target.create_group("S0001").create_dataset("cycle", data=cells)
        held.attrs["MATLAB_class"] = np.bytes_(b"cell")
    assert_same_battery(matlab_file(buffer.getvalue(), ""), expected)


def test_several_batteries_in_one_file_are_all_read(recordings: Path) -> None:
    both = own(recordings / "S0001.mat") | own(recordings / "S0002.mat")
    both |= {"notes": "two cells", "data": own(recordings / "SRW1.mat")["data"]}
    found = {it.battery_id: it for it in matlab.batteries(mat(both), "fleet", PLAIN)}
    assert set(found) == {"S0001", "S0002", "fleet_data"}
    assert found["fleet_data"].layout == "randomized"
    with pytest.raises(LoaderError, match="for one battery, and the file holds"):
        list(matlab.batteries(mat(both), "fleet", Reading(battery_id="X")))


@pytest.mark.parametrize("variable", ["battery", "data", "Cell", "data1"])
def test_a_variable_that_says_nothing_leaves_the_name_to_the_file(
    tmp_path: Path, variable: str
) -> None:
    content = aging_file(tmp_path / "B9999.mat", discharge(), name=variable).read_bytes()
    assert matlab_file(content, "B9999").battery_id == "B9999"
    (named,) = matlab.batteries(content, "B9999", Reading(battery_id="X"))
    assert named.battery_id == "X"


def test_save_struct_spreads_the_fields_over_the_file(recordings: Path) -> None:
    aging = own(recordings / "S0001.mat")["S0001"][0, 0]
    found = matlab_file(mat({"cycle": aging["cycle"]}), "S0001")
    assert_same_battery(found, matlab_file((recordings / "S0001.mat").read_bytes(), ""))
    steps = own(recordings / "SRW1.mat")["data"][0, 0]
    found = matlab_file(mat({key: steps[key] for key in steps.dtype.names}), "SRW1")
    assert_same_battery(found, matlab_file((recordings / "SRW1.mat").read_bytes(), "SRW1"))


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (733500.64284251, [2008, 4, 2, 15, 25, 41.593]),
        ("2008-04-02 15:25:41.593", [2008, 4, 2, 15, 25, 41.593]),
        ("02-Apr-2008 15:25:41", [2008, 4, 2, 15, 25, 41]),
        ("some day", None),
        ([[2008, 4]], None),
        (1e300, None),
    ],
)
def test_dates_of_every_kind_are_read_or_null(tmp_path: Path, time: Any, expected: Any) -> None:
    content = aging_file(tmp_path / "a.mat", discharge(), time=time).read_bytes()
    (row,) = matlab_file(content, "a").tables["aging_recording"]
    date = row.date_vector  # type: ignore[attr-defined]
    assert date is expected if expected is None else date == pytest.approx(expected, abs=2e-3)


def test_fields_that_no_model_needs_may_be_missing(tmp_path: Path) -> None:
    record = discharge(
        Capacity=None, Temperature_measured=None, Current_load=None, Voltage_load=None,
        Current_charge=[[0.0, 1.0, 2.0]],
    )  # fmt: skip
    content = aging_file(tmp_path / "a.mat", record, type="Discharge ").read_bytes()
    found = matlab_file(content, "a")
    row: Any = found.tables["aging_recording"][0]
    assert row.recording_type == "discharge"
    assert row.temperature_measured_c is None
    assert row.voltage_load_v is None
    assert row.current_load_a.tolist() == [0, 1, 2]  # as NASA's own readme names it
    assert np.isnan(row.capacity_ah)
    assert found.notes == ("no discharge has the field Capacity: there is none to compare with",)


def test_text_in_cells_is_text(tmp_path: Path) -> None:
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = "discharge"
    content = aging_file(tmp_path / "a.mat", discharge(), type=cell).read_bytes()
    assert matlab_file(content, "a").discharges == 1


def test_a_randomized_file_needs_neither_relative_times_nor_temperatures(recordings: Path) -> None:
    steps = own(recordings / "SRW1.mat")["data"][0, 0]["step"][0, :5]
    kept = [it for it in steps.dtype.names if it not in ("relativeTime", "temperature", "date")]
    few = np.empty((1, 5), dtype=[(it, object) for it in kept])
    for name in kept:
        few[name][0] = steps[name]
    row: Any = matlab_file(mat({"data": {"step": few}}), "RW1").tables["randomized_step"][0]
    assert (row.relative_time_s, row.temperature_c, row.date) == (None, None, None)


def test_entries_that_stand_twice_count_once(tmp_path: Path) -> None:
    content = aging_file(tmp_path / "a.mat", discharge(), discharge()).read_bytes()
    found = matlab_file(content, "a")
    assert (found.recordings, found.discharges) == (1, 1)
    assert found.notes == ("entries that stand twice, and count once: 1",)


def test_bombs_are_refused_unopened() -> None:
    zeros = zlib.compress(bytes([14, 0, 0, 0, 0, 0, 0, 64]) + bytes(1000))  # says 1 GiB
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    element = (15).to_bytes(4, "little") + len(zeros).to_bytes(4, "little") + zeros
    with pytest.raises(LoaderError, match=r"refused: a bomb\? .* would become 1,073,741,824"):
        matlab_file(header + element, "B1")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("B1", data=np.zeros(20_000_000), compression="gzip")
    with pytest.raises(LoaderError, match="refused: a bomb"):
        matlab_file(buffer.getvalue(), "B1")


def discharges(battery: Battery) -> list[Any]:
    rows: list[Any] = battery.tables["tabular_recording"]
    return [it for it in rows if it.recording_type == "discharge"]


def oxford(capacities: list[float]) -> dict[str, Any]:
    """A cell in Oxford's shape, characterised every 100 cycles."""
    cell, day = {}, 735954.0
    for number, mah in enumerate(capacities):
        tests = {}
        for name, sign, hours in (("C1ch", 1, 1.0), ("C1dc", -1, 1.0), ("OCVdc", -1, 18.5)):
            share = np.linspace(0, 1, 200)
            tests[name] = {
                "t": day + share * hours / 24,
                "v": 2.7 + 1.5 * (share if sign > 0 else 1 - share),
                "q": mah * share * sign,
                "T": np.full(200, 40.0),
            }
            day += hours / 24 + 0.1
        cell[f"cyc{number * 100:04d}"] = tests
    return cell


def test_oxfords_cells_have_currents_from_their_charge() -> None:
    content = mat({"Cell1": oxford([740, 700]), "Cell2": oxford([735])})
    one, two = matlab.batteries(content, "Oxford", PLAIN)
    assert (one.battery_id, two.battery_id) == ("Cell1", "Cell2")
    assert (one.rated_capacity_ah, one.cutoff_v) == (0.74, 2.7)
    rows = discharges(one)
    assert [it.activity for it in rows] == [None, "characterisation"] * 2
    assert [it.cycle_count for it in rows] == [0, 0, 100, 100]
    for it, ah in zip(rows, (0.74, 0.74, 0.7, 0.7), strict=True):
        assert -np.trapezoid(it.current_a, it.time_s) / 3600 == pytest.approx(ah, rel=1e-6)
        assert it.counted_ah == pytest.approx(ah, rel=1e-6)


def matr(path: Path, unit: float) -> Path:
    """Two cells in MATR's shape, the first cycle of each empty; currents in multiples of `unit`."""
    with h5py.File(path, "w") as file:
        refs, batch = file.create_group("#refs#"), file.create_group("batch")

        def put(values: Any) -> h5py.Reference:
            return refs.create_dataset(str(len(refs)), data=values).ref

        def listed(references: list[Any]) -> Any:
            array = np.empty((len(references), 1), dtype=h5py.ref_dtype)
            array[:, 0] = references
            return array

        cells, codes = [], []
        for number in range(2):
            cycles: dict[str, list[Any]] = {key: [] for key in ("I", "Qc", "Qd", "T", "V", "t")}
            for capacity in (0.0, 1.05, 1.0 - 0.1 * number):
                share = np.linspace(0, 1, 120) if capacity else np.zeros(1)
                charging = share < 0.5
                amperes = np.where(charging, 2.2, -2.2) * (capacity > 0)
                minutes = share * capacity / 2.2 * 60 * 2
                moved = np.concatenate([[0], np.diff(minutes) / 60 * np.abs(amperes[1:])])
                made = {
                    "I": amperes / unit, "t": minutes,
                    "V": 3.6 - 3.2 * np.maximum(share - 0.5, 0),
                    "T": np.full(share.size, 31.0), "Qc": np.cumsum(moved * charging),
                    "Qd": np.cumsum(moved * ~charging),
                }  # fmt: skip
                for key, values in made.items():
                    cycles[key].append(put(values[None]))
            group = refs.create_group(f"cell{number}")
            for key, references in cycles.items():
                group.create_dataset(key, data=listed(references))
            cells.append(group.ref)
            codes.append(put(np.array([[ord(it)] for it in f"EL15080046051{number}"], np.uint16)))
        batch.create_dataset("cycles", data=listed(cells))
        batch.create_dataset("barcode", data=listed(codes))
    return path


@pytest.mark.parametrize("unit", [1.0, 1.1])
def test_matrs_batches_are_read_cell_by_cell(tmp_path: Path, unit: float) -> None:
    one, two = batteries([matr(tmp_path / "batch.mat", unit)], PLAIN)
    assert (one.battery_id, two.battery_id) == ("EL150800460510", "EL150800460511")
    assert (one.rated_capacity_ah, one.cutoff_v, one.discharges) == (1.1, 2.0, 2)
    counted = [it.counted_ah for it in discharges(two)]
    assert counted == pytest.approx([1.05, 0.9], rel=0.02)


def test_matrs_currents_that_fit_no_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="EL150800460510: currents fit the counter Qd neither"):
        list(batteries([matr(tmp_path / "batch.mat", 3.0)], PLAIN))


@pytest.mark.nasa
@pytest.mark.parametrize("battery_id", ["B0029", "B0047"])
def test_the_re_export_says_what_the_mat_file_says(battery_id: str) -> None:
    assert NASA is not None
    found = {it.battery_id: it for it in batteries([NASA / "kaggle"], PLAIN)}
    assert set(found) == {"B0029", "B0047"}
    expected = matlab_file((NASA / "aging" / f"{battery_id}.mat").read_bytes(), "")
    for table, rows in expected.tables.items():
        for row, other in zip(rows, found[battery_id].tables[table], strict=True):
            for name, value, right in zip(row._fields, other, row, strict=True):
                if isinstance(right, np.ndarray):
                    np.testing.assert_allclose(value, right, rtol=1e-12, err_msg=name)
                else:
                    assert value == right or value == pytest.approx(right, rel=1e-12), name


def test_a_file_that_the_re_export_lists_and_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(
        "type,start_time,ambient_temperature,battery_id,test_id,uid,filename,Capacity,Re,Rct\n"
        "discharge,[2008. 4. 2. 15. 25. 41.593],24,B1,0,1,00001.csv,1.8,,\n"
        "discharge,[2008. 4. 3. 15. 25. 41.593],24,B1,1,2,00002.csv,1.8,,\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "00001.csv").write_text(
        "Voltage_measured,Current_measured,Temperature_measured,Time\n4,-2,24,0\n3,-2,24,9\n"
    )
    with pytest.raises(LoaderError, match=r"00002\.csv: listed, but not there"):
        list(batteries([tmp_path], PLAIN))
