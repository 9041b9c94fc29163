"""Windows are posted by cycle, by column or as a table: each is read alike, or refused in words."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api import reading
from api.schemas import BOUNDS, EXAMPLE_CYCLE, EXAMPLE_WINDOW, Posted
from tests.test_api import assert_problem
from tests.test_api_problems import many

COLUMNS = {name: [cycle[name] for cycle in EXAMPLE_WINDOW] for name in EXAMPLE_CYCLE}
POSTED = TypeAdapter(Posted)
PACKED = '"' + json.dumps(EXAMPLE_CYCLE).replace('"', '""') + '"'


def table(separator: str = ",", point: str = ".", **beside: str) -> str:
    """The example as CSV, with other columns beside; # is the number of the row."""
    head = separator.join([*beside, *EXAMPLE_CYCLE])
    values = (str(it).replace(".", point) for it in EXAMPLE_CYCLE.values())
    line = separator.join([*beside.values(), *values])
    lines = [line.replace("#", str(number)) for number in range(len(EXAMPLE_WINDOW))]
    return "\n".join([head, *lines]) + "\n"


def csv(text: str) -> dict[str, Any]:
    return {"content": text.encode(), "headers": {"content-type": "text/csv; charset=utf-8"}}


@pytest.mark.parametrize(
    "body",
    [
        {"json": COLUMNS},
        {"content": json.dumps(EXAMPLE_WINDOW)},  # nothing said of what it is
        csv(table()),
        csv(table(";", ",")),
        csv(table("\t")),
        csv("\ufeff" + table(";", ",").replace("\n", "\r\n")),
        # as this service and a query of cycle_features tell cycles
        csv(table(cycle_index="#", started_at="2008-04-02T15:25:41", reason="kept", soh="")),
        csv(table(battery_id="B0005", soh_target="\\N", ohmic_resistance="NULL")),
        # rows of cycle_series; the page's own, with forecasts at its end
        csv("\n".join(["features,is_simulated", *[PACKED + ",f"] * 50])),
        csv("\n\n" + table()),
        csv(table(kind="measured") + table(kind="forecast").partition("\n")[2]),
        csv(table(is_usable="true") + "false," + ",".join(["0.001"] * len(EXAMPLE_CYCLE)) + "\n"),
    ],
)  # fmt: skip
def test_every_form_is_read_alike(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/predict?rated_capacity_ah=2", **body)
    if "soh" in str(body.get("content")):  # of a cycle with soh_target null no state is known
        assert_problem(answer, 422, "none of the 50 cycles has a known soh_target")
        return
    assert answer.status_code == 200, answer.text
    assert answer.json() == client.post("/predict?rated_capacity_ah=2", json=EXAMPLE_WINDOW).json()


def test_the_rows_of_a_table_are_put_in_order() -> None:
    rows = [{"cycle_index": index, "rest_hours": 1.0 * int(index)} for index in ("10", "9", "2")]
    assert [it["rest_hours"] for it in reading._cycles(rows)] == [2, 9, 10]
    first, *_ = reading._cycles([*rows, {"rest_hours": 0.0}])  # not all of them have an index
    assert first["rest_hours"] == 10


def test_parquet_is_read(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "window.parquet"
    (tmp_path / "window.csv").write_text(table(battery_id="B0005"))
    duckdb.sql(f"copy (from '{tmp_path}/window.csv') to '{path}'")
    kind = {"content-type": "application/vnd.apache.parquet"}
    answer = client.post("/predict", content=path.read_bytes(), headers=kind)
    assert answer.json() == client.post("/predict", json=EXAMPLE_WINDOW).json()
    problem = client.post("/predict", content=path.read_bytes()[:99], headers=kind)
    assert_problem(problem, 422, "cannot be read as Parquet")


def test_a_batch_may_be_of_columns(client: TestClient) -> None:
    batch = client.post("/predict/batch", json=[COLUMNS, EXAMPLE_WINDOW, COLUMNS]).json()
    first, *others = batch["predictions"]
    assert others == [first, first]
    assert first["predicted_soh"] == client.post("/predict", json=COLUMNS).json()["predicted_soh"]
    short = COLUMNS | {"rest_hours": [1.0]}
    problem = assert_problem(client.post("/predict/batch", json=[COLUMNS, short]), 422)
    assert problem["errors"][0] == {
        "window": 2, "field": "rest_hours", "detail": "1 values, but avg_voltage_load has 50",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (csv(table(charm="1")), ("cycle 1", "charm")),
        (csv(table().replace("3.55", "hot", 1)), ("cycle 1", "avg_voltage_load")),
        (csv(table().replace("38.9", "389", 1)), ("cycle 1", "max_temperature")),
        (csv(table() + "1,2\n"), ("line 52 of the table has 2 values, its header 7",)),
        (csv(""), ()),
        (csv(table(battery_id="B1") + table(battery_id="B2").partition("\n")[2]),
         ("cycles of B1, B2: send one battery's",)),
        (csv('features\n"{""max_temperature"": 3"\n'), ("is not the JSON of cycle_series",)),
        (csv(table(rest_hours="1")), ("more than one column rest_hours",)),
        (csv(table(cycle_index="1")), ("cycle_index 1 stands in more than one row",)),
        ({"content": b'[{"max_temperature":1' + b"0" * 400 + b"}]"}, ("cycle 1, max_temperature",)),
        ({"content": b"\xff\xfe", "headers": {"content-type": "text/csv"}}, ("not UTF-8",)),
        ({"json": {"avg_voltage_load": [3.5] * 50, "max_temperature": [None, "x"] * 25}},
         ("cycle 2", "max_temperature")),
        ({"json": {"avg_voltage_load": []}}, ()),
        ({"json": {}}, ()),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_words(
    client: TestClient, body: dict[str, Any], said: tuple[str, ...]
) -> None:
    assert_problem(client.post("/predict", **body), 422, *said)


def test_another_kind_is_refused(client: TestClient) -> None:
    answer = client.post("/predict", content=b"x", headers={"content-type": "image/png"})
    assert_problem(answer, 415, "image/png cannot be read: send application/json, text/csv or")


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
cycle = st.dictionaries(st.sampled_from([*list(BOUNDS)[:4], "charm"]), values, max_size=3)


@many(300)
@given(sent=st.lists(st.just({"rest_hours": 1.0}) | cycle, max_size=4) | st.lists(values))
def test_what_is_plainly_right_is_what_pydantic_accepts(sent: list[Any]) -> None:
    plain = reading._plain([sent])
    try:
        judged = POSTED.validate_python(sent)
    except ValidationError:
        assert plain is None
        return
    if plain:
        assert [*plain[0]] == judged
