"""Tables as cyclers write them: all say the same of one made-up cell."""

import gzip
import io
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import openpyxl
import pytest
import zstandard

from loader import inspect, sources
from loader.battery import LoaderError
from loader.part import Head
from loader.readers import TABLES, recognise, reexport
from tests.cells import (
    CAPACITIES,
    FACTS,
    Floats,
    cell,
    delivered,
    named,
    plain,
    read,
    text,
)

START = datetime(2024, 3, 30, 12, tzinfo=UTC)
MADE = cell()


def dates(spelling: str, made: dict[str, Floats] = MADE) -> list[str]:
    return [f"{START + timedelta(seconds=it):{spelling}}" for it in made["t"].tolist()]


def clock(seconds: float, days: str = "") -> str:
    """`h:m:s.f`, with the days in front where `days` says how they are written."""
    whole, rest = divmod(seconds, 86400) if days else (0, seconds)
    hours, rest = divmod(rest, 3600)
    head = f"{whole:.0f}{days}" if days else ""
    return f"{head}{hours:02.0f}:{rest // 60:02.0f}:{rest % 60:06.3f}"


def words(rest: str, charge: str, discharge: str) -> list[str]:
    return [rest if it == 0 else charge if it > 0 else discharge for it in MADE["i"].tolist()]


def table(*columns: tuple[str, object], **how: object) -> str:
    return text(columns, **how)  # type: ignore[arg-type]


