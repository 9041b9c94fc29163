"""Bad input of every kind: a problem that names the field, never a failure of the service."""

import json
import re
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


@many(300)
@given(body=anything)
def test_any_json_is_refused(client: TestClient, body: object) -> None:
    for path in ("/predict", "/predict/batch"):
        answer = client.post(path, content=json.dumps(body), headers=JSON)
        said = assert_problem(answer, 422)["detail"]
        assert not re.search("Input should|should have|validation", said)


@many(200)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code)


def bad(**told: object) -> list[object]:
    """A window whose 11th cycle says something else."""
    return [*EXAMPLE_WINDOW[:10], {**EXAMPLE_CYCLE, **told}, *EXAMPLE_WINDOW[11:]]


FAULTS: list[tuple[object, str]] = [
    ([], "0 cycles were sent: at least 50 are needed"),
    ([EXAMPLE_CYCLE] * 1001, "1,001 cycles were sent: at most 1,000 are taken"),
    (None, "null was sent: it must be a list of cycles"),
    ({}, "an object was sent: it must be a list of cycles"),
    ([[EXAMPLE_CYCLE]], "cycle 1: a list was sent: it must be an object of a cycle's features"),
    (bad(max_temperature=400), "11, max_temperature: 400 °C was sent: it must be at most 150 °C"),
    (bad(avg_voltage_load=0), "avg_voltage_load: 0 V was sent: it must be more than 0 V"),
    (bad(time_to_discharge="long"), '"long" was sent: it must be a number, in s'),
    (bad(time_to_discharge=True), "true was sent: it must be a number, in s"),
    (bad(max_temperature=float("nan")), "NaN was sent: it must be a finite number"),
    (bad(soh_target=2), "soh_target: 2 was sent: it must be at most 1.3"),
    (bad(charm=1), "cycle 11, charm: no feature of a cycle is called so: there are avg_voltage"),
]  # fmt: skip
BATCH_FAULTS: list[tuple[object, str]] = [
    ([], "0 windows were sent: at least 1 are needed"),
    ([EXAMPLE_WINDOW, []], "window 2: 0 cycles were sent: at least 50 are needed"),
    ([EXAMPLE_WINDOW, 5], "window 2: 5 was sent: it must be a list of cycles"),
    ([EXAMPLE_WINDOW, [5]], "window 2, cycle 1: 5 was sent: it must be an object"),
    ([EXAMPLE_WINDOW, bad(max_temperature=400)], "window 2, cycle 11, max_temperature: 400 °C"),
    ({}, "an object was sent: it must be a list of windows"),
]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [("/v1/predict", *it) for it in FAULTS] + [("/v1/predict/batch", *it) for it in BATCH_FAULTS],
)
def test_a_fault_is_told_in_the_user_s_terms(
    client: TestClient, path: str, body: object, said: str
) -> None:
    assert_problem(client.post(path, content=json.dumps(body), headers=JSON), 422, said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("/v1/predict?rest_hours=soon", 'rest_hours: "soon" was sent: it must be a number, in h'),
        ("/v1/predict?rated_capacity_ah=0", "0 Ah was sent: it must be at least 1e-06 Ah"),
        ("/v1/alerts?limit=1.5", 'limit: "1.5" was sent: it must be a whole number'),
        ("/v1/alerts?history=perhaps", 'history: "perhaps" was sent: it must be true or false'),
        ("/v1/batteries?sort=age", "sort: \"age\" was sent: it must be one of 'battery_id'"),
        ("/v1/batteries?search=" + 101 * "x", "it must be of at most 100 characters"),
        ("/v1/batteries/a%00b", "it must be text without a NUL character"),
        ("/v1/batteries?min_soh=inf", 'min_soh: "inf" was sent: it must be a finite number'),
    ],
)
def test_a_parameter_is_told_in_the_user_s_terms(client: TestClient, asked: str, said: str) -> None:
    method = "POST" if "predict" in asked else "GET"
    assert_problem(client.request(method, asked, json=EXAMPLE_WINDOW), 422, said)


def test_a_body_that_is_none_or_no_json(client: TestClient) -> None:
    said = "the body is missing: it must be a list of cycles"
    assert_problem(client.post("/v1/predict", headers=JSON), 422, said)
    answer = client.post("/v1/predict", content='[{"max', headers=JSON)
    assert_problem(answer, 422, "not JSON from character 2 on")
    surrogate = client.post("/v1/predict", content='[{"\\ud800": 1}]', headers=JSON)
    assert_problem(surrogate, 422, "cycle 1")


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
def asking(service: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service) as opened:
        yield opened


@many(100)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_any_battery_id_is_unknown(asking: httpx2.Client, battery_id: str) -> None:
    assume(battery_id not in (".", ".."))  # these are steps of the path
    for rest in ("", "/cycles", "/forecast"):
        answer = asking.get(f"/v1/batteries/{quote(battery_id, safe='')}{rest}")
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
                if status not in ("200", "304"):
                    assert list(answer["content"]) == ["application/problem+json"], path
            assert "500" in operation["responses"]


@pytest.mark.long(40)
def test_schemathesis_finds_nothing(
    server: Server, simulated_template: str, model_path: Path
) -> None:
    """With a key, so that it looks for ways around it, too.

    It warns of few windows that are answered: most of what it makes up is no battery's.
    """
    url = server.create(simulated_template)
    environment = {"DATABASE_URL": url, "MODEL_PATH": str(model_path), "API_KEY": "secret"}
    tool = str(Path(sys.executable).with_name("schemathesis"))
    with serving("--no-access-log", **environment) as here:
        done = run(
            tool, "--config-file", "tests/schemathesis.toml", "run", f"{here}/openapi.json",
            "--max-examples", "3", "--no-color", "--generation-deterministic",
            "--suppress-health-check", "all", "--warnings", "off", "-H", "X-API-Key: secret",
        )  # fmt: skip
    server.drop(url)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "No issues found" in done.stdout
