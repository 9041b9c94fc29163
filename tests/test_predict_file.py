"""A posted file: answered as the fleet is, refused in a line, and gone when it is answered."""

import json
import math
import os
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest

import database
import embedded
from api import scratch
from api.store import QUERIES, StoreError
from loader import pool
from tests.conftest import ROOT, rows
from tests.test_api import assert_problem

CASES = ROOT / "tests" / "cases"
CONTROL = (CASES / "00-control.csv").read_bytes()
FACTS = {"rated_capacity_ah": 2, "cutoff_v": 2.5}
PATIENCE_S = 300  # dbt makes the template for the first file


@pytest.fixture(scope="module")
def asked(service: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service, timeout=PATIENCE_S) as client:
        yield client


def post(client: httpx2.Client, name: str, content: bytes, **said: Any) -> httpx2.Response:
    return client.post("/predict/file", files={"file": (name, content)}, params=said)


def left() -> tuple[list[str], list[Path]]:
    """Databases and folders of files that are there."""
    with closing(psycopg2.connect(database.embedded_url())) as opened:
        found = rows(
            opened, "select datname from pg_database where datname ~ %s", f"^{scratch.NAME}_[0-9n]"
        )
    return [name for (name,) in found], list((embedded.FOLDER / "files").glob("*"))


@pytest.fixture(scope="module")
def answer(
    asked: httpx2.Client, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """An archive of two of the fleet's files, a table and a text."""
    archive = tmp_path_factory.mktemp("posted") / "cells.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("S0002.mat", "SRW1.mat"):
            opened.write(recordings / name, name)
        opened.writestr("00-control.csv", CONTROL)
        opened.writestr("README.txt", "Two cells and a table.")
    answered = post(asked, archive.name, archive.read_bytes())
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.json()
    return found


def test_cycles_features_and_forecast_are_the_fleets(
    answer: dict[str, Any], asked: httpx2.Client
) -> None:
    told = {it["battery_id"]: it for it in answer["batteries"]}
    assert list(told) == ["00-control", "S0002", "SRW1"]
    for battery_id in ("S0002", "SRW1"):
        fleet = asked.get(f"/batteries/{battery_id}/cycles", params={"limit": 5000}).json()
        assert told[battery_id]["cycles"] == fleet["cycles"]
        last = max(it["cycle_index"] for it in fleet["cycles"] if it["is_usable"])
        curve = asked.get(f"/batteries/{battery_id}/cycles/{last}/curve").json()
        assert told[battery_id]["curve"] == curve
    own = told["S0002"]
    forecast = asked.get("/batteries/S0002/forecast", params={"horizon": 200}).json()
    assert own["forecast"] == {name: forecast[name] for name in own["forecast"]}
    predicted = asked.get("/batteries/S0002/prediction").json()
    assert own["next_cycle"] == {name: predicted[name] for name in own["next_cycle"]}
    assert answer["is_simulated"]
    assert answer["model_version"] == forecast["model_version"]


def test_what_is_lacking_is_said(answer: dict[str, Any]) -> None:
    table = answer["batteries"][0]
    assert [it["soh"] for it in table["cycles"]] == [None] * 4
    assert (table["forecast"], table["next_cycle"]) == (None, None)
    assert table["refused"] == "its rated capacity is not known: send rated_capacity_ah"
    assert answer["notes"] == ["cells.zip/README.txt: passed over: not a recording that is known"]


def test_nothing_of_a_file_is_kept(answer: dict[str, Any], asked: httpx2.Client) -> None:
    assert "00-control" in [it["battery_id"] for it in answer["batteries"]]
    assert asked.get("/batteries/00-control").status_code == 404
    assert left() == ([], [])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 99, "not a recording that is known"),
        ("notes.txt", b"hello, world\n" * 99, "name yours with column time=NAME"),
        ("../../broken.mat", b"MATLAB 5.0" * 99, "not a readable MATLAB file"),
    ],
)
def test_what_is_no_recording_is_refused_by_its_own_name(
    name: str, content: bytes, said: str, asked: httpx2.Client
) -> None:
    detail = assert_problem(post(asked, name, content), 422, said)["detail"]
    assert detail.startswith(f"{Path(name).name}: ")
    assert "/" not in detail
    assert left() == ([], [])


