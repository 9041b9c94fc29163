"""Batteries that are alive: their files come piece by piece, in any order, twice, or corrected."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import psycopg2
import pytest
from psycopg2.extensions import connection, parse_dsn

from tests import days
from tests.cells import cell, plain
from tests.conftest import (
    NASA,
    PATIENCE_S,
    ROOT,
    WARM,
    Server,
    build,
    load,
    matlab_file,
    rebuild,
    rows,
)
from tests.days import FACTS, deliver, written
from tests.test_loader import aging_file, discharge

BUILT = (
    "public_intermediate.int_recording_bounds",
    "public_intermediate.int_recording_order",
    "public_intermediate.int_discharges",
    "public_intermediate.int_operating_points",
    "public_intermediate.int_charges",
    "cycle_series",
    "cycle_quality",
    "quality_count",
    "battery_summary",
    "battery_history",
)


def contents(url: str) -> dict[str, list[tuple]]:  # type: ignore[type-arg]
    """Every row of every table that dbt keeps, as text."""
    with closing(psycopg2.connect(url)) as opened:
        return {
            name: rows(opened, f"select it::text from {name} as it order by 1") for name in BUILT
        }


def loaded(*arguments: object, url: str = "") -> str:
    done = load(*arguments, *FACTS, **({"DATABASE_URL": url} if url else {}))
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(url: str) -> None:
    """Build what was never built before; dbt's own tests are for where it is built bit by bit."""
    done = build(url, "--exclude-resource-type", "test")
    assert done.returncode == 0, done.stdout


def refused(*arguments: object) -> str:
    made = load(*arguments, *FACTS)
    assert made.returncode == 1
    assert "Traceback" not in made.stderr
    return made.stderr


def pieces(sql: connection, battery_id: str) -> list[str]:
    query = "select piece from staging.source_file where battery_id = %s order by begins_s"
    return [name for (name,) in rows(sql, query, battery_id)]


@pytest.fixture
def week(tmp_path: Path) -> list[Path]:
    """A week of cell C1, a file a day."""
    return deliver(tmp_path, "C1", days.cycling(1, 30))


@pytest.mark.long(25)
def test_a_fleet_delivered_in_any_order_is_the_fleet_loaded_at_once(
    server: Server, tmp_path: Path
) -> None:
    once, bit_by_bit = server.create(), server.create()
    early, late = tmp_path / "early", tmp_path / "late"
    for folder in (early, late):
        folder.mkdir()
    for number in range(6):
        deliver(late, f"C{number:02}", days.cycling(number, 60))
    paths = sorted(late.iterdir())
    assert len(paths) > 60  # ten days or more of each
    # two days are delivered wrong at first: the thermometer was off
    wrong = [early / name for name in ("C03_2024-03-08.csv", "C05_2024-03-04.csv")]
    for path in wrong:
        lines = (late / path.name).read_text().splitlines(keepends=True)
        path.write_text(lines[0] + "".join(f"{it.rpartition(',')[0]},0.0\n" for it in lines[1:]))
    corrected = [late / path.name for path in wrong]

    loaded(late, url=once)
    built(once)

    rng = random.Random(5)
    order = [it for it in paths if it not in corrected]
    rng.shuffle(order)
    batches = [
        [*order[:30], *wrong],
        [*order[30:50], *rng.sample(order[:30], 10)],
        [*order[50:], *corrected],
        [*wrong, *rng.sample(paths, 10)],  # delivered again, the wrong ones too: nothing changes
    ]
    for number, batch in enumerate(batches):
        rng.shuffle(batch)
        said = loaded(*batch, url=bit_by_bit)
        assert said.count("in place of") == (2 if number == 2 else 0)
        if number == 0:
            tested = build(bit_by_bit)
            assert tested.returncode == 0, tested.stdout
        else:
            rebuild(bit_by_bit)
    assert said.count("nothing to do") == len(batches[-1])
    found, wanted = contents(bit_by_bit), contents(once)
    for name in BUILT:
        assert found[name] == wanted[name], name
    assert len(found["cycle_series"]) == 6 * 60
    rebuild(bit_by_bit, "--full-refresh")
    assert contents(bit_by_bit) == wanted
    for url in (once, bit_by_bit):
        server.drop(url)


