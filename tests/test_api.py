"""The service, over HTTP, against a real model and a real database."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection

import api.main
from model import forecast, train
from model.config import Config
from tests.conftest import rows

CYCLE = {
    "avg_voltage_load": 3.55,
    "max_temperature": 38.9,
    "time_to_discharge": 3311.0,
    "discharge_capacity": 1.86,
}
WINDOW = [CYCLE] * 50


@pytest.fixture(scope="session")
def model_path(simulated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", simulated_template)
        train.run(Config(train=("S0001", "S0002"), test=("S0003",), epochs=2), folder)
    return folder / "model.pth"


@pytest.fixture
def client(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(api.main, "model_file", api.main.ModelFile(model_path))
    with TestClient(api.main.app, raise_server_exceptions=False) as opened:
        yield opened


def assert_problem(answer: httpx2.Response, status: int, *said: str) -> dict[str, Any]:
    """Check that the answer is an RFC 9457 problem that says these words, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    for words in said:
        assert words in problem["detail"]
    return problem


def test_a_window_is_answered(client: TestClient, model_path: Path) -> None:
    answer = client.post("/predict", json=WINDOW)
    assert answer.status_code == 200, answer.text
    predicted = answer.json()["predicted_soh"]
    assert isinstance(predicted, float)
    assert predicted == pytest.approx(forecast.predict(forecast.load(model_path), [WINDOW])[0].soh)
    assert client.post("/predict", json=WINDOW).json() == answer.json()  # no dropout, no state


@pytest.mark.parametrize("count", [0, 1, 49, 51])
def test_a_window_of_the_wrong_length(client: TestClient, count: int) -> None:
    assert_problem(client.post("/predict", json=[CYCLE] * count), 422)


@pytest.mark.parametrize("field", ["avg_voltage_load", "max_temperature", "time_to_discharge"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1e308", "1e308", '"3.5"', "null", "true"])
def test_an_absurd_value_is_named(client: TestClient, field: str, value: str) -> None:
    text = json.dumps([*WINDOW[:11], {**CYCLE, field: "@"}, *WINDOW[12:]]).replace('"@"', value)
    answer = client.post("/predict", content=text, headers={"content-type": "application/json"})
    problem = assert_problem(answer, 422, "cycle 12", field)
    assert problem["errors"][0]["cycle"] == 12
    assert problem["errors"][0]["field"] == field


def test_missing_and_unknown_fields_are_named(client: TestClient) -> None:
    lacking = {key: value for key, value in CYCLE.items() if key != "max_temperature"}
    answer = client.post("/predict", json=[*WINDOW[:49], lacking])
    assert_problem(answer, 422, "cycle 50", "max_temperature")
    answer = client.post("/predict", json=[{**CYCLE, "charm": 1.0}, *WINDOW[1:]])
    assert_problem(answer, 422, "cycle 1", "charm")


@pytest.mark.parametrize("body", ["", "{", "{}", "null", "3", '"x"', "[1]", "[[]]", "[null]"])
def test_what_is_no_list_of_cycles(client: TestClient, body: str) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422)


def test_without_a_model_it_says_to_train(
    tmp_path: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.pth").write_bytes(b"not a model")
    for path in (tmp_path / "none.pth", tmp_path / "bad.pth"):
        monkeypatch.setattr(api.main, "model_file", api.main.ModelFile(path))
        assert_problem(client.post("/predict", json=WINDOW), 503, "python -m model.train")
        assert_problem(client.get("/readyz"), 503, "python -m model.train")
    assert client.get("/livez").json() == {"status": "ok"}


def test_a_retrained_model_is_picked_up(
    tmp_path: Path, client: TestClient, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pth"
    monkeypatch.setattr(api.main, "model_file", api.main.ModelFile(path))
    assert_problem(client.post("/predict", json=WINDOW), 503)
    train.save(path, forecast.load(model_path).spec)
    before = client.post("/predict", json=WINDOW).json()
    forecaster = forecast.load(model_path).spec
    forecaster.network.output_mean = forecaster.network.output_mean + 0.1
    train.save(path, forecaster)
    after = client.post("/predict", json=WINDOW).json()
    assert after["predicted_soh"] == pytest.approx(before["predicted_soh"] + 0.1, abs=1e-6)


def test_a_battery_is_predicted_from_its_last_cycles(
    client: TestClient, simulated: str, sql: connection
) -> None:
    answer = client.get("/batteries/S0003/prediction")
    assert answer.status_code == 200, answer.text
    assert answer.json()["last_cycle_index"] == 60
    window = [
        row[0]
        for row in rows(
            sql,
            "select features from cycle_series where battery_id = 'S0003' and cycle_index > 10"
            " order by cycle_index",
        )
    ]
    posted = client.post("/predict", json=window).json()
    assert posted["predicted_soh"] == pytest.approx(answer.json()["predicted_soh"])


def test_batteries_that_cannot_be_predicted(client: TestClient, simulated: str) -> None:
    assert_problem(client.get("/batteries/B'; drop table x/prediction"), 404, "B'; drop table x")
    assert_problem(client.get("/nowhere"), 404)
    assert_problem(client.get("/predict"), 405)


def test_no_database_and_no_cycle_series(
    client: TestClient, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(client.get("/batteries/S0003/prediction"), 503, "python -m loader PATH")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@127.0.0.1:9/x")
    assert_problem(client.get("/batteries/S0003/prediction"), 503, "127.0.0.1")
    assert client.post("/predict", json=WINDOW).status_code == 200