V, I, T = MADE["v"], MADE["i"], MADE["t"]  # noqa: E741
HMS = [clock(it) for it in T.tolist()]
KINDS: dict[str, Callable[[], str | bytes]] = {
    "bdf.csv": lambda: plain(MADE),
    "bdf labels.csv": lambda: table(
        ("Test Time / s", T), ("Voltage / V", V), ("Current / A", I), ("Unix Time / s", T + 1.7e9)
    ),
    "arbin.csv": lambda: table(
        ("Date_Time", dates("%m/%d/%Y %H:%M:%S")),
        ("Test_Time(s)", T),
        ("Cycle_Index", MADE["cycle"]),
        ("Step_Index", MADE["step"]),
        ("Current(A)", I),
        ("Voltage(V)", V),
    ),
    "neware.csv": lambda: table(
        ("Step Type", words("Rest", "CC Chg", "CC DChg")),
        ("Total Time", HMS),
        ("Current(mA)", I * 1e3),
        ("Voltage(V)", V),
        ("Date", dates("%Y-%m-%d %H:%M:%S")),
    ),
    "maccor.001": lambda: table(
        ("Rec#", np.arange(T.size)),
        ("Cyc#", MADE["cycle"]),
        ("Step", MADE["step"]),
        ("TestTime", [clock(it, "d ") for it in T.tolist()]),
        ("Amps", np.abs(I)),
        ("Volts", V),
        ("State", words("R", "C", "D")),
        delimiter="\t",
        above=["Today's Date\t04/01/2024", 'Procedure:\t "cycle, then rest"'],
    ),
    "biologic.mpt": lambda: table(
        ("mode", np.ones(T.size)),
        ("time/s", T),
        ("Ecell/V", V),
        ("<I>/mA", I * 1e3),
        ("(Q-Qo)/mA.h", np.zeros(T.size)),
        ("cycle number", MADE["cycle"]),
        delimiter="\t",
        decimal=",",
        above=["EC-Lab ASCII FILE", "Nb header lines : 4", ""],
    ),
    "landt.txt": lambda: table(
        ("Record", np.arange(T.size)),
        ("TestTime", HMS),
        ("Current/mA", I * 1e3),
        ("Voltage/V", V),
        delimiter="\t",
    ),
    "digatron.csv": lambda: table(
        ("Step", MADE["step"]),
        ("Status", words("PAU", "CHA", "DCH")),
        ("Prog Time", HMS),
        ("Voltage", V),
        ("Current", I),
        delimiter=";",
        units=["", "", "", "[V]", "[A]"],
    ),
    "units below.csv": lambda: table(
        ("t", T / 60), ("U", V * 1e3), ("I", I * 1e3), units=["min", "mV", "mA"]
    ),
    "semicolons.csv": lambda: plain(MADE, delimiter=";", decimal=","),
    "latin.csv": lambda: table(("t/s", T), ("U/V", V), ("I/A", I), ("T/°C", MADE["temp"])).encode(
        "latin-1"
    ),
    "marked.csv": lambda: plain(MADE).encode("utf-8-sig"),
    "wide.csv": lambda: plain(MADE).encode("utf-16"),
    "wide without a mark.txt": lambda: plain(MADE).encode("utf-16-le"),
    "blanks.dat": lambda: table(
        ("t/s", [f"{it:12.3f}" for it in T.tolist()]), ("U/V", V), ("I/A", I), delimiter="   "
    ),
    "windows.csv": lambda: plain(MADE).replace("\n", "\r\n").encode(),
    "nasa.csv": lambda: table(
        ("Voltage_measured", V),
        ("Current_measured", I),
        ("Temperature_measured", MADE["temp"]),
        ("Time", T),
    ),
    "days first.csv": lambda: table(
        ("When", dates("%d.%m.%Y %H:%M:%S")), ("Time (h)", T / 3600), ("Volts", V), ("Amps", I)
    ),
    "zone.csv": lambda: table(
        ("timestamp", dates("%Y-%m-%dT%H:%M:%S.%f+00:00")), ("V", V), ("I", I)
    ),
    "fahrenheit.csv": lambda: table(
        ("Time(s)", T),
        ("Voltage(V)", V),
        ("Current(A)", I),
        ("Temperature(°F)", MADE["temp"] * 1.8 + 32),
    ),
    "thousands.csv": lambda: table(
        ("Time(s)", [f'"{it:,.3f}"' for it in T.tolist()]), ("Voltage(V)", V), ("Current(A)", I)
    ),
    "trailer.csv": lambda: plain(MADE, below=["", "#END", "Test finished,,,", "Total: 4 cycles"]),
    "auxiliary.csv": lambda: "".join(
        f"{line}\n{line.split(',')[0]},,,25.0\n" if at else f"{line}\n"
        for at, line in enumerate(plain(MADE).splitlines())
    ),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(kind: str) -> Path:
        content = KINDS[kind]()
        path = tmp_path / kind
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@pytest.mark.parametrize("kind", KINDS)
def test_every_cyclers_text_says_the_same(kind: str, write: Callable[[str], Path]) -> None:
    found = read(write(kind))
    assert delivered(found) == pytest.approx(CAPACITIES, rel=2e-3)
    assert found.discharges == 4
    temperatures = [it.temperature_c for it in found.tables["tabular_recording"]]  # type: ignore[attr-defined]
    if temperatures[0] is not None:
        assert max(it.max() for it in temperatures) == pytest.approx(33, abs=0.01)


@pytest.mark.parametrize("kind", ["arbin.csv", "neware.csv", "zone.csv"])
def test_dates_tell_when_it_began(kind: str, write: Callable[[str], Path]) -> None:
    first = read(write(kind)).tables["tabular_recording"][0]
    assert first.started_at_unix_s == pytest.approx(START.timestamp(), abs=1)  # type: ignore[attr-defined]


def test_nested_headers_carry_step_and_cycle_down(tmp_path: Path) -> None:
    lines = ["Cycle ID,Cap_Chg(mAh),Cap_DChg(mAh)", ",Step ID,Step Name,Time(h:min:s.ms)",
             ",,Record ID,Time(h:min:s.ms),Vol(mV),Cur(mA),Realtime"]  # fmt: skip
    names = {1.0: "CC_Chg", 0.0: "Rest", -2.0: "CC_DChg"}
    step = cycle = 0.0
    begun = 0.0
    for at in range(T.size):
        if MADE["cycle"][at] != cycle:
            cycle = MADE["cycle"][at]
            lines.append(f"{cycle:.0f},1900,1900")
        if MADE["step"][at] != step:
            step, begun = MADE["step"][at], T[at]
            lines.append(f",{step:.0f},{names[I[at]]},00:00:00.000")
        own = clock(T[at] - begun + 0.001)
        lines.append(f",,{at},{own},{V[at] * 1e3:.1f},{abs(I[at]) * 1e3:.1f},")
    (tmp_path / "neware.csv").write_text("\n".join(lines) + "\n")
    found = read(tmp_path / "neware.csv")
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-3)
    counts = {it.cycle_count for it in found.tables["tabular_recording"]}  # type: ignore[attr-defined]
    assert counts == {1, 2, 3, 4}


