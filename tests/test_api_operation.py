"""How the service lives: keys, metrics, its log, a new model, a database that comes and goes."""

import asyncio
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest
import torch
from fastapi.testclient import TestClient
from psycopg2.extensions import connection, parse_dsn

import api.main
from api import observe, store
from api.predictor import Predictor
from api.schemas import EXAMPLE_CYCLE, EXAMPLE_WINDOW
from api.store import Store, StoreError
from model import columns, forecast, train
from model.config import Config
from tests.conftest import ALERTS, Server, rows, serving, version
from tests.test_api import assert_problem


def test_without_a_model_it_says_to_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.pth").write_bytes(b"not a model")
    for name in ("none.pth", "bad.pth"):
        monkeypatch.setenv("MODEL_PATH", str(tmp_path / name))
        with TestClient(api.main.app, raise_server_exceptions=False) as client:
            for path in ("/readyz", "/model", "/batteries/S0003/prediction"):
                assert_problem(client.get(path), 503, "python -m model.train")
            answer = client.post("/predict", json=EXAMPLE_WINDOW)
            assert_problem(answer, 503, "python -m model.train")
            assert client.get("/livez").json()["status"] == "ok"


def test_the_fleet_is_shown_without_a_model(
    simulated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(tmp_path / "none.pth"))
    with TestClient(api.main.app) as client:
        said = client.get("/batteries").json()
    assert said["model_version"] is None
    assert [it["next_cycle"] for it in said["batteries"]] == [None] * 5
    assert said["batteries"][0]["sparkline"]


