"""A discharge's samples and its charge per volt, the fleet by its kept forecasts, the files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from psycopg2.extensions import connection

from api import curves
from tests.conftest import rows, version

RATE_A = 2.0
KEEP = """
insert into forecast.end_of_life_forecast
    (battery_id, made_after_cycle, model_version, cycles, is_censored)
select battery_id, cycles, %(model)s, %(left)s, %(left)s is null
from battery_summary where battery_id = %(id)s;
insert into forecast.cycle_forecast
select battery_id, cycles, cycles + 1, 1, %(soh)s, %(soh)s, %(soh)s, 'spec',
    battery_id = 'S0004', last_soh, %(model)s
from battery_summary where battery_id = %(id)s
"""


def discharge(voltage_v: np.ndarray) -> dict[str, list[float]]:
    """A discharge at 2 A, sampled every 10 s."""
    time_s = 10.0 * np.arange(len(voltage_v))
    return {
        "time_s": time_s.tolist(),
        "voltage_v": voltage_v.tolist(),
        "current_a": [RATE_A] * len(time_s),
    }


def test_a_voltage_that_falls_evenly_gives_as_much_at_each() -> None:
    falling = np.linspace(4.0, 3.0, 361)  # 2 Ah over 1 V
    voltage_v, ah_per_v, samples = curves._per_volt(discharge(falling))
    assert samples == 361
    assert ah_per_v == pytest.approx(2.0, rel=1e-6)
    assert np.diff(voltage_v) == pytest.approx(-curves.STEP_V)


def test_a_plateau_is_a_peak_of_its_charge() -> None:
    steep, flat = np.linspace(4.0, 3.5, 50), np.linspace(3.4995, 3.495, 200)
    falling = np.concatenate([steep, flat, np.linspace(3.49, 3.0, 50)])
    voltage_v, ah_per_v, _samples = curves._per_volt(discharge(falling))
    assert voltage_v[ah_per_v.argmax()] == pytest.approx(3.4975, abs=0.01)
    whole = (ah_per_v * curves.STEP_V).sum()
    given = RATE_A * 10 * (len(falling) - 1) / 3600
    assert whole == pytest.approx(given, rel=0.1)  # less what the ends are cut off by


@pytest.mark.parametrize(
    ("voltage_v", "said"),
    [
        (np.linspace(4, 3, 5), "too few samples"),
        (np.linspace(3.61, 3.60, 100), "too few samples"),
        (np.array([]), "too few samples"),
        (np.concatenate([np.linspace(4, 3, 50), np.linspace(3.6, 2.9, 50)]), "rises under load"),
    ],
)
def test_what_has_no_charge_per_volt_says_why(voltage_v: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        curves._per_volt(discharge(voltage_v))


def test_samples_and_charge_per_volt_are_answered(
    simulated: str, client: TestClient, sql: connection
) -> None:
    path = "/batteries/S0003"
    told = client.get(f"{path}/discharges/2/curve").json()
    assert told["cycle_index"] == 2
    plain = client.get(f"{path}/cycles/2/curve").json()
    assert {name: told[name] for name in plain} == plain
    volts = client.get(f"{path}/cycles/2/incremental-capacity").json()
    ((capacity,),) = rows(
        sql,
        "select discharge_capacity from cycle_features where battery_id = %s and cycle_index = 2",
        "S0003",
    )
    assert volts["refused"] is None
    assert sum(volts["ah_per_v"]) * volts["step_v"] == pytest.approx(capacity, rel=0.15)
    for missing in ("discharges/999/curve", "cycles/999/incremental-capacity"):
        assert client.get(f"{path}/{missing}").status_code == 404


def test_the_fleet_is_sorted_by_what_is_kept_of_its_forecasts(
    simulated: str, client: TestClient, sql: connection, model_path: Path
) -> None:
    kept = {"S0001": (0.7, 30), "S0002": (0.9, None), "S0004": (0.8, 10)}
    with sql.cursor() as cursor:
        for battery_id, (soh, left) in kept.items():
            told = {"id": battery_id, "soh": soh, "left": left, "model": version(model_path)}
            cursor.execute(KEEP, told)

    def ids(query: str) -> list[str]:
        page = client.get(f"/batteries?{query}").json()
        return [it["battery_id"] for it in page["batteries"]]

    without = ["S0003", "SRW1"]
    assert ids("sort=next_soh") == ["S0001", "S0004", "S0002", *without]
    assert ids("sort=-next_soh") == ["S0002", "S0004", "S0001", *without]
    assert ids("sort=remaining") == ["S0004", "S0001", "S0002", *without]
    assert ids("sort=-remaining") == ["S0002", "S0001", "S0004", *without]
    assert client.get("/batteries?sort=remaining").json()["kept"] == 3
    assert ids("flag=unlike_training") == ["S0004"]
    assert ids("flag=ended") == []
    assert len(ids("flag=simulated")) == 5
    rows(sql, "update battery_summary set end_of_life_cycle = 9, end_of_life_measure = 'soh',"
        " last_soh = 0.6 where battery_id = 'S0003' returning 1")  # fmt: skip
    assert ids("flag=ended") == ["S0003"]
    assert ids("sort=remaining") == ["S0003", "S0004", "S0001", "S0002", "SRW1"]


def test_batteries_are_compared(simulated: str, client: TestClient) -> None:
    told = client.get("/compare?battery_id=SRW1&battery_id=S0003&battery_id=nobody").json()
    by = {it["battery_id"]: it for it in told["batteries"]}
    assert set(by) == {"SRW1", "S0003"}
    assert told["is_simulated"]
    for battery_id, it in by.items():
        cycles = client.get(f"/batteries/{battery_id}/cycles").json()["cycles"]
        truths = [each for each in cycles if each["soh"] is not None]
        assert it["cycle_index"] == [each["cycle_index"] for each in truths]
        assert it["soh"] == [each["soh"] for each in truths]
        assert it["throughput_ah"] == [each["features"]["throughput_ah"] for each in truths]
    assert client.get("/compare").status_code == 422


def test_the_page_s_files_travel_compressed_and_are_kept(client: TestClient) -> None:
    path = "/plotly/plotly.min.js"
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert "max-age=86400" in answer.headers["cache-control"]
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 3
    again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get(path, headers={"Range": "bytes=0-9", "Accept-Encoding": "gzip"})
    assert (part.status_code, part.content) == (206, plain.content[:10])
    assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert client.get("/page/page.js").headers["cache-control"] == "no-cache"
    assert client.get("/page/none.js").status_code == 404