@pytest.mark.parametrize("wrap", ["gz", "zst", "zip", "gz in zip"])
def test_what_wraps_a_file_makes_no_difference(tmp_path: Path, wrap: str) -> None:
    content = plain(MADE).encode()
    packed = gzip.compress(content) if "gz" in wrap else content
    if wrap == "zst":
        packed = zstandard.compress(content)
    if "zip" in wrap:
        with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("__MACOSX/._C1.csv", b"\0\5\x16\7")
            opened.writestr("C1.csv.gz" if "gz" in wrap else "C1.csv", packed)
    else:
        (tmp_path / f"C1.csv.{wrap}").write_bytes(packed)
    found = read(next(tmp_path.iterdir()), replace(FACTS, battery_id=None))
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.battery_id == "C1"


def test_parquet_says_the_same_with_its_own_types(tmp_path: Path) -> None:
    t, v, i = T, V, I  # noqa: F841
    duckdb.sql(
        "copy (select timestamp '2024-03-30 12:00:00' + to_microseconds((t * 1e6)::bigint)"
        f" as timestamp, v as voltage, i * 1000 as 'Current (mA)' from (select unnest(t) as t,"
        f" unnest(v) as v, unnest(i) as i from (select {T.tolist()} as t, {V.tolist()} as v,"
        f" {I.tolist()} as i))) to '{tmp_path}/C1.parquet' (format parquet)"
    )
    found = read(tmp_path / "C1.parquet")
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-5)


def test_a_workbooks_summary_is_not_its_data(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Test report", "made up"])
    head = ["Test_Time(s)", "Date_Time", "Step_Index", "Current(A)", "Voltage(V)"]
    numbers = (MADE[name].tolist() for name in ("step", "i", "v"))
    rows = list(zip(T.tolist(), dates("%Y-%m-%d %H:%M:%S"), *numbers, strict=True))
    for name, part in (("Channel_1-1", rows[:400]), ("Channel_1-2", rows[400:])):
        sheet = book.create_sheet(name)
        for row in [head, *part]:
            sheet.append(row)
    summary = book.create_sheet("Statistics")
    summary.append([*head, "Cycles"])
    summary.append([*rows[-1], 4])
    book.save(tmp_path / "C1.xlsx")
    found = read(tmp_path / "C1.xlsx")
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)


def test_columns_named_by_hand_go_before_what_headers_say(tmp_path: Path) -> None:
    content = table(
        ("a", T / 60), ("b", V * 1e3), ("c", -I), ("Voltage(V)", V * 0), ("Current(A)", I * 0)
    )
    (tmp_path / "own.csv").write_text(content)
    columns = named(time="a:min", voltage="b:mV", current="c")
    reading = replace(FACTS, columns=columns, current_sign="discharge-positive")
    assert delivered(read(tmp_path / "own.csv", reading)) == pytest.approx(CAPACITIES, rel=1e-5)
    with pytest.raises(LoaderError, match="parsec is no unit of time; known are s, sec"):
        read(tmp_path / "own.csv", replace(FACTS, columns=named(time="a:parsec")))
    with pytest.raises(LoaderError, match="no column x, y; found a, b, c"):
        read(tmp_path / "own.csv", replace(FACTS, columns=named(time="x", voltage="y")))


def test_a_date_that_may_be_either_is_told_by_the_rest_or_refused(tmp_path: Path) -> None:
    def written(first: datetime) -> Path:
        days = [f"{first + timedelta(seconds=it):%d/%m/%Y %H:%M:%S}" for it in T.tolist()]
        (tmp_path / "C1.csv").write_text(table(("Date", days), ("V", V), ("I", I)))
        return tmp_path / "C1.csv"

    told = read(written(datetime(2024, 3, 30, 12, tzinfo=UTC)))  # the 30th is no month
    start = told.tables["tabular_recording"][0].started_at_unix_s  # type: ignore[attr-defined]
    assert start == START.timestamp()
    path = written(datetime(2024, 3, 4, 1, tzinfo=UTC))
    assert read(path).notes[0].startswith("dates may be day/month or month/day")
    reading = replace(FACTS, columns=named(clock="Date:%d/%m/%Y %H:%M:%S"))
    start = read(path, reading).tables["tabular_recording"][0].started_at_unix_s  # type: ignore[attr-defined]
    assert start == datetime(2024, 3, 4, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("time,voltage,current\n0,4,x\n1,4,1\n", r"row 2: 'x' where a number is expected"),
        ("time,voltage,current\n0,4,1\n,4,1\n", "1 of 2 samples have no time, the first in row 3"),
        ("time,voltage,amperage\n0,4,1\n", r"--column current=NAME; found time, voltage, amperage"),
        ("timestamp,V,I\nsoon,4,1\nlater,4,1\n", "say how it is spelt with --column 'clock=NAME"),
        ("time,cell,V,I\n0,A,4,1\n0,B,3,1\n", "by the column cell: say --battery-column 'cell'"),
        ("time,cycle,V,I\n90,3,4,1\n91,3,4,1\n2,1,3,1\n3,1,3,1\n", "row 4: time goes back"),
        (",".join(map(str, range(100_000))) + "\n", r"over 2,000 columns: more than a table"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        ("<!DOCTYPE html><title>404</title>", "a web page, not a recording"),
    ],
)
def test_what_cannot_be_read_says_why_in_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "C1.csv").write_text(content)
    with pytest.raises(LoaderError, match=said) as raised:
        read(tmp_path / "C1.csv")
    assert "\n" not in str(raised.value)


