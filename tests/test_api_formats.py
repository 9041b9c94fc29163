"""The forms of an answer, what of it a client may keep, and its pages."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin

import duckdb
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection

from api.formats import FEATURES
from api.schemas import CSV, JSON, PARQUET
from tests.conftest import ALERTS, rows, version
from tests.test_api import assert_problem

CYCLES = "/v1/batteries/S0003/cycles"
TABLES = {
    CYCLES: "cycles",
    "/v1/batteries/S0003/predictions": "predictions",
    "/v1/batteries/S0003/prediction": None,
    "/v1/alerts": "alerts",
}
LINES = {
    "/v1/batteries/S0003/forecast": ("soh", "soh_low", "soh_high"),
    "/v1/batteries/S0003/cycles/60/curve": ("time_s", "voltage_v", "current_a", "temperature_c"),
}


def parquet(content: bytes, folder: Path) -> list[dict[str, object]]:
    path = folder / "answer.parquet"
    path.write_bytes(content)
    found = duckdb.execute(f"from '{path}'")
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def plain(value: object) -> object:
    """A value of the CSV, or of the Parquet, as one that the other's is compared with."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    try:
        return float(str(value))
    except ValueError:
        return value


def test_every_form_says_the_same(
    simulated: str, sql: connection, client: TestClient, model_path: Path, tmp_path: Path
) -> None:
    sql.cursor().execute(ALERTS, {"version": version(model_path)})
    for path, name in TABLES.items():
        text = client.get(path, headers={"Accept": CSV})
        assert text.headers["content-type"] == f"{CSV}; charset=utf-8"
        lines = list(csv.DictReader(io.StringIO(text.text)))
        table = parquet(client.get(path, headers={"Accept": PARQUET}).content, tmp_path)
        assert len(lines) == len(table) > 0
        times = ("since", "until")  # which are written in two ways
        for line, row in zip(lines, table, strict=True):
            for key, value in row.items():
                assert key in times or plain(line[key]) == plain(value)
        said = client.get(path).json()
        listed = said[name] if name else [said]
        for row, it in zip(table, listed, strict=False):
            told = it | (it.get("features") if name == "cycles" else {})
            compared = told.keys() & row.keys() - set(times)
            assert len(compared) >= len(row) - len(times) - 3
            assert {key: row[key] for key in compared} == {key: told[key] for key in compared}


def test_the_fleet_is_a_table(
    simulated: str, sql: connection, client: TestClient, model_path: Path, tmp_path: Path
) -> None:
    sql.cursor().execute(ALERTS, {"version": version(model_path)})
    path = "/v1/batteries?limit=3&offset=1"
    answer = client.get(path, headers={"Accept": CSV})
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    table = parquet(client.get(path, headers={"Accept": PARQUET}).content, tmp_path)
    assert [[*map(plain, it.values())] for it in lines] == [
        [*map(plain, it.values())] for it in table
    ]
    said = client.get(path).json()["batteries"]
    assert [it["battery_id"] for it in table] == ["S0002", "S0003", "S0004"]
    for row, it in zip(table, said, strict=True):
        plainly = row.keys() & it.keys() - {"alerts", "unlike_training"}
        assert {key: row[key] for key in plainly} == {key: it[key] for key in plainly}
        assert row["next_soh"] == it["next_cycle"]["predicted_soh"]
        assert row["remaining_low"] == it["end_of_life"]["cycles_low"]
        assert row["alerts"] == (" ".join(it["alerts"]) or None)
    assert "end_of_life_near" in lines[1]["alerts"]
    again = client.get(path, headers={"Accept": CSV, "If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_lists_are_columns(simulated: str, client: TestClient, tmp_path: Path) -> None:
    for path, names in LINES.items():
        said = client.get(path).json()
        table = parquet(client.get(path, headers={"Accept": PARQUET}).content, tmp_path)
        lines = csv.DictReader(io.StringIO(client.get(path, headers={"Accept": CSV}).text))
        assert [{key: plain(it) for key, it in line.items()} for line in lines] == [
            {key: plain(it) for key, it in row.items()} for row in table
        ]
        for name in names:
            assert [row[name] for row in table] == said[name]
    ahead = parquet(client.get(next(iter(LINES)), headers={"Accept": PARQUET}).content, tmp_path)
    assert [row["cycle_index"] for row in ahead] == list(range(61, 161))
    assert {row["is_simulated"] for row in ahead} == {True}


def test_columns_do_not_depend_on_the_rows(simulated: str, sql: connection) -> None:
    ((names,),) = rows(
        sql, "select array_agg(distinct it) from cycle_series, jsonb_object_keys(features) as it"
    )
    assert set(FEATURES) == set(names)


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("", JSON), ("*/*", JSON), ("text/html,*/*;q=0.8", JSON), ("text/*", CSV), (CSV, CSV),
        (f"{JSON};q=0.5, {CSV};q=0.6", CSV), (f"{CSV};q=0, */*", JSON), (f"*/*;q=0.1, {CSV}", CSV),
        (f"{PARQUET}, {CSV};q=0.9", PARQUET), ("application/*", JSON), ("nonsense", JSON),
    ],
)  # fmt: skip
def test_the_form_is_the_one_asked_for(
    simulated: str, client: TestClient, accept: str, given: str
) -> None:
    answer = client.get(f"{CYCLES}?limit=1", headers={"Accept": accept})
    assert answer.headers["content-type"].split(";")[0] == given
    assert "Accept" in answer.headers["vary"]