def test_a_column_that_says_nothing_is_refused(asked: httpx2.Client) -> None:
    assert_problem(post(asked, "x.csv", CONTROL, column="speed"), 422, "column speed: write ROLE=")
    assert_problem(post(asked, "x.csv", CONTROL, column="time=Zeit"), 422, "no column Zeit")
    assert_problem(asked.post("/predict/file"), 422, "field named file")


def test_a_file_is_called_as_its_end_says(asked: httpx2.Client) -> None:
    answered = post(asked, "..\\../C7_2024-03-01.csv", CONTROL, **FACTS).json()
    (battery,) = answered["batteries"]
    assert (answered["filename"], battery["battery_id"]) == ("C7_2024-03-01.csv", "C7")
    assert [it["soh"] for it in battery["cycles"]] == pytest.approx([0.95, 0.9, 0.85, 0.8], 1e-5)


def test_files_at_once_know_nothing_of_each_other(asked: httpx2.Client) -> None:
    names = [f"cell{number}.csv" for number in range(3)]
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda it: post(asked, it, CONTROL, **FACTS).json(), names))
    for name, answered in zip(names, answers, strict=True):
        assert [it["battery_id"] for it in answered["batteries"]] == [Path(name).stem]
    assert left() == ([], [])


def test_what_a_killed_service_left_is_swept_but_not_what_is_in_use() -> None:
    names = [f"{scratch.NAME}_{slot}" for slot in (1, 2)]
    with closing(psycopg2.connect(database.embedded_url())) as other, other.cursor() as cursor:
        other.autocommit = True
        for slot, name in enumerate(names, start=1):
            cursor.execute(f"create database {name}")
            (embedded.FOLDER / "files" / str(slot)).mkdir()
        cursor.execute(scratch.LOCK, (scratch.NAME, 2))
        scratch.sweep()
        assert left() == ([names[1]], [embedded.FOLDER / "files" / "2"])
    scratch.sweep()
    assert left() == ([], [])


def test_a_file_waits_for_a_slot_and_then_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "WAIT_S", 0.0)
    with closing(psycopg2.connect(database.embedded_url())) as other, other.cursor() as cursor:
        for slot in range(1, scratch.SLOTS + 1):
            cursor.execute(scratch.LOCK, (scratch.NAME, slot))
        with (
            pytest.raises(StoreError, match="being computed: try again"),
            scratch.scratch(),
        ):
            pytest.fail("no slot was free")


def test_a_reader_that_dies_or_takes_too_long_is_ended() -> None:
    assert pool.alone(math.sqrt, 4, 60, 4) == 2
    slow = pool.alone(time.sleep, 60, 0.05, 4)
    dead = pool.alone(os._exit, 3, 60, 4)
    assert isinstance(slow, pool.Died)
    assert isinstance(dead, pool.Died)
    assert "takes longer than" in slow.how
    assert "ended with status 3" in dead.how


def test_a_file_that_cannot_be_computed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with scratch.scratch() as own:
        monkeypatch.setitem(QUERIES, "compute", "select 1 / 0")
        with pytest.raises(scratch.UncomputableError, match="division by zero"):
            own.compute()
        monkeypatch.setattr(scratch, "COMPUTE_S", 0.05)
        monkeypatch.setitem(QUERIES, "compute", "select pg_sleep(60)")
        with pytest.raises(scratch.UncomputableError, match="takes longer than"):
            own.compute()


def test_the_route_is_described(asked: httpx2.Client) -> None:
    route = asked.get("/openapi.json").json()["paths"]["/v1/predict/file"]["post"]
    assert "multipart/form-data" in route["requestBody"]["content"]
    assert {"413", "422", "503"} <= set(route["responses"])
    assert "RecordedCycle" in json.dumps(asked.get("/openapi.json").json()["components"])