def test_bombs_are_refused_before_they_are_whole(tmp_path: Path) -> None:
    head = b"time,voltage,current\n"
    (tmp_path / "C1.csv.gz").write_bytes(gzip.compress(head + b"0,4,1\n" * 40_000_000))
    with pytest.raises(LoaderError, match="refused: a bomb"):
        read(tmp_path / "C1.csv.gz")


def test_what_is_no_recording_is_passed_over_and_what_is_no_file_too(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("The columns are time, voltage, current.\n")
    (tmp_path / "page.html").write_text("<html>about</html>")
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "test.mpr").write_bytes(b"BIO-LOGIC MODULAR FILE\x1a\0")
    (tmp_path / "._C1.csv").write_text("leftover")
    (tmp_path / "C1.csv").write_text(plain(MADE))
    os.mkfifo(tmp_path / "pipe.csv")
    found = list(sources.expand(sources.find([str(tmp_path)]), together=False))
    passed = {
        it.reason: it.shown for it in found if isinstance(it, sources.Refused) and it.is_passed
    }
    assert len(found) == 5
    assert set(passed) == {
        "the file is empty",
        "not a regular file",
        "not a recording that is known",
        "BioLogic's binary file: export it as text (.mpt) from EC-Lab, and load that",
    }
    assert passed["not a regular file"].endswith("pipe.csv")


def test_the_registry_tries_readers_in_order() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("[Content_Types].xml", "<Types/>")
    for head, name in (
        (Head("a.mat", b"MATLAB 5.0 MAT-file"), "matlab"),
        (Head("b", b"MATLAB 5.0 MAT-file"), "matlab"),
        (Head("c", b"PAR1"), "parquet"),
        (Head("d.ndax", buffer.getvalue()), "neware"),
        (Head("e", buffer.getvalue()), "workbook"),
        (Head("metadata.csv", ",".join(reexport.COLUMNS).encode()), "reexport"),
        (Head("f.whatever", plain(MADE)[:2000].encode()), "text"),
        (Head("g.csv", b"name,age\n1,2\n"), None),
    ):  # fmt: skip
        assert recognise(head) == name
    assert "text" in TABLES


def test_inspect_tells_how_a_file_would_be_read(
    write: Callable[[str], Path], capsys: pytest.CaptureFixture[str], recordings: Path
) -> None:
    assert inspect.main([str(write("maccor.001")), "--rated-capacity-ah", "2"]) == 0
    said = capsys.readouterr().out
    assert "text, utf-8, header in line 3, columns parted by tab, decimal ." in said
    assert "most columns named as Maccor does" in said
    assert re.search(r"Amps +current +A +1 +1 +1\n", said)
    assert "battery maccor (tabular): 16 recordings, 4 discharges, 726 samples" in said
    assert re.search(r" 3 discharge +58 samples, +3,420 s", said)
    assert inspect.main([str(recordings / "SRW1.mat")]) == 0
    assert "battery SRW1 (randomized)" in capsys.readouterr().out
    path = write("bdf.csv")
    path.write_text("time,voltage\n0,4\n1,4\n")
    assert inspect.main([str(path)]) == 1
    assert "cannot be read: no column is known to be current" in capsys.readouterr().out