def test_what_cannot_be_had_is_said_with_what_can(simulated: str, client: TestClient) -> None:
    for accept in ("image/png", f"{JSON};q=0, image/*"):
        assert_problem(client.get(CYCLES, headers={"Accept": accept}), 406, JSON, CSV, PARQUET)
    assert_problem(client.get("/v1/model", headers={"Accept": CSV}), 406, JSON)


def test_text_in_a_csv_is_no_formula(simulated: str, sql: connection, client: TestClient) -> None:
    name = '=HYPERLINK("http://x")'
    for table in ("cycle_series", "cycle_quality", "battery_summary", "battery_history"):
        sql.cursor().execute(f"update {table} set battery_id = %s where battery_id='S0001'", [name])
    sql.cursor().execute(
        "update cycle_series set features = features || '{\"temperature_rise\": -0.1}'"
    )
    path = "/v1/batteries/%3DHYPERLINK(%22http%3A%2F%2Fx%22)/cycles"
    text = client.get(path, headers={"Accept": CSV}).text
    first = next(csv.DictReader(io.StringIO(text)))
    assert (first["battery_id"], first["temperature_rise"]) == (f"'{name}", "-0.1")
    assert client.get(path).json()["battery_id"] == name


def test_what_has_not_changed_is_not_sent_again(
    simulated: str, sql: connection, client: TestClient
) -> None:
    for path in (*TABLES, *LINES, "/v1/batteries/S0003", "/v1/batteries/S0003/forecast?horizon=7"):
        tag = client.get(path).headers["etag"]
        for method in ("GET", "HEAD"):
            again = client.request(method, path, headers={"If-None-Match": f'"x", {tag}'})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
        assert client.get(path, headers={"If-None-Match": tag, "Accept": "image/*"}).is_error
    known = {"If-None-Match": client.get(CYCLES).headers["etag"]}
    assert client.get(CYCLES, headers={**known, "Accept": CSV}).status_code == 200
    sql.cursor().execute(
        "update cycle_series set soh_target = 0.5 where battery_id = 'S0003' and cycle_index = 3"
    )
    changed = client.get(CYCLES, headers=known)
    assert (changed.status_code, changed.json()["cycles"][2]["soh"]) == (200, 0.5)
    gone = {"If-None-Match": changed.headers["etag"]}
    assert_problem(client.get("/v1/batteries/nobody/cycles", headers=gone), 404)


def test_a_new_model_s_forecast_is_sent(
    simulated: str, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/v1/batteries/S0003/forecast"
    tags = {name: client.get(name).headers["etag"] for name in (path, CYCLES)}
    predictor = client.app.state.predictor  # type: ignore[attr-defined]
    loaded = predictor.loaded()
    other = replace(loaded, model=replace(loaded.model, version="0123456789ab"))
    monkeypatch.setattr(predictor, "loaded", lambda: other)
    for name, status in ((path, 200), (CYCLES, 304)):
        answer = client.get(name, headers={"If-None-Match": tags[name]})
        assert answer.status_code == status


def test_pages_neither_repeat_nor_leave_out_a_row(
    simulated: str, sql: connection, client: TestClient, model_path: Path
) -> None:
    """Whatever a build does to the rows before: here it takes away cycles, and opens an alert."""
    whole = [it["discharge_index"] for it in client.get(CYCLES).json()["cycles"]]
    seen, path = [], f"{CYCLES}?limit=20&offset=0"
    while True:
        page = client.get(path)
        seen += [it["discharge_index"] for it in page.json()["cycles"]]
        assert page.json()["total"] in (60, 55, 50, 45)
        if "next" not in page.links:
            break
        path = urljoin(path, page.links["next"]["url"])
        sql.cursor().execute(
            "delete from cycle_quality where ctid in (select ctid from cycle_quality"
            " where battery_id = 'S0003' order by discharge_index limit 5)"
        )
    assert seen == whole
    sql.cursor().execute(ALERTS, {"version": version(model_path)})
    alerts = "/v1/alerts?history=true&limit=1"
    first = client.get(alerts)
    sql.cursor().execute(
        "update public_intermediate.alert_history set dbt_valid_from = '2027-01-01'"
        " where kind = 'end_of_life_near'"
    )
    second = client.get(urljoin(alerts, first.links["next"]["url"])).json()["alerts"]
    assert [it["kind"] for it in (*first.json()["alerts"], *second)] == [
        "end_of_life_near", "coverage_fallen",
    ]  # fmt: skip


@pytest.mark.parametrize("after", ["x", "WzFd", "bnVsbA==", "WyIyMDI2IiwgImEAIiwgIiJd", "Ww==ü"])
def test_a_place_that_is_none(simulated: str, client: TestClient, after: str) -> None:
    problem = client.get("/v1/alerts", params={"after": after})
    assert_problem(problem, 422, "after: it is no place between two rows")


def test_large_answers_are_compressed_where_that_helps(simulated: str, client: TestClient) -> None:
    def length(path: str, **headers: str) -> tuple[str | None, int]:
        with client.stream("GET", path, headers=headers) as answer:
            sent = b"".join(answer.iter_raw())
            assert (
                "Accept-Encoding" in answer.headers.get("vary", "")
                or len(sent) < 1000
                or (answer.headers["content-type"] == PARQUET)
            )
            return answer.headers.get("content-encoding"), len(sent)

    plain, packed = (length(CYCLES, **{"Accept-Encoding": it}) for it in ("identity", "gzip"))
    assert (plain[0], packed[0]) == (None, "gzip")
    assert packed[1] < plain[1] / 2
    assert length(CYCLES, **{"Accept-Encoding": "gzip", "Accept": PARQUET})[0] is None
    assert length("/livez", **{"Accept-Encoding": "gzip"})[0] is None
