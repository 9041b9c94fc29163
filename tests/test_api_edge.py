"""What holds for every request: HEAD, names of all kinds, parameters, safety, proxies, clients."""

import importlib
import json
import sys
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection

import api.main
from api.edge import SAFETY
from api.schemas import EXAMPLE_WINDOW
from tests.conftest import run, serving
from tests.test_api import assert_problem

NAMES = ("a/b", "a/b/cycles", "/", "a//b/", "..", "%", "%2F", "?", "#", " ", "ü", "a\\b", "'", "\n")
TABLES = ("cycle_series", "cycle_quality", "battery_summary", "battery_history")
GETS = {
    path.replace("{battery_id}", "S0003").replace("{cycle_index}", "7")
    for path, operations in api.main.app.openapi()["paths"].items()
    if "get" in operations
}


def test_the_paths_of_before_v1_go_on(simulated: str, client: TestClient) -> None:
    for path in GETS - {"/livez", "/readyz"}:
        assert path.startswith("/v1/")
        assert client.get(path.removeprefix("/v1")).json() == client.get(path).json()
    both = [client.post(f"{at}/predict", json=EXAMPLE_WINDOW).json() for at in ("", "/v1")]
    assert both[0] == both[1]


def test_head_says_what_get_says_and_sends_nothing(service: str) -> None:
    with httpx2.Client(base_url=service) as client:
        for path in (*GETS, "/", "/metrics", "/page/page.css", "/nowhere", "/docs"):
            known, asked = client.get(path), client.head(path)
            assert (asked.status_code, asked.content) == (known.status_code, b"")
            for name in ("content-type", "content-length", "etag"):
                if path != "/metrics":  # which count both
                    assert asked.headers.get(name) == known.headers.get(name), path
        assert client.head("/v1/predict").status_code == 405


def test_a_battery_of_any_name_is_found(simulated: str, sql: connection, model_path: Path) -> None:
    known = "S0003"
    with (
        serving("--no-access-log", DATABASE_URL=simulated, MODEL_PATH=str(model_path)) as here,
        httpx2.Client(base_url=here) as client,
    ):
        for name in NAMES:
            for table in TABLES:
                sql.cursor().execute(
                    f"update {table} set battery_id = %s where battery_id = %s", [name, known]
                )
            known = name
            assert name in [it["battery_id"] for it in client.get("/batteries").json()["batteries"]]
            # dots, too, or a client takes them for steps of the path
            step = quote(name, safe="").replace(".", "%2E")
            others = ("/prediction", "/predictions", "/forecast") if "cycles" in name else ()
            for rest in ("", "/cycles", *others):
                answer = client.get(f"/v1/batteries/{step}{rest}")
                assert (answer.status_code, answer.json().get("battery_id")) == (200, name), rest
            curve = client.get(f"/v1/batteries/{step}/cycles/999/curve")
            assert_problem(curve, 404, f"{name} has no cycle 999")


def test_a_name_with_a_slash_comes_through_the_server(service: str) -> None:
    for rest in ("", "/cycles", "/forecast"):
        for slash in ("%2F", "%2f"):
            answer = httpx2.get(f"{service}/v1/batteries/a{slash}b{rest}")
            assert_problem(answer, 404, "there is no battery a/b")
    assert_problem(httpx2.get(f"{service}/v1/batteries/a/b"), 404, "Not Found")
    curve = httpx2.get(f"{service}/v1/batteries/a/cycles/x%2Fy/curve")
    assert_problem(curve, 422, 'cycle_index: "x/y" was sent: it must be a whole number')
    assert_problem(httpx2.get(f"{service}/page/..%2Fmain.py"), 404)


@pytest.mark.parametrize("path", [*sorted(GETS), "/v1/predict", "/batteries", "/v1/predict/batch"])
def test_a_parameter_that_nobody_knows_is_named(
    simulated: str, client: TestClient, path: str
) -> None:
    method = "POST" if "predict" in path and path not in GETS else "GET"
    answer = client.request(method, f"{path}?rest_hour=3&horizont=9", json=EXAMPLE_WINDOW)
    problem = assert_problem(answer, 422, "rest_hour: no parameter of", "(and 1 more)")
    assert [it["field"] for it in problem["errors"]] == ["rest_hour", "horizont"]
    taken = {"/v1/predict": "rest_hours", "/v1/alerts": "after, battery_id, history, limit, offset"}
    assert taken.get(path, "it takes") in problem["detail"]


