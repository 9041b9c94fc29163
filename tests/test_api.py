"""The service's answers, over HTTP, against a real model and a real database."""

import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection

from api.schemas import EXAMPLE_CYCLE, EXAMPLE_WINDOW
from model import forecast
from tests.conftest import ALERTS, rows, version

PREDICTION = {
    "predicted_soh",
    "soh_low",
    "soh_high",
    "predicted_capacity_ah",
    "model_version",
    "soh_definition",
}


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


def window_of(sql: connection, battery_id: str) -> list[dict[str, float | None]]:
    """Return the features of the battery's last 50 cycles, read without the service."""
    found = rows(
        sql,
        "select features from cycle_series where battery_id = %s"
        " order by cycle_index desc limit 50",
        battery_id,
    )
    return [row[0] for row in found][::-1]


def test_a_window_is_answered_as_the_model_answers_it(client: TestClient, model_path: Path) -> None:
    answer = client.post("/predict", json=EXAMPLE_WINDOW)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    model = forecast.load(model_path)
    (expected,) = forecast.predict(model, [EXAMPLE_WINDOW])
    assert set(said) >= PREDICTION
    assert said["predicted_soh"] == pytest.approx(expected.soh, abs=1e-6)
    assert said["soh_low"] < said["predicted_soh"] < said["soh_high"]
    assert said["predicted_capacity_ah"] == pytest.approx(expected.capacity_ah, abs=1e-6)
    assert said["model_version"] == model.version
    assert (said["cycles_posted"], said["cycles_used"]) == (50, 50)
    assert client.post("/predict", json=EXAMPLE_WINDOW).json() == said  # no dropout, no state


def test_a_battery_says_which_networks_learned_from_it(simulated: str, client: TestClient) -> None:
    for battery_id, networks in (("S0001", ["spec", "extended"]), ("S0003", [])):
        for of in ("prediction", "predictions", "forecast"):
            said = client.get(f"/batteries/{battery_id}/{of}").json()
            assert said["learned_by"] == networks, (battery_id, of)


def test_of_more_cycles_the_last_50_count(client: TestClient) -> None:
    cold = [{**EXAMPLE_CYCLE, "max_temperature": 5.0}] * 13
    longer = client.post("/predict", json=[*cold, *EXAMPLE_WINDOW]).json()
    exact = client.post("/predict", json=EXAMPLE_WINDOW).json()
    assert longer == {**exact, "cycles_posted": 63}
    assert client.post("/predict", json=[*EXAMPLE_WINDOW, *cold]).json() != exact


def test_a_batch_answers_each_window_as_it_is_answered_alone(client: TestClient) -> None:
    windows = [
        [{**EXAMPLE_CYCLE, "discharge_capacity": 1.5 + k / 50} for _ in range(50)] for k in range(5)
    ]
    rated = {"rated_capacity_ah": 2}
    batch = client.post("/predict/batch", json=windows, params=rated).json()["predictions"]
    alone = [client.post("/predict", json=window, params=rated).json() for window in windows]
    assert [it["predicted_soh"] for it in batch] == pytest.approx(
        [it["predicted_soh"] for it in alone], abs=1e-6
    )
    assert len({it["predicted_soh"] for it in batch}) == 5


def test_a_batch_ends_at_1000_windows(client: TestClient) -> None:
    window = json.dumps(EXAMPLE_WINDOW)
    bodies = {count: f"[{','.join([window] * count)}]" for count in (0, 1000, 1001)}
    head = {"content-type": "application/json"}
    answered = client.post("/predict/batch", content=bodies[1000], headers=head)
    assert len(answered.json()["predictions"]) == 1000
    for count in (0, 1001):
        assert_problem(client.post("/predict/batch", content=bodies[count], headers=head), 422)


def test_a_rest_is_said_to_have_been_given(client: TestClient) -> None:
    said = client.post("/predict?rest_hours=48", json=EXAMPLE_WINDOW).json()
    assert (said["rest_hours"], said["rest_source"]) == (48, "given")
    assert_problem(client.post("/predict?rest_hours=-1", json=EXAMPLE_WINDOW), 422, "rest_hours")


def test_the_fleet_is_paged_sorted_and_filtered(simulated: str, client: TestClient) -> None:
    whole = client.get("/batteries").json()
    ids = [it["battery_id"] for it in whole["batteries"]]
    assert ids == ["S0001", "S0002", "S0003", "S0004", "SRW1"]
    assert whole["total"] == 5
    page = client.get("/batteries?limit=2&offset=1&sort=-battery_id").json()
    assert [it["battery_id"] for it in page["batteries"]] == ["S0004", "S0003"]
    assert page["total"] == 5
    lasts = [it["last_soh"] for it in client.get("/batteries?sort=last_soh").json()["batteries"]]
    assert lasts == sorted(lasts)
    middle = lasts[1]
    above = client.get(f"/batteries?min_soh={middle}").json()["batteries"]
    below = client.get(f"/batteries?max_soh={middle}").json()["batteries"]
    assert (len(above), len(below)) == (4, 2)
    assert client.get("/batteries?search=rw").json()["total"] == 1
    assert client.get("/batteries?search=%25").json()["total"] == 0