def retrain(path: Path, model: Path, shift: float) -> None:
    """Put in place a model like the other, whose answers are higher by so much."""
    state = torch.load(model, weights_only=True)
    state["network.output_mean"] = state["network.output_mean"] + shift
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def test_a_retrained_model_is_picked_up_and_never_half_read(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pth"
    monkeypatch.setenv("MODEL_PATH", str(path))
    with TestClient(api.main.app, raise_server_exceptions=False) as client:
        assert_problem(client.post("/predict", json=EXAMPLE_WINDOW), 503)
        retrain(path, model_path, 0)
        before = client.post("/predict", json=EXAMPLE_WINDOW).json()
        retrain(path, model_path, 0.1)
        after = client.post("/predict", json=EXAMPLE_WINDOW).json()
        assert after["predicted_soh"] == pytest.approx(before["predicted_soh"] + 0.1, abs=1e-5)
        assert after["model_version"] != before["model_version"]

        answers: set[tuple[str, float]] = set()
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = client.post("/predict", json=EXAMPLE_WINDOW)
                assert answer.status_code == 200, answer.text
                said = answer.json()
                answers.add((said["model_version"], round(said["predicted_soh"], 5)))

        asking = threading.Thread(target=ask)
        asking.start()
        for k in range(10):
            retrain(path, model_path, k / 100)
            client.get("/model")
        stop.set()
        asking.join()
    assert len({version for version, _ in answers}) == len(answers) > 1


def test_a_damaged_model_is_not_served_and_the_last_one_goes_on(
    tmp_path: Path,
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "model.pth"
    content = model_path.read_bytes()
    monkeypatch.setenv("MODEL_PATH", str(path))
    path.write_bytes(content)
    with TestClient(api.main.app, raise_server_exceptions=False) as client:
        before = client.post("/predict", json=EXAMPLE_WINDOW).json()
        middle = len(content) // 2
        for damaged in (
            b"", content[:middle], content[middle:], b"\x80\x02.", b"0" * 99,
            content[:middle] + bytes(64) + content[middle + 64 :],  # of the right size
        ):  # fmt: skip
            path.write_bytes(damaged)
            assert client.post("/predict", json=EXAMPLE_WINDOW).json() == before
            ready = client.get("/readyz").json()
            assert ready["status"] == "ok"
            assert "is not a model of this version" in ready["detail"]
            assert "model_refused 1.0" in client.get("/metrics").text
            assert "the model loaded before goes on serving" in caplog.text
            with pytest.raises(forecast.ModelError, match="is not a model of this version"):
                forecast.load(path)
        retrain(path, model_path, 0.1)
        after = client.post("/predict", json=EXAMPLE_WINDOW).json()
        assert after["model_version"] != before["model_version"]
        assert client.get("/readyz").json()["detail"] is None
        assert "model_refused 0.0" in client.get("/metrics").text


def trained(url: str, folder: Path, features: str, **knobs: Any) -> Path:
    """Train a small model on simulated cells, and return where it lies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        train.run(Config(features=(features,), epochs=1, **knobs), folder)
    return folder / "model.pth"


def test_what_was_not_trained_together_is_not_served_together(
    simulated: str, sql: connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: dict[str, Any] = {"train": ("S0001", "S0002"), "test": ("S0003",)}
    other: dict[str, Any] = {"train": ("S0001", "S0003"), "test": ("S0002",)}
    trained(simulated, tmp_path, "spec", **first)
    path = trained(simulated, tmp_path, "extended", **first)
    monkeypatch.setenv("MODEL_PATH", str(path))
    with TestClient(api.main.app, client=("127.0.0.1", 50000)) as running:
        before = running.get("/model").json()
        assert [it["features"] for it in before["networks"]] == ["spec", "extended"]
        spec, extended = (it["learned_from"] for it in before["networks"])
        assert spec == extended == before["card"]["learned_from"]
        trained(simulated, tmp_path, "spec", **other)
        # until the other is trained, too, the two that were loaded go on
        assert running.get("/readyz").status_code == 200
        assert running.get("/model").json() == before
        posted = running.post("/predict", json=EXAMPLE_WINDOW).json()
        assert posted["model_version"] == before["model_version"]
        with TestClient(api.main.app, raise_server_exceptions=False) as fresh:
            for route in ("/readyz", "/model"):
                problem = assert_problem(
                    fresh.get(route), 503, "model_extended.pth does not belong to",
                    "it was trained on S0001, S0002, not on S0001, S0003",
                    "python -m model.train --train S0001 S0003 --test S0002 --window 50 "
                    "--features extended",
                )  # fmt: skip
                assert "\n" not in problem["detail"]
    with TestClient(api.main.app, client=("127.0.0.1", 50000)) as running:
        trained(simulated, tmp_path, "extended", **other)
        after = running.get("/model").json()
        assert after["model_version"] != before["model_version"]
        assert [it["train"] for it in after["networks"]] == [["S0001", "S0003"]] * 2
        assert [it["test"] for it in after["networks"]] == [["S0002"]] * 2
    # the same batteries, with other cycles
    sql.cursor().execute(
        "update cycle_series set soh_target = 0.99 * soh_target where battery_id = 'S0001'"
    )
    trained(simulated, tmp_path, "spec", **other)
    with pytest.raises(forecast.MismatchError, match="it learned from other cycles of S0001"):
        forecast.load(path)
    trained(simulated, tmp_path, "extended", **other)
    assert forecast.load(path).extended
    trained(simulated, tmp_path, "spec", window=30, **other)
    with pytest.raises(forecast.MismatchError, match="its window is 50 cycles, not 30"):
        forecast.load(path)


def test_the_model_says_how_many_cycles_it_needs(
    simulated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trained(
        simulated, tmp_path, "spec", train=("S0001", "S0002"), test=("S0003",), window=30
    )
    monkeypatch.setenv("MODEL_PATH", str(path))
    with TestClient(api.main.app, client=("127.0.0.1", 50000)) as client:
        said = client.post("/predict", json=EXAMPLE_WINDOW[:30])
        assert said.status_code == 200, said.text
        assert (said.json()["cycles_posted"], said.json()["cycles_used"]) == (30, 30)
        assert_problem(client.post("/predict", json=EXAMPLE_WINDOW[:29]), 422, "needs 30")
        both = client.post("/predict/batch", json=[EXAMPLE_WINDOW[:30], EXAMPLE_WINDOW])
        one, longer = both.json()["predictions"]
        assert one == longer
        short = client.post("/predict/batch", json=[EXAMPLE_WINDOW, EXAMPLE_WINDOW[:29]])
        assert_problem(short, 422, "window 2: 29 cycles, the model needs 30")
        schema = client.get("/openapi.json").json()
        body = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
        assert len(body["examples"]["example"]["value"]) == 30
        assert schema["components"]["schemas"]["WindowByCycle"]["minItems"] == 30
        assert client.get("/batteries/S0003/prediction").status_code == 200
        known = client.get("/batteries/S0003/predictions").json()["predictions"]
        assert [it["cycle_index"] for it in known] == list(range(31, 62))


def test_windows_that_wait_together_share_one_pass(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    real = forecast.answers

    def counted(model: object, windows: list[object], *rest: object) -> object:
        passes.append(len(windows))
        return real(model, windows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(forecast, "answers", counted)
    windows = [[{**EXAMPLE_CYCLE, "avg_voltage_load": 3 + k / 100}] * 50 for k in range(32)]

    async def ask() -> list[float | None]:
        predictor = Predictor(model_path)
        answers = await asyncio.gather(
            *(predictor.predict(columns.of(window)) for window in windows)
        )
        return [prediction.capacity_ah for _, prediction in answers]

    together = asyncio.run(ask())
    assert sum(passes) == 32
    assert len(passes) < 8
    alone = [it.capacity_ah for it in forecast.predict(forecast.load(model_path), windows)]
    assert together == pytest.approx(alone, abs=1e-6)


def test_one_bad_window_does_not_fail_its_neighbours(model_path: Path) -> None:
    async def ask() -> list[object]:
        predictor = Predictor(model_path)
        asked = (predictor.predict(columns.of(EXAMPLE_WINDOW[: 50 - k])) for k in (0, 1, 0))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return list(answers)

    first, short, last = asyncio.run(ask())
    assert isinstance(short, forecast.TooFewCyclesError)
    assert isinstance(first, tuple)
    assert isinstance(last, tuple)


def test_the_key_is_asked_for_where_there_is_one(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "schlüssel")
    for headers in ({}, {"X-API-Key": "other"}, {"X-API-Key": ""}):
        answer = client.post("/predict", json=EXAMPLE_WINDOW, headers=headers)
        assert_problem(answer, 401, "X-API-Key")
        assert_problem(client.get("/batteries", headers=headers), 401)
    right = {b"X-API-Key": "schlüssel".encode()}
    assert client.post("/predict", json=EXAMPLE_WINDOW, headers=right).status_code == 200
    for path in ("/livez", "/readyz", "/metrics", "/", "/docs"):
        assert client.get(path).status_code == 200


def test_a_public_address_needs_a_key(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PATH", str(model_path))
    with TestClient(api.main.app, base_url="http://192.0.2.7") as client:
        assert_problem(client.post("/predict", json=EXAMPLE_WINDOW), 403, "API_KEY")
        monkeypatch.setenv("API_OPEN", "1")
        assert client.post("/predict", json=EXAMPLE_WINDOW).status_code == 200


def test_nothing_of_the_service_loads_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        text = client.get(path).text
        assert "http://" not in text
        assert "https://" not in text
    assert client.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
    assert client.get("/plotly/plotly.min.js").status_code == 200
    assert (
        "access-control-allow-origin" not in client.get("/livez", headers={"Origin": "x"}).headers
    )


def test_requests_are_counted_by_route_and_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("battery_forecast.access")
    log.addHandler(caplog.handler)
    client.post("/predict", json=EXAMPLE_WINDOW)
    client.get('/batteries/"%0A/prediction')
    client.get("/nowhere/at/all")
    log.removeHandler(caplog.handler)
    lines = [
        json.loads(record.getMessage()) for record in caplog.records if record.name == log.name
    ]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/predict", 200),
        ("GET", '/batteries/"\n/prediction', lines[1]["status"]),
        ("GET", "/nowhere/at/all", 404),
    ]
    said = client.get("/metrics").text
    assert 'requests_total{method="POST",route="/predict",status="200"}' in said
    assert 'route="/batteries/{battery_id}/prediction"' in said
    assert 'request_seconds_bucket{le="0.01",route="/predict"}' in said
    assert "nowhere" not in said


@contextmanager
def lost(url: str, server: Server) -> Iterator[None]:
    """Take the database away from everyone, as far as its clients can tell."""
    name = parse_dsn(url)["dbname"]
    with closing(psycopg2.connect(server.url)) as opened:
        opened.autocommit = True
        cursor = opened.cursor()
        cursor.execute(f'alter database "{name}" allow_connections false')
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
        try:
            yield
        finally:
            cursor.execute(f'alter database "{name}" allow_connections true')


def test_a_database_that_goes_away_and_comes_back(
    simulated: str, server: Server, model_path: Path
) -> None:
    """Under load: posted windows are answered all the while, batteries again when it is back."""
    statuses: dict[str, list[int]] = {"predict": [], "batteries": []}
    stop = threading.Event()

    def load(here: str) -> None:
        with httpx2.Client(base_url=here) as client:
            while not stop.is_set():
                answer = client.post("/predict", json=EXAMPLE_WINDOW)
                statuses["predict"].append(answer.status_code)
                answer = client.get("/batteries")
                if answer.status_code != 200:
                    assert answer.headers["content-type"] == "application/problem+json"
                statuses["batteries"].append(answer.status_code)

    environment = {"DATABASE_URL": simulated, "MODEL_PATH": str(model_path)}
    with serving("--no-access-log", **environment) as here:
        threads = [threading.Thread(target=load, args=[here]) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(statuses["batteries"]) < 50:
            stop.wait(0.01)
        assert set(statuses["batteries"]) == {200}
        with lost(simulated, server):
            began = len(statuses["batteries"])
            while len(statuses["batteries"]) < began + 60:
                stop.wait(0.01)
            assert_problem(httpx2.get(f"{here}/batteries"), 503)
            assert httpx2.post(f"{here}/predict", json=EXAMPLE_WINDOW).status_code == 200
        assert httpx2.get(f"{here}/batteries").status_code == 200
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses["predict"]) == {200}
    assert set(statuses["batteries"]) == {200, 503}


def test_before_dbt_has_run_it_says_so(empty: str, client: TestClient) -> None:
    for path in ("/batteries", "/alerts", "/model/health"):
        assert_problem(client.get(path), 503, "python -m loader PATH")


def test_a_database_from_before_alerts_says_so(
    simulated: str, client: TestClient, sql: connection
) -> None:
    sql.cursor().execute("drop view fleet_alert, model_health cascade")
    for path in ("/alerts", "/model/health"):
        assert_problem(client.get(path), 503, "python -m dbt_project build")
    assert client.get("/batteries").status_code == 200
    said = client.get("/metrics")
    assert said.status_code == 200
    assert "alerts_open" not in said.text


def test_alerts_and_model_health_are_gauges(
    simulated: str, client: TestClient, sql: connection, model_path: Path, server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mine = version(model_path)
    sql.cursor().execute(ALERTS, {"version": mine})
    ((group,),) = rows(
        sql, "select distinct battery_group from model_health where model_version = %s", mine
    )
    said = client.get("/metrics").text
    for kind, count in (
        ("capacity_drop", 0), ("coverage_fallen", 1), ("end_of_life_near", 1), ("no_data", 0),
    ):  # fmt: skip
        assert f'alerts_open{{kind="{kind}"}} {count}.0' in said
    found = {
        match[1]: float(match[2])
        for match in re.finditer(
            rf'model_health_(\w+){{battery_group="{group}",model_version="{mine}"}} (\S+)', said
        )
    }
    assert list(found) == ["rmse", "persistence_rmse", "coverage", "bias"]
    assert found["coverage"] == 1
    assert found["bias"] == pytest.approx(0.001)
    # what changes is seen after half a minute, and no sooner
    sql.cursor().execute("delete from public_intermediate.alert_history where kind like 'end%'")
    assert 'alerts_open{kind="end_of_life_near"} 1.0' in client.get("/metrics").text
    monkeypatch.setattr(observe, "EVERY_S", 0.0)
    client.app.state.fleet._next = 0.0  # type: ignore[attr-defined]
    assert 'alerts_open{kind="end_of_life_near"} 0.0' in client.get("/metrics").text
    with lost(simulated, server):
        said = client.get("/metrics").text
        assert "requests_total" in said
        assert "alerts_open" not in said
    assert "alerts_open" in client.get("/metrics").text


def test_a_database_that_does_not_answer_does_not_hold_up_the_metrics(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u@127.0.0.1:{port}/x")
        assert "requests_total" in client.get("/metrics").text
        assert "requests_total" in client.get("/metrics").text
        deaf.accept()[0].close()


def test_the_connections_only_read(simulated: str, sql: connection) -> None:
    opened = store.connect()
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction), opened.cursor() as cursor:
        cursor.execute("create table x (y int)")
    opened.close()


def test_a_store_opens_no_more_connections_than_its_pool(simulated: str, sql: connection) -> None:
    store = Store()
    threads = [
        threading.Thread(target=store.rows, args=["battery"], kwargs={"battery_id": "S0001"})
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sql.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        ((count,),) = cursor.fetchall()
    assert 1 <= count <= 8
    store.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://u@127.0.0.1:9/x")
        with pytest.raises(StoreError, match=r"127\.0\.0\.1"):
            store.rows("battery", battery_id="S0001")
