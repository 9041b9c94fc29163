"""Alerts open, close and keep their history; each is sent to a webhook, normally once."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import connection

import database
from model import notify
from tests.conftest import build, rows, run

CYCLE = """insert into forecast.cycle_forecast
    (battery_id, made_after_cycle, cycle_index, horizon, soh, soh_low, soh_high, features,
    is_unlike_training, last_soh, model_version)
select battery_id, cycle_index, cycle_index + %s, %s, 0.5, %s, 2, 'spec', false, soh_target, 'm'
from cycle_series where battery_id = %s and cycle_index = %s"""
END = "insert into forecast.end_of_life_forecast values (%s, %s, 'm', now(), %s, null, null, %s)"
NOW = "select battery_id, kind from public_intermediate.int_alert_now order by 1, 2"
OPENED = """insert into public_intermediate.alert_history
    (battery_id, kind, value, threshold, description, dbt_scd_id, dbt_valid_from)
values ('S0001', %s, 12, 50, 'Soon over.', %s, '2026-05-01 12:00+00')"""
DELIVERED = "select battery_id, kind from forecast.alert_delivery order by 2"


def foretold(sql: connection, battery_id: str, low: dict[int, float], horizon: int = 1) -> None:
    """Forecast cycles, each with what its interval ends with below; above, it covers all."""
    for cycle, it in low.items():
        values = (horizon, horizon, it, battery_id, cycle - horizon)
        sql.cursor().execute(CYCLE, values)


def test_what_an_alert_looks_at(simulated: str, sql: connection) -> None:
    # the newest forecast counts, and not one that does not reach the end of life
    for battery_id, cycles in (("S0001", (51, 50)), ("S0002", (50, 51)), ("S0003", (50, None))):
        for after, it in enumerate(cycles, start=59):
            sql.cursor().execute(END, (battery_id, after, it, it is None))
    assert rows(sql, NOW) == [("S0001", "end_of_life_near")]

    # of 20 forecasts 14 within are too few, 15 are not, and 19 forecasts tell nothing yet
    for battery_id, within, count in (("S0001", 14, 20), ("S0002", 15, 20), ("S0003", 5, 19)):
        lows = [0.0] * within + [1.9] * (count - within)
        foretold(sql, battery_id, dict(zip(range(30, 30 + count), lows, strict=True)))
        foretold(sql, battery_id, {30: 1.9}, horizon=2)  # another knew more of this cycle
    assert ("S0001", "coverage_fallen") in rows(sql, NOW)
    assert {kind for _, kind in rows(sql, NOW)} == {"end_of_life_near", "coverage_fallen"}

    # the last cycle that was measured, by the forecast that knew most of it
    foretold(sql, "S0001", {60: 1.5})
    foretold(sql, "S0002", {60: 0.0})
    foretold(sql, "S0002", {60: 1.5}, horizon=2)
    assert [it for it in rows(sql, NOW) if it[1] == "capacity_drop"] == [("S0001", "capacity_drop")]
    value = rows(
        sql,
        "select value, soh_target from public_intermediate.int_alert_now as alerts"
        " inner join cycle_series as series on alerts.battery_id = series.battery_id"
        " where kind = 'capacity_drop' and cycle_index = 60",
    )
    assert value[0][0] == pytest.approx(1.5 - value[0][1])

    for battery_id, days in (("S0001", 6.9), ("S0002", 7.1), ("S0003", 89.9), ("S0004", 90.1)):
        sql.cursor().execute(
            "update battery_summary set last_recorded_at = now() at time zone 'utc'"
            " - %s * interval '1 day' where battery_id = %s",
            (days, battery_id),
        )
    silent = [battery_id for battery_id, kind in rows(sql, NOW) if kind == "no_data"]
    assert silent == ["S0002", "S0003"]


def test_of_a_battery_at_its_end_nothing_is_near(simulated: str, sql: connection) -> None:
    def changed(values: str) -> list[tuple]:  # type: ignore[type-arg]
        sql.cursor().execute(f"update battery_summary set {values} where battery_id = 'S0001'")
        return rows(sql, NOW)

    sql.cursor().execute(END, ("S0001", 60, 1, False))
    near = [("S0001", "end_of_life_near")]
    assert rows(sql, NOW) == near
    assert changed("end_of_life_cycle = 9, end_of_life_measure = 'soh', last_soh = 0.69") == []
    assert changed("last_soh = 0.7") == near  # capacity has come back
    assert changed("end_of_life_measure = 'capacity_retention', last_retention = 0.69") == []
    assert changed("last_retention = 0.7, last_soh = 0.5") == near


def test_an_alert_opens_and_closes_and_is_remembered(simulated: str, sql: connection) -> None:
    def built(*arguments: str) -> list[tuple]:  # type: ignore[type-arg]
        made = build(simulated, "--select", "int_alert_now+", *arguments)
        assert made.returncode == 0, made.stdout
        return rows(
            sql,
            "select battery_id, kind, value, threshold, until is null, until > since"
            " from fleet_alert order by battery_id, since",
        )

    for battery_id in ("S0001", "S0002", "S0003"):
        sql.cursor().execute(END, (battery_id, 60, 40, False))
    opened = [(it, "end_of_life_near", 40, 50, True, None) for it in ("S0001", "S0002", "S0003")]
    assert built() == opened
    since = "select battery_id, since from fleet_alert where until is null order by 1, 2"
    before = rows(sql, since)

    # one is over, one battery is gone; the third goes on, whatever its value
    sql.cursor().execute(
        "update forecast.end_of_life_forecast set cycles = 60 where battery_id = 'S0001'"
    )
    sql.cursor().execute("delete from battery_summary where battery_id = 'S0002'")
    sql.cursor().execute(
        "update forecast.end_of_life_forecast set cycles = 30 where battery_id = 'S0003'"
    )
    closed = [(*it[:4], False, True) for it in opened[:2]] + opened[2:]
    assert built() == closed
    assert rows(sql, since) == before[2:]

    # the threshold is the seed's: by another the first is open again, as another alert
    sql.cursor().execute(
        "update public_intermediate.alert_rule set threshold = 65 where kind = 'end_of_life_near'"
    )
    again = ("S0001", "end_of_life_near", 60, 65, True, None)
    assert built() == [closed[0], again, *closed[1:]]


class Receiver(HTTPServer):
    """A webhook that answers with the statuses given, then with 200, and keeps what it got."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.statuses = list(statuses)
        self.got: list[tuple[bytes, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-path"


class Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((body, self.headers["X-Signature-256"]))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        monkeypatch.setenv("ALERT_WEBHOOK", server.address)
        monkeypatch.setenv("ALERT_WEBHOOK_SECRET", "shared")
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def sent() -> int:
    with closing(database.connect()) as opened:
        return notify.send(opened)


def test_each_alert_is_sent_once_and_signed(
    simulated: str, sql: connection, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql.cursor().execute(OPENED, ("end_of_life_near", "1"))
    receiver.statuses = [500]
    assert sent() == 0
    (first, signature), second = receiver.got
    assert second == (first, signature)  # once more after the 500, the same
    assert json.loads(first) == {
        "battery_id": "S0001",
        "kind": "end_of_life_near",
        "since": "2026-05-01T12:00:00+00:00",
        "value": 12,
        "threshold": 50,
        "description": "Soon over.",
    }
    assert signature == "sha256=" + hmac.new(b"shared", first, hashlib.sha256).hexdigest()
    assert rows(sql, DELIVERED) == [("S0001", "end_of_life_near")]
    assert sent() == 0
    assert len(receiver.got) == 2
    # a new one is sent alone; without a secret there is no signature; a closed one is not sent
    monkeypatch.delenv("ALERT_WEBHOOK_SECRET")
    sql.cursor().execute(OPENED, ("no_data", "2"))
    sql.cursor().execute(OPENED, ("capacity_drop", "3"))
    sql.cursor().execute(
        "update public_intermediate.alert_history set dbt_valid_to = now() where dbt_scd_id = '3'"
    )
    assert sent() == 0
    assert [(json.loads(it[0])["kind"], it[1]) for it in receiver.got[2:]] == [("no_data", None)]


def test_what_is_refused_is_sent_again_and_keeps_no_other_back(
    simulated: str, sql: connection, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    sql.cursor().execute(OPENED, ("end_of_life_near", "1"))
    sql.cursor().execute(OPENED, ("no_data", "2"))
    receiver.statuses = [400]
    assert sent() == 1
    assert rows(sql, DELIVERED) == [("S0001", "no_data")]
    said = capsys.readouterr().err
    assert "did not take every alert (status 400): 1 left to the next run" in said
    receiver.statuses = [302]  # signed for this address and no other
    assert sent() == 1
    assert sent() == 0
    assert rows(sql, DELIVERED) == [("S0001", "end_of_life_near"), ("S0001", "no_data")]


def test_an_address_that_is_none_is_said(
    simulated: str, sql: connection, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    sql.cursor().execute(OPENED, ("end_of_life_near", "1"))
    for address in ("nowhere", "ftp://host/", "http://[", "http://:0/"):
        monkeypatch.setenv("ALERT_WEBHOOK", address)
        assert sent() == 1
        assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.delenv("ALERT_WEBHOOK")
    assert sent() == 0


def test_a_dead_webhook_costs_no_forecast(
    simulated: str, sql: connection, model_path: Path, receiver: Receiver
) -> None:
    sql.cursor().execute(OPENED, ("end_of_life_near", "1"))
    with Receiver() as gone:
        dead = gone.address
    made = run(
        "python", "-m", "model.predict", "--battery", "S0003", MODEL_PATH=str(model_path),
        ALERT_WEBHOOK=dead,
    )  # fmt: skip
    assert made.returncode == 1
    (line,) = [it for it in made.stderr.splitlines() if not it.startswith("batteries:")]
    assert "Connection refused" in line
    assert "secret-path" not in line
    assert rows(sql, "select count(*) from forecast.cycle_forecast") == [(100,)]
    made = run("python", "-m", "model.predict", MODEL_PATH=str(model_path))
    assert made.returncode == 0
    assert made.stdout.endswith("alerts: 1 sent\n")
    assert len(receiver.got) == 1