def test_a_row_of_the_fleet_says_what_the_battery_itself_says(
    simulated: str, client: TestClient, sql: connection
) -> None:
    row = client.get("/batteries?search=S0003").json()["batteries"][0]
    alone = client.get("/batteries/S0003").json()
    assert alone.items() <= row.items()
    predicted = client.get("/batteries/S0003/prediction").json()["predicted_soh"]
    assert row["next_cycle"]["predicted_soh"] == pytest.approx(predicted, abs=1e-6)
    ahead = client.get("/batteries/S0003/forecast?horizon=200").json()
    assert row["end_of_life"] == ahead["end_of_life"]
    assert row["sparkline"][-1] == pytest.approx(row["last_soh"], abs=1e-4)
    assert client.get("/batteries?search=SRW1").json()["batteries"][0]["next_cycle"] is None


def test_a_battery_is_predicted_from_its_last_cycles(
    simulated: str, client: TestClient, sql: connection
) -> None:
    said = client.get("/batteries/S0003/prediction").json()
    assert said["last_cycle_index"] == 60
    posted = client.post("/predict", json=window_of(sql, "S0003")).json()
    assert said["predicted_soh"] == pytest.approx(posted["predicted_soh"], abs=1e-6)
    ((rated,),) = rows(
        sql, "select rated_capacity_ah from battery_summary where battery_id='S0003'"
    )
    assert said["predicted_capacity_ah"] == pytest.approx(said["predicted_soh"] * rated)


def test_one_step_predictions_see_nothing_of_the_cycle_they_predict(
    simulated: str, client: TestClient, sql: connection
) -> None:
    steps = client.get("/batteries/S0003/predictions").json()["predictions"]
    assert [it["cycle_index"] for it in steps] == list(range(51, 62))
    earlier = rows(
        sql,
        "select features from cycle_series where battery_id = 'S0003' and cycle_index < 51"
        " order by cycle_index",
    )
    posted = client.post("/predict", json=[row[0] for row in earlier]).json()
    assert (steps[-2]["soh"] is None, steps[-1]["soh"] is None) == (False, True)
    assert steps[0]["predicted_soh"] == pytest.approx(posted["predicted_soh"], abs=1e-6)
    assert client.get("/batteries/SRW1/predictions").json()["predictions"] == []


def test_a_forecast_reaches_its_horizon(simulated: str, client: TestClient) -> None:
    said = client.get("/batteries/S0003/forecast?horizon=30").json()
    assert {len(said[line]) for line in ("soh", "soh_low", "soh_high")} == {30}
    assert np.all(np.array(said["soh_low"]) <= said["soh"])
    assert np.all(np.array(said["soh"]) <= said["soh_high"])
    below = np.flatnonzero(np.array(said["soh"]) < 0.7)
    assert said["end_of_life"]["cycles"] == (int(below[0]) + 1 if len(below) else None)
    assert said["is_reached"] == bool(len(below))


def test_cycles_are_listed_with_the_reason(
    simulated: str, client: TestClient, sql: connection
) -> None:
    listed = client.get("/batteries/SRW1/cycles").json()
    kept = rows(
        sql, "select reason from cycle_quality where battery_id='SRW1' order by discharge_index"
    )
    assert [(it["reason"],) for it in listed["cycles"]] == kept
    assert listed["total"] == len(kept)
    page = client.get("/batteries/S0001/cycles?limit=5&offset=10").json()["cycles"]
    assert [it["discharge_index"] for it in page] == list(range(11, 16))
    assert page[0]["features"]["discharge_capacity"] > 0


def test_a_curve_is_what_was_recorded(simulated: str, client: TestClient, sql: connection) -> None:
    said = client.get("/batteries/S0001/cycles/7/curve").json()
    ((recording,),) = rows(
        sql,
        "select recording_index from cycle_quality where battery_id='S0001' and cycle_index = 7",
    )
    ((voltage,),) = rows(
        sql,
        "select voltage_measured_v from staging.aging_recording"
        " where battery_id = 'S0001' and recording_index = %s",
        recording,
    )
    assert said["voltage_v"] == pytest.approx(voltage)
    assert len(said["time_s"]) == len(voltage)
    assert_problem(client.get("/batteries/S0001/cycles/999/curve"), 404, "no cycle 999")


def test_the_card_says_where_the_model_comes_from(client: TestClient) -> None:
    said = client.get("/model").json()
    assert said["window"] == 50
    assert list(said["card"]["test"]) == ["S0003"]
    assert list(said["card"]["train"]) == ["S0001", "S0002"]


def test_what_is_not_there_is_a_problem(simulated: str, client: TestClient) -> None:
    for path in ("", "/cycles", "/prediction", "/predictions", "/forecast"):
        assert_problem(client.get(f"/batteries/B'; drop table x{path}"), 404, "B'; drop table x")
    assert_problem(client.get("/batteries/SRW1/prediction"), 409, "cycles")
    assert_problem(client.get("/batteries/S0001/forecast?horizon=0"), 422, "horizon")
    assert_problem(client.get("/batteries/a%00b"), 422, "battery_id")
    assert_problem(client.get("/nowhere"), 404)
    assert_problem(client.get("/predict"), 405)


