"""Nothing in the row of a cycle was measured after it ended: what came later is taken away."""

from pathlib import Path

import pytest
from psycopg2.extensions import connection

from tests.conftest import rebuild, rows

CUTS = (Path(__file__).parent / "cuts.sql").read_text(encoding="utf-8")
SERIES = (
    "select series.* from cycle_series as series inner join cuts"
    " on series.battery_id = cuts.battery_id and series.cycle_index <= cuts.cycle_index"
    " order by series.battery_id, series.cycle_index"
)


def cut_and_compare(url: str, sql: connection, seed: str) -> None:
    with sql.cursor() as cursor:
        cursor.execute(CUTS, {"seed": seed})
    before = rows(sql, SERIES)
    assert [(len(before),)] < rows(sql, "select count(*) from cycle_series")
    for table in ("aging_recording", "aging_impedance", "randomized_step"):
        sql.cursor().execute(
            f"delete from staging.{table} as it using cuts"
            " where it.battery_id = cuts.battery_id and it.recording_index > cuts.recording_index"
        )
    rebuild(url, "--full-refresh")
    assert rows(sql, "select count(*) from cycle_series") == [(len(before),)]
    for old, new in zip(before, rows(sql, SERIES), strict=True):
        assert new == old


def test_simulated_cycles_know_nothing_of_what_follows(simulated: str, sql: connection) -> None:
    cut_and_compare(simulated, sql, "one")


@pytest.mark.nasa
def test_nasas_cycles_know_nothing_of_what_follows(nasa: str, sql: connection) -> None:
    cut_and_compare(nasa, sql, "two")
