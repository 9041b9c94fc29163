"""The same on a Citus cluster: CITUS_URL names an empty database of its coordinator."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from api.store import Store
from tests import days
from tests.conftest import ROOT, build, load, rebuild, rows

URL = os.environ.get("CITUS_URL", "")
SCHEMA = "citus_test"  # staging and forecast have no other name
DISTRIBUTED = ("--vars", "{distributed: true}")
TABLES = ("cycle_series", "cycle_features", "cycle_quality", "quality_count", "battery_summary",
          "battery_history", "cycle_pace")  # fmt: skip
COMPILED = "dbt_project/target/{}/compiled/battery_forecast/models"
# of several batteries at once, which are counted on the coordinator: a row per model and group
GATHERED = {"model_health"}

pytestmark = pytest.mark.skipif(
    not URL, reason="CITUS_URL does not name the coordinator of a Citus cluster"
)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[connection]:
    """A connection to the coordinator, which DATABASE_URL and DBT_SCHEMA name."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DBT_SCHEMA", SCHEMA)
    with closing(psycopg2.connect(URL)) as opened:
        opened.autocommit = True
        opened.cursor().execute(f"set search_path = {SCHEMA}")
        assert rows(opened, "select to_regnamespace('staging')") == [(None,)], (
            "CITUS_URL names a database that is in use: give an empty one"
        )
        yield opened
        opened.cursor().execute(
            f"drop schema if exists staging, forecast, {SCHEMA}, {SCHEMA}_intermediate cascade"
        )


@pytest.fixture
def single(empty: str) -> Iterator[connection]:
    """A connection to a database of one server, with the same schema."""
    with closing(psycopg2.connect(empty)) as opened:
        opened.autocommit = True
        opened.cursor().execute(f"set search_path = {SCHEMA}")
        yield opened


def plans(cluster: connection) -> dict[str, str]:
    """How each model of the last run is computed."""
    found = {}
    for path in (ROOT / COMPILED.format(cluster.info.dbname)).rglob("*.sql"):
        query = path.read_text().replace("%", "%%")
        # a folder named after a .yml file holds its tests; where nothing changed nothing is read
        if not path.parent.suffix and "where false" not in query:
            lines = rows(cluster, f"explain (verbose, costs off) {query}")
            found[path.stem] = "\n".join(line for (line,) in lines)
    return found


def assert_nothing_moves(cluster: connection) -> None:
    """Fail where a model is not computed where its batteries lie, each in one go."""
    found = plans(cluster)
    assert {"int_recordings", "int_discharge_parts", "int_cycles", "cycle_curve"} <= found.keys()
    moved = {
        name for name, plan in found.items() if "Distributed Subplan" in plan or "MapMerge" in plan
    }
    assert moved <= GATHERED
    assert "Citus Adaptive" in found["int_discharge_parts"]


def assert_equal(cluster: connection, single: connection) -> None:
    for table in TABLES:
        query = f"select row(it.*)::text from {table} as it"
        assert sorted(rows(cluster, query)) == sorted(rows(single, query)), table


def test_a_cluster_says_what_one_server_does(
    cluster: connection,
    single: connection,
    empty: str,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = days.deliver(tmp_path, "C1", days.cycling(1, 30))

    def on_both(*arguments: object) -> None:
        for url in (URL, empty):
            loaded = load(*arguments, DATABASE_URL=url)
            assert loaded.returncode == 0, loaded.stderr

    def build_both() -> None:
        rebuild(empty)
        rebuild(URL, *DISTRIBUTED)
        assert_nothing_moves(cluster)
        assert_equal(cluster, single)

    on_both(recordings, *files[:3], *days.FACTS)
    for url, arguments in ((empty, ()), (URL, DISTRIBUTED)):
        made = build(url, *arguments)
        assert made.returncode == 0, made.stdout
    assert_nothing_moves(cluster)
    assert_equal(cluster, single)

    build_both()  # nothing has changed
    on_both(files[3], *days.FACTS)  # one day more
    build_both()
    on_both("remove", "--yes", "S0004")
    build_both()
    on_both(recordings)  # one cell more
    on_both("remove", "--yes", "C1", "--piece", files[1].name)
    build_both()

    monkeypatch.setenv("DATABASE_URL", URL)
    store = Store()
    (first,) = [it["battery_id"] for it in store.rows("known")][:1]
    (curve,) = store.rows("curve", battery_id=first, cycle_index=1)
    assert len(curve["time_s"]) == len(curve["voltage_v"]) > 10
    assert store.rows("cycles", battery_id=first, limit=5, offset=0)
    fleet = store.rows(
        "batteries", limit=100, offset=0, sort="-last_soh", min_soh=None, max_soh=None, search="",
        flag=None, model_version="", by_forecast=True, battery_ids=None,
    )  # fmt: skip
    assert len(fleet) == rows(single, "select count(*) from battery_summary")[0][0]
    for name in ("alert_count", "model_health"):
        store.rows(name)
    store.close()