def test_a_battery_that_lacks_something_is_told_what(
    simulated: str, sql: connection, client: TestClient
) -> None:
    """S0001 has no temperature sensor, S0002 no rating, and S0003 lost one cycle's temperature."""
    run = sql.cursor().execute
    null = "'{\"max_temperature\": null}'"
    run(f"update cycle_series set features = features || {null} where battery_id = 'S0001'")
    run(
        f"update cycle_series set features = features || {null}"
        " where battery_id = 'S0003' and cycle_index = 55"
    )
    run(
        f"update battery_history set last_cycles = (select jsonb_agg(it || {null}) from"
        " jsonb_array_elements(last_cycles) as it) where battery_id = 'S0001'"
    )
    run(
        "update battery_history set last_cycles = jsonb_set(last_cycles,"
        " '{44,max_temperature}', 'null') where battery_id = 'S0003'"
    )
    run("update cycle_series set soh_target = null where battery_id = 'S0002'")
    run("update battery_history set truth_soh = '{}' where battery_id = 'S0002'")
    run(
        "update battery_summary set rated_capacity_ah = null, first_soh = null, last_soh = null"
        " where battery_id = 'S0002'"
    )
    fleet = {it["battery_id"]: it for it in client.get("/batteries").json()["batteries"]}
    for battery_id, said in (
        ("S0001", "none of the last 50 cycles has max_temperature, which the network needs"),
        ("S0002", "load it again with --rated-capacity-ah"),
        ("S0003", "1 of the last 50 cycles lack max_temperature"),
    ):
        assert fleet[battery_id]["next_cycle"] is None
        assert_problem(client.get(f"/batteries/{battery_id}/prediction"), 409, battery_id, said)
        assert client.get(f"/batteries/{battery_id}/cycles").status_code == 200
        assert client.get(f"/batteries/{battery_id}").status_code == 200
    assert client.get("/batteries/S0001/predictions").json()["predictions"] == []
    assert client.get("/batteries/S0002/predictions").json()["predictions"] == []
    known = client.get("/batteries/S0003/predictions").json()["predictions"]
    assert [it["cycle_index"] for it in known] == [51, 52, 53, 54, 55]
    assert client.get("/batteries/S0001/forecast").status_code == 200
    assert_problem(client.get("/batteries/S0002/forecast"), 409, "--rated-capacity-ah")
    posted = window_of(sql, "S0003")
    assert posted[44]["max_temperature"] is None
    problem = client.post("/predict", json=posted)
    assert_problem(problem, 422)
    assert "max_temperature" in problem.text


def test_alerts_are_listed_the_newest_first(
    simulated: str, client: TestClient, sql: connection, model_path: Path
) -> None:
    assert client.get("/alerts").json() == {"total": 0, "alerts": []}
    assert client.get("/model/health").json() == {"models": []}
    sql.cursor().execute(ALERTS, {"version": version(model_path)})
    said = client.get("/alerts").json()
    assert said["total"] == 2
    assert [it["kind"] for it in said["alerts"]] == ["end_of_life_near", "coverage_fallen"]
    assert said["alerts"][0] == {
        "battery_id": "S0003", "kind": "end_of_life_near", "since": "2026-03-02T10:00:00Z",
        "until": None, "value": 34, "threshold": 50, "unit": "cycles",
        "description": "The end of life is near.", "is_simulated": True,
    }  # fmt: skip
    whole = client.get("/alerts?history=true").json()
    assert [it["until"] for it in whole["alerts"]] == [None, None, "2026-02-11T10:00:00Z"]
    page = client.get("/alerts?history=true&limit=1&offset=1").json()
    assert (page["total"], page["alerts"]) == (3, whole["alerts"][1:2])
    alone = client.get("/alerts?history=true&battery_id=S0003").json()
    assert [it["kind"] for it in alone["alerts"]] == ["end_of_life_near", "no_data"]
    assert client.get("/alerts?battery_id=nobody").json()["total"] == 0
    for wrong in ("limit=0", "offset=-1", "history=perhaps", "battery_id=%00"):
        assert_problem(client.get(f"/alerts?{wrong}"), 422, wrong.split("=")[0])


def test_a_model_s_health_is_told_by_group(
    simulated: str, client: TestClient, sql: connection, model_path: Path
) -> None:
    sql.cursor().execute(ALERTS, {"version": version(model_path)})
    other, mine = client.get("/model/health").json()["models"]
    assert (other["model_version"], mine["model_version"]) == ("0123456789ab", version(model_path))
    for it, bias, coverage in ((other, 0.02, 0), (mine, 0.001, 1)):
        assert (it["batteries"], it["cycles"], it["coverage"]) == (1, 10, coverage)
        assert (it["bias"], it["rmse"]) == (pytest.approx(bias), pytest.approx(bias))
        assert it["persistence_rmse"] > 0
        assert it["share_unlike_training"] == 1 - coverage
