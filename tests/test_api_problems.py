"""Bad input of every kind: a problem that names the field, never a failure of the service."""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import api.main
from api.schemas import EXAMPLE_CYCLE, EXAMPLE_WINDOW
from model import train
from model.config import Config
from tests.conftest import Server, run, serving
from tests.test_api import assert_problem

JSON = {"content-type": "application/json"}
NEEDED = ["avg_voltage_load", "max_temperature", "time_to_discharge"]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=20,
)
bad_numbers = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "1e308", "-1e308", '"3.5"', '""', "null", "true", "[]", "{}"]
)


def many(examples: int) -> settings:
    """So many examples, all of them asked of one and the same service."""
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@pytest.mark.parametrize("count", [0, 1, 49, 1001])
def test_a_window_of_the_wrong_length(client: TestClient, count: int) -> None:
    assert_problem(client.post("/predict", json=[EXAMPLE_CYCLE] * count), 422)


@many(200)
@given(position=st.integers(1, 50), field=st.sampled_from(NEEDED), value=bad_numbers)
def test_an_absurd_value_is_named(
    client: TestClient, position: int, field: str, value: str
) -> None:
    window: list[object] = [*EXAMPLE_WINDOW]
    window[position - 1] = {**EXAMPLE_CYCLE, field: "@"}
    text = json.dumps(window).replace('"@"', value)
    answer = client.post("/predict", content=text, headers=JSON)
    problem = assert_problem(answer, 422, f"cycle {position}", field)
    assert problem["errors"][0]["cycle"] == position
    assert problem["errors"][0]["field"] == field
    problem = assert_problem(
        client.post("/predict/batch", content=f"[{text}]", headers=JSON), 422, "window 1"
    )
    assert problem["errors"][0]["cycle"] == position


@many(1000)
@given(body=anything)
def test_any_json_is_refused(client: TestClient, body: object) -> None:
    for path in ("/predict", "/predict/batch"):
        answer = client.post(path, content=json.dumps(body), headers=JSON)
        assert_problem(answer, 422)


@many(200)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code)


def test_missing_and_unknown_fields_are_named(client: TestClient) -> None:
    lacking = {key: value for key, value in EXAMPLE_CYCLE.items() if key != "max_temperature"}
    answer = client.post("/predict", json=[*EXAMPLE_WINDOW[:49], lacking])
    assert_problem(answer, 422, "cycle 50", "max_temperature")
    answer = client.post("/predict", json=[{**EXAMPLE_CYCLE, "charm": 1.0}, *EXAMPLE_WINDOW[1:]])
    assert_problem(answer, 422, "cycle 1", "charm")


def test_a_model_of_other_features_asks_for_them(
    simulated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("avg_voltage_load", "ohmic_resistance", "rest_before_hours")
    config = Config(train=("S0001", "S0002"), test=("S0003",), epochs=1, features=names)
    train.run(config, tmp_path)
    monkeypatch.setenv("MODEL_PATH", str(tmp_path / "model_custom.pth"))
    with TestClient(api.main.app, client=("127.0.0.1", 50000)) as client:
        assert list(client.get("/model").json()["card"]["features"]) == list(names)
        answer = client.post("/predict", json=EXAMPLE_WINDOW)
        problem = assert_problem(answer, 422, "cycle 1", "ohmic_resistance", "the model needs it")
        assert problem["errors"][1]["cycle"] == 2
        cycle = {"avg_voltage_load": 3.5, "ohmic_resistance": 0.1, "rest_before_hours": None}
        window = [{**cycle, "discharge_capacity": 1.8}] * 50
        answer = client.post("/predict", json=window)
        assert answer.status_code == 200, answer.text
        assert answer.json()["features"] == "custom"
        assert answer.json()["is_simulated"] is True
        assert client.get("/batteries/S0003/prediction").status_code == 200
        bare = [{name: value for name, value in cycle.items() if "rest" not in name}] * 50
        problem = assert_problem(client.post("/predict/batch", json=[window, bare]), 422)
        assert problem["errors"][0] == {
            "window": 2, "cycle": 1, "field": "rest_before_hours", "detail": "the model needs it",
        }  # fmt: skip
        answer = client.post("/predict", json=[cycle] * 50)
        assert_problem(answer, 422, "send discharge_capacity")


def test_json_that_never_ends(client: TestClient) -> None:
    deep = "[" * 200_000
    for body in (deep, deep + "]" * 200_000, '{"a":' * 100_000):
        answer = client.post("/predict", content=body, headers=JSON)
        assert answer.status_code in (400, 422)
        assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_50_megabytes_are_refused_and_not_kept(client: TestClient, path: str) -> None:
    body = b"[" + b" " * 50_000_000 + b"]"
    client.post(path, content=body[:1000], headers=JSON)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        assert_problem(client.post(path, content=body, headers=JSON), 413, "MiB")
    stream = (b" " * 1_000_000 for _ in range(50))  # of a length that nobody announced
    assert_problem(client.post(path, content=stream, headers=JSON), 413, "MiB")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 150_000  # KiB; the client's own copy is 50 MB


def test_memory_is_flat_under_bad_input(client: TestClient) -> None:
    body = json.dumps([{**EXAMPLE_CYCLE, "max_temperature": "hot"}] * 1000)

    def ask(times: int) -> int:
        for _ in range(times):
            assert client.post("/predict", content=body, headers=JSON).status_code == 422
        return int(Path("/proc/self/statm").read_text().split()[1])  # pages

    warm = ask(30)
    assert ask(100) - warm < 5000  # 20 MB


@pytest.fixture(scope="module")
def asking() -> Iterator[httpx2.Client]:
    with httpx2.Client() as opened:
        yield opened


@many(200)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_battery_id_is_unknown(service: str, asking: httpx2.Client, battery_id: str) -> None:
    assume(battery_id not in (".", ".."))  # these are steps of the path
    for rest in ("", "/cycles", "/forecast"):
        answer = asking.get(f"{service}/batteries/{quote(battery_id, safe='')}{rest}")
        assert answer.status_code in (404, 422)
        assert_problem(answer, answer.status_code)


def test_the_examples_of_the_schema_are_answered_as_they_stand(client: TestClient) -> None:
    posted = 0
    for path, operations in api.main.app.openapi()["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            for example in content.get("application/json", {}).get("examples", {}).values():
                answer = client.request(method, path, json=example["value"])
                assert answer.status_code == 200, answer.text
                posted += 1
    assert posted == 2


def test_every_route_declares_its_problems(client: TestClient) -> None:
    for path, operations in api.main.app.openapi()["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status != "200":
                    assert list(answer["content"]) == ["application/problem+json"], path
            assert "500" in operation["responses"]


@pytest.mark.parametrize("key", [None, "secret"])
def test_schemathesis_finds_nothing(
    key: str | None, server: Server, simulated_template: str, model_path: Path
) -> None:
    url = server.create(simulated_template)
    environment = {"DATABASE_URL": url, "MODEL_PATH": str(model_path), "API_KEY": key or ""}
    tool = str(Path(sys.executable).with_name("schemathesis"))
    given_key = ["-H", f"X-API-Key: {key}"] if key else []
    with serving("--no-access-log", **environment) as here:
        done = run(
            tool, "--config-file", "tests/schemathesis.toml", "run", f"{here}/openapi.json",
            "--max-examples", "10", "--no-color", "--generation-deterministic",
            "--suppress-health-check", "all", *given_key,
        )  # fmt: skip
    server.drop(url)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "No issues found" in done.stdout