def test_a_rest_that_does_not_count_is_told(
    simulated: str, sql: connection, client: TestClient
) -> None:
    path = "/v1/batteries/S0003/prediction?rest_hours=48"
    assert client.get(path).json()["rest_source"] == "given"
    null = "'{\"rest_hours\": null}'"
    sql.cursor().execute(
        f"update battery_history set last_cycles = (select jsonb_agg(it || {null}) from"
        " jsonb_array_elements(last_cycles) as it)"
    )
    said = client.get(path).json()
    assert (said["rest_hours"], said["features"]) == (None, "spec")
    assert said["rest_source"] == "given, but this network sees no rests"


def test_every_answer_is_safe_to_show(
    client: TestClient, simulated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [*GETS, "/", "/docs", "/metrics", "/page/page.js", "/nowhere", "/v1/alerts?x=1"]
    answers = {path: client.get(path) for path in paths}
    answers["a body too large"] = client.post("/v1/predict", content=b" " * 2_000_000)
    monkeypatch.setattr(type(client.app.state.store), "rows", lambda *_: 1 / 0)  # type: ignore[attr-defined]
    answers["a fault of its own"] = client.get("/v1/alerts")
    assert_problem(answers["a fault of its own"], 500)
    for path, answer in answers.items():
        for name, value in SAFETY.items():
            assert answer.headers[name].endswith(value), path
            assert len(answer.headers.get_list(name)) == 1, path


def test_who_comes_through_a_proxy_on_this_machine_is_not_local(service: str) -> None:
    with serving(app="tests.proxy:app", UPSTREAM=service) as proxy:
        for path in ("/v1/batteries", "/v1/model", "/alerts"):
            assert httpx2.get(f"{service}{path}").status_code == 200
            for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "::1"}):
                assert_problem(httpx2.get(f"{proxy}{path}", headers=headers), 403, "API_KEY")
        assert httpx2.get(f"{proxy}/livez").status_code == 200


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"]
)
def test_what_says_that_it_was_passed_on_is_not_local(client: TestClient, header: str) -> None:
    answer = client.get("/v1/model", headers={header: "127.0.0.1"})
    assert_problem(answer, 403, "behind a proxy")


@pytest.mark.parametrize(
    ("peer", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.1", 403), ("10.0.0.1", 403)]
)
def test_local_is_who_asks_from_here(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, peer: str, status: int
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(model_path))
    with TestClient(api.main.app, client=(peer, 50000)) as client:
        assert client.get("/v1/model").status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200), ("LOCALHOST", 200), ("my.localhost", 200), ("127.0.0.1:80", 200),
        ("[::1]:8000", 200), ("evil.example:8000", 403), ("localhost.evil.example", 403),
        ("notlocalhost", 403), ("192.0.2.1", 403), ("[::1", 403), ("127.0.0.1.evil.example", 403),
    ],
)  # fmt: skip
def test_what_was_asked_of_another_name_is_not_local(service: str, host: str, status: int) -> None:
    assert httpx2.get(f"{service}/v1/batteries", headers={"Host": host}).status_code == status
    assert httpx2.get(f"{service}/livez", headers={"Host": host}).status_code == 200


def test_a_generated_client_works(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = tmp_path / "openapi.json"
    schema.write_bytes(httpx2.get(f"{service}/openapi.json").content)
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    settings = tmp_path / "settings.yml"
    settings.write_text("post_hooks: []\n")  # it would format it
    made = run(
        generator, "generate", "--path", str(schema), "--config", str(settings), "--meta", "none",
        "--output-path", str(tmp_path / "forecast_client"), "--fail-on-warning",
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    assert "arning" not in made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    it = importlib.import_module

    with it("forecast_client").Client(base_url=service) as client:
        models = it("forecast_client.models")
        cycles = it("forecast_client.api.batteries.cycles").sync("S0003", client=client, limit=3)
        assert isinstance(cycles, models.Cycles)
        assert [cycle.discharge_index for cycle in cycles.cycles] == [1, 2, 3]
        lost = it("forecast_client.api.batteries.battery").sync("a/b", client=client)
        assert isinstance(lost, models.Problem)
        assert lost.detail.startswith("there is no battery a/b")
        window = [models.Cycle.from_dict(cycle) for cycle in EXAMPLE_WINDOW]
        said = it("forecast_client.api.forecast.predict").sync(client=client, body=window)
        assert isinstance(said, models.WindowAnswer)
        posted = httpx2.post(f"{service}/v1/predict", json=EXAMPLE_WINDOW).json()
        assert said.predicted_soh == posted["predicted_soh"]
    schemas = json.loads(schema.read_text())["components"]["schemas"]
    assert {"Problem", "FieldError"} < set(schemas)
    assert not {"HTTPValidationError", "ValidationError"} & set(schemas)