@pytest.mark.long(20)
def test_any_cuts_in_any_order_are_what_they_are_at_once(server: Server, tmp_path: Path) -> None:
    """Eight cells, each cut in its own way, half of them with pulses."""
    once, bit_by_bit = server.create(), server.create()
    rng = random.Random(11)
    files = []
    for number in range(8):
        samples = days.cycling(number, 12, pulses=number % 2 == 0)
        cuts = sorted(rng.sample(range(1, len(samples)), rng.randint(3, 12)))
        for start, end in pairwise([0, *cuts, len(samples)]):
            files.append(tmp_path / f"C{number}_2024-03-01 {rng.random()}.csv")
            files[-1].write_text(written(samples[start:end]))
    loaded(*files, url=once)
    built(once)
    rng.shuffle(files)
    third = -(-len(files) // 3)
    for at in range(0, len(files), third):
        loaded(*files[at : at + third], url=bit_by_bit)
        if at:
            rebuild(bit_by_bit)
        else:
            built(bit_by_bit)
    wanted, found = contents(once), contents(bit_by_bit)
    for name in BUILT:
        assert found[name] == wanted[name], name
    assert len(found["cycle_series"]) == 8 * 12
    # what is taken out is gone, and comes back as it was
    for path in files[::11]:
        piece = ("--piece", path.name, "--yes")
        battery_id = path.name.partition("_")[0]
        assert load("remove", battery_id, *piece, DATABASE_URL=bit_by_bit).returncode == 0
    rebuild(bit_by_bit)
    without = contents(bit_by_bit)
    assert without["cycle_series"] != wanted["cycle_series"]
    rebuild(bit_by_bit, "--full-refresh")
    assert contents(bit_by_bit) == without
    loaded(*files, url=bit_by_bit)
    rebuild(bit_by_bit)
    assert contents(bit_by_bit) == wanted
    for url in (once, bit_by_bit):
        server.drop(url)


@pytest.mark.long(20)
def test_a_killed_build_is_completed_by_the_next(server: Server, week: list[Path]) -> None:
    once, killed = server.create(), server.create()
    loaded(*week, url=once)
    built(once)
    loaded(*week[1:3], url=killed)
    built(killed)
    loaded(*week[3:], url=killed)
    for model in ("int_recording_order", "int_charges", "cycle_series"):
        _kill_at(model, killed)
    loaded(week[0], url=killed)
    _kill_at("int_discharges", killed)
    rebuild(killed)
    assert contents(killed) == contents(once)
    for url in (once, killed):
        server.drop(url)


def _kill_at(model: str, url: str) -> None:
    """Run dbt until it begins with a model.

    The one that was killed before gives way at once, and not when it has been silent for long.
    """
    with closing(psycopg2.connect(url)) as opened, opened:
        opened.cursor().execute("truncate public_intermediate.dbt_run")
    target = f"target/{parse_dsn(url)['dbname']}"
    command = ("dbt", "--no-use-colors", "run", "--project-dir", "dbt_project")
    made = WARM["dbt"].run(
        (*command, "--target-path", target),
        {**os.environ, "PWD": str(ROOT), "DATABASE_URL": url},
        PATIENCE_S,
        until=rf"START .*\.{model} ",
    )
    assert made is not None
    assert made.returncode == -signal.SIGKILL, made.stdout


@pytest.mark.long(25)
@pytest.mark.nasa
def test_nasas_cell_cut_into_days_is_what_it_is_whole(
    server: Server, nasa: str, sql: connection, tmp_path: Path
) -> None:
    assert NASA is not None
    battery_id = "B0018"
    path = NASA / "aging" / f"{battery_id}.mat"
    files = deliver(tmp_path, battery_id, _samples(path))
    once, bit_by_bit = server.create(), server.create()
    loaded(tmp_path, url=once)
    built(once)
    random.Random(7).shuffle(files)
    third = -(-len(files) // 3)
    for at in range(0, len(files), third):
        loaded(*files[at : at + third], url=bit_by_bit)
        if at:
            rebuild(bit_by_bit)
        else:
            built(bit_by_bit)
    found = contents(bit_by_bit)
    assert found == contents(once)
    # in one file, and NASA's own: its rests before a load have a sample, a table's steps have none
    (tmp_path / "whole.csv").write_text(written(_samples(path)))
    loaded(tmp_path / "whole.csv", url=once)
    rebuild(once)
    with closing(psycopg2.connect(once)) as opened:
        cut, whole = (_features(opened, name) for name in (battery_id, "whole"))
    some = np.arange(cut.shape[1]) != CHARGE
    assert cut[:, some] == pytest.approx(whole[:, some], rel=2e-5, nan_ok=True)
    # over midnight a charge is reckoned with the current after it
    assert cut[:, CHARGE] == pytest.approx(whole[:, CHARGE], rel=2e-3, nan_ok=True)
    assert cut[:, 0] == pytest.approx(_features(sql, battery_id)[:, 0], rel=5e-3)
    for url in (once, bit_by_bit):
        server.drop(url)


CHARGE = 3  # position of charge_capacity


def _features(opened: connection, battery_id: str) -> days.Floats:
    query = (
        "select discharge_capacity, avg_voltage_load, time_to_discharge, charge_capacity,"
        " rest_hours, throughput_ah from cycle_features where battery_id = %s order by cycle_index"
    )
    return np.array(rows(opened, query, battery_id), dtype=float)


def _samples(path: Path) -> days.Floats:
    """An aging cell's recordings one after another, as a cycler would have logged them."""
    parts = []
    for it in matlab_file(path.read_bytes(), path.stem).tables["aging_recording"]:
        year, month, day, hour, minute, second = it.date_vector.tolist()  # type: ignore[attr-defined]
        start = np.datetime64(
            f"{year:04.0f}-{month:02.0f}-{day:02.0f}T{hour:02.0f}:{minute:02.0f}", "s"
        ).astype(float)
        columns = (it.voltage_measured_v, it.current_measured_a, it.temperature_measured_c)  # type: ignore[attr-defined]
        parts.append(np.column_stack([start + second + it.time_s, *columns]))  # type: ignore[attr-defined]
    return np.concatenate(parts)


def test_a_day_more_is_added_and_the_same_again_does_nothing(
    empty: str, sql: connection, week: list[Path]
) -> None:
    assert "C1: " in loaded(*week[:2])
    assert "nothing to do" in loaded(week[0])
    said = loaded(*week)
    assert said.count("nothing to do") == 2
    assert pieces(sql, "C1") == [it.name for it in week]
    assert loaded(*week).count("nothing to do") == len(week)


def test_a_day_of_rest_like_the_one_before_is_another_day(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    rest = np.array([[days.BEGIN_S + 60 * at, 4.18, 0.0, 25.0] for at in range(60)])
    for day in range(3):
        (tmp_path / f"C1_2024-03-0{day + 1}.csv").write_text(
            written(rest + np.array([day * days.DAY_S, 0, 0, 0]))
        )
    loaded(tmp_path)
    assert len(pieces(sql, "C1")) == 3
    copy = tmp_path / "C1_2024-03-01 again.csv"
    copy.write_text(written(rest).replace("4.18000", "4.18"))
    assert "same recordings from C1_2024-03-01.csv" in loaded(copy)


def test_a_corrected_day_takes_the_place_of_the_first_and_is_said(
    empty: str, sql: connection, week: list[Path], tmp_path: Path
) -> None:
    loaded(*week)
    corrected = tmp_path / "C1_2024-03-03 corrected.csv"
    corrected.write_text(week[2].read_text().replace(",25.", ",26."))
    said = loaded(corrected, "--battery-id", "C1")
    assert "in place of C1_2024-03-03.csv" in said
    assert pieces(sql, "C1")[2] == corrected.name
    assert "replaced by C1_2024-03-03 corrected.csv" in loaded(week[2])
    assert pieces(sql, "C1")[2] == corrected.name
    # until it is taken out again
    assert load("remove", "C1", "--piece", corrected.name, "--yes").returncode == 0
    loaded(week[2])
    assert pieces(sql, "C1") == [it.name for it in week]


def test_a_partial_overlap_is_refused_unless_the_user_says_which_holds(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    samples = days.cycling(1, 12)
    one, two = tmp_path / "C1 one.csv", tmp_path / "C1 two.csv"
    one.write_text(written(samples[:300]))
    two.write_text(written(samples[200:500] + np.array([0, 0, 0, 1])))
    loaded(one, "--battery-id", "C1")
    said = refused(two, "--battery-id", "C1")
    for part in ("C1 one.csv", "C1 two.csv", "overlap in part", "--replace 'C1 one.csv'"):
        assert part in said
    assert pieces(sql, "C1") == [one.name]
    assert "no piece x to replace: it has C1 one.csv" in refused(
        two, "--battery-id", "C1", "--replace", "x"
    )
    assert "in place of C1 one.csv" in loaded(two, "--battery-id", "C1", "--replace", one.name)
    assert pieces(sql, "C1") == [two.name]


def test_a_part_of_what_is_there_adds_nothing_and_a_grown_file_replaces(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    samples, path = days.cycling(1, 12), tmp_path / "C1.csv"
    path.write_text(written(samples[:300]))
    loaded(path)
    part = tmp_path / "part.csv"
    part.write_text(written(samples[50:250]))
    assert "same recordings from C1.csv" in loaded(part, "--battery-id", "C1")
    path.write_text(written(samples))
    assert "in place of C1.csv" in loaded(path)
    assert rows(sql, "select samples from staging.source_file") == [(len(samples),)]


def test_a_file_of_the_same_name_with_another_day_is_another_piece(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    path = tmp_path / "today.csv"
    for _, own in list(days.daily(days.cycling(1, 12)))[:2]:
        path.write_text(written(own))
        loaded(path, "--battery-id", "C1")
    assert pieces(sql, "C1") == ["today.csv", "today.csv (2)"]


def test_without_dates_a_test_that_goes_on_is_added_and_one_that_restarts_refused(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    made = cell()
    at = int(np.flatnonzero(made["i"] < 0)[20])
    first = {name: it[:at] for name, it in made.items()}
    second = {name: it[at:] for name, it in made.items()}
    again = second | {"t": second["t"] - second["t"][0] + 0.001, "v": second["v"] + 0.01}
    names = [tmp_path / f"{it}.csv" for it in ("mon", "tue", "wed")]
    for path, it in zip(names, (first, second, again), strict=True):
        path.write_text(plain(it))
    loaded(names[1], "--battery-id", "C1")
    loaded(names[0], "--battery-id", "C1")
    assert pieces(sql, "C1") == ["mon.csv", "tue.csv"]
    said = refused(names[2], "--battery-id", "C1")
    assert "mon.csv" in said
    assert "--replace" in said
    dated = tmp_path / "dated.csv"
    dated.write_text(written(days.cycling(1, 1)))
    assert "dated.csv has dates and mon.csv has none" in refused(dated, "--battery-id", "C1")
    # loaded at once they are put in order by their names, and are one piece
    loaded(names[0], names[2], "--battery-id", "C2")
    assert pieces(sql, "C2") == ["mon.csv and 1 more"]


def test_a_battery_that_one_file_is_stays_whole(
    empty: str, sql: connection, tmp_path: Path, week: list[Path]
) -> None:
    aging_file(tmp_path / "C1.mat", discharge(), name="C1")
    loaded(tmp_path / "C1.mat")
    assert "C1 is loaded whole from C1.mat" in refused(week[0])
    loaded(week[0], "--replace", "C1.mat")
    assert pieces(sql, "C1") == [week[0].name]


def test_two_loaders_at_once_both_end_up_in(empty: str, sql: connection, week: list[Path]) -> None:
    command = [sys.executable, "-m", "loader"]
    both = [
        subprocess.Popen([*command, *map(str, own), *FACTS], cwd=ROOT, stdout=subprocess.DEVNULL)
        for own in (week[::2], week[1::2])
    ]
    assert [it.wait(timeout=120) for it in both] == [0, 0]
    assert pieces(sql, "C1") == [it.name for it in week]


def test_removing_asks_and_tells_what_there_is(
    empty: str, sql: connection, week: list[Path]
) -> None:
    loaded(*week)
    asked = load("remove", "C1")
    assert asked.returncode == 1
    assert "say --yes" in asked.stderr
    wrong = load("remove", "C1", "--piece", "x.csv", "--yes")
    assert wrong.returncode == 1
    assert f"C1 has no piece x.csv: it has {week[0].name}" in wrong.stderr
    assert load("remove", "C1", "--piece", week[3].name, "--yes").returncode == 0
    assert pieces(sql, "C1") == [it.name for it in week if it != week[3]]
    shown = json.loads(load("status", "--json").stdout)
    assert [it["piece"] for it in shown] == [it.name for it in week if it != week[3]]
    assert shown[0]["begins_at"].startswith("2024-03-01")
    assert load("remove", "C1", "--yes").returncode == 0
    assert rows(sql, "select count(*) from staging.tabular_recording") == [(0,)]
    loaded(*week)  # nothing of them is remembered


def test_a_watched_folder_is_loaded_as_it_fills(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    own = [it for _, it in days.daily(days.cycling(1, 12))]
    (inbox / "C1_1.csv").write_text(written(own[0]))
    log = tmp_path / "complaints"
    first = watching(inbox, log)
    try:
        wait_for(sql, 1)
        growing = inbox / "C1_2.csv"
        text = written(own[1])
        with growing.open("w") as file:  # rests for no longer than it takes to write on
            for line in text.splitlines(keepends=True)[:60]:
                file.write(line)
                file.flush()
                time.sleep(0.03)
            assert rows(sql, "select count(*) from staging.source_file") == [(1,)]
            file.write("".join(text.splitlines(keepends=True)[60:]))
        wait_for(sql, 2)
        (inbox / "broken.csv").write_text(days.HEADER + "2024-03-05 00:00:00,much,1,25\n")
        wait_until(lambda: "broken.csv" in log.read_text(), "the broken file is not told")
    finally:
        said = stopped(first)
    assert [line.split(": ")[1] for line in said[1:3]] == ["C1", "C1 from C1_2.csv"]
    assert said[-1].startswith("stopped")
    assert log.read_text().count("broken.csv") == 1
    (inbox / "C1_3.csv").write_text(written(own[2]))
    second = watching(inbox, log)
    try:
        wait_for(sql, 3)
    finally:
        said = stopped(second)
    assert len(said) == 3  # what was loaded before is no event
    assert "C1_3.csv" in said[1]


def watching(inbox: Path, log: Path) -> "subprocess.Popen[str]":
    with log.open("w") as file:
        return subprocess.Popen(
            [
                sys.executable, "-m", "loader", "watch", str(inbox), "--rest-s", "1",
                "--battery-id", "C1", *FACTS,
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=file, text=True,
        )  # fmt: skip


def stopped(process: "subprocess.Popen[str]") -> list[str]:
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[0].splitlines()
    assert process.returncode == 0
    return said


def wait_for(sql: connection, count: int) -> None:
    def is_so() -> bool:
        if rows(sql, "select to_regclass('staging.source_file')") == [(None,)]:
            return False
        return rows(sql, "select count(*) from staging.source_file") == [(count,)]

    wait_until(is_so, f"{count} files are not loaded")


def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    limit = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < limit, otherwise
        time.sleep(0.1)


def test_a_database_without_pieces_is_brought_over(
    server: Server, empty: str, sql: connection, recordings: Path, tmp_path: Path
) -> None:
    files = [*recordings.iterdir(), tmp_path / "C1.csv"]
    files[-1].write_text(written(days.cycling(1, 30)))
    new = server.create()
    loaded(*files, url=new)
    built(new)
    loaded(*files)
    with sql.cursor() as cursor:  # as the tables were before there were pieces
        for table in ("aging_recording", "aging_impedance", "randomized_step", "tabular_recording"):
            cursor.execute(
                f"alter table staging.{table} drop constraint {table}_pkey, drop column piece,"
                " add primary key (battery_id, recording_index)"
            )
        cursor.execute(
            "drop table staging.replaced_file;"
            " alter table staging.tabular_recording drop column pulse;"
            " alter table staging.source_file drop constraint source_file_pkey,"
            " drop column piece, drop column parts, drop column readers, drop column begins_s,"
            " drop column ends_s, drop column origin_s, drop column is_dated,"
            " add primary key (battery_id);"
            " comment on schema staging is 'of an earlier version'"
        )
    query = "select battery_id, {}, loaded_at from staging.source_file where {} order by 1"
    before = rows(sql, query.format("file_name", "true"))
    assert "run `python -m loader status`, which brings them over" in build(empty).stdout
    assert "C1.csv" in load("status").stdout
    later = days.cycling(1, 30) + np.array([40 * days.DAY_S, 0, 0, 0])
    (tmp_path / "later.csv").write_text(written(later))
    loaded(tmp_path / "later.csv", "--battery-id", "C1")
    assert rows(sql, query.format("piece", "piece <> 'later.csv'")) == before
    assert pieces(sql, "C1") == ["C1.csv", "later.csv"]
    assert load("remove", "C1", "--piece", "later.csv", "--yes").returncode == 0
    built(empty)
    assert contents(empty) == contents(new)
    server.drop(new)
