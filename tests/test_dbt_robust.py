"""One bad entry is one bad entry: the build survives it, and every other battery's rows stay."""

import random
from pathlib import Path

import pytest
from psycopg2.extensions import connection

from tests.cells import CAPACITIES, cell, plain
from tests.conftest import build, load, rows

DATES = ("'{NaN,4,2,15,25,41}'", "'{0,0,0,0,0,0}'", "'{2009,2,29,15,25,41}'", "'{2008,4}'",
         "'{2099,1,1,0,0,0}'", "'{1e300,4,2,0,0,0}'", "null")  # fmt: skip
TEXTS = ("''", "'yesterday'", "'29-Feb-2009 00:00:00'", "'14-Nov-2014 25:00:00'", "null")
TYPES = ("''", "'d'", "' R '", "'?'")
NUMBERS = ("'NaN'", "'infinity'", "'-infinity'", "-4000", "0")


def arrays(column: str) -> tuple[str, ...]:
    """Ways to spoil the samples in a column."""
    bad = [f"array_fill({it}::float8, array[cardinality({column})])" for it in NUMBERS]
    return (
        *bad,
        "'{}'",
        f"{column}[:3]",
        f"{column} || {column}",
        f"array_append({column}, 'NaN')",
    )


SPOILT: dict[str, dict[str, tuple[str, ...]]] = {
    "aging_recording": {
        "date_vector": DATES,
        "recording_type": ("'charge'", "'discharge'"),
        "ambient_temperature_c": ("null", "'NaN'", "'infinity'"),
        "capacity_ah": ("null", "'NaN'", "0", "-1", "'infinity'"),
        "temperature_measured_c": ("null", *arrays("temperature_measured_c")),
        **{it: arrays(it) for it in ("time_s", "voltage_measured_v", "current_measured_a")},
    },
    "aging_impedance": {
        "date_vector": DATES,
        "electrolyte_resistance_re_ohm": ("null", "'NaN'", "'infinity'", "-1", "1e5"),
    },
    "randomized_step": {
        "date": TEXTS,
        "step_type": TYPES,
        "comment": ("''", "'dancing'", "' REFERENCE DISCHARGE '"),
        "temperature_c": ("null", *arrays("temperature_c")),
        **{it: arrays(it) for it in ("time_s", "voltage_v", "current_a")},
    },
}
KEPT = 60  # recordings of each battery: as many as say whether the others survive
SERIES = "select * from cycle_series where battery_id <> all(%s) order by battery_id, cycle_index"
QUALITY = (
    "select * from cycle_quality where battery_id <> all(%s) order by battery_id, discharge_index"
)


def copy_battery(sql: connection, battery_id: str, name: str) -> None:
    for table in ("source_file", *SPOILT):
        names = rows(
            sql,
            "select string_agg(quote_ident(column_name), ', ') from information_schema.columns"
            " where table_schema = 'staging' and table_name = %s and column_name <> 'battery_id'",
            table,
        )[0][0]
        sql.cursor().execute(
            f"insert into staging.{table} (battery_id, {names})"
            f" select %s, {names} from staging.{table} where battery_id = %s"
            + (f" and recording_index <= {KEPT}" if table != "source_file" else ""),
            (name, battery_id),
        )


def test_any_one_spoilt_entry_costs_no_other_battery_a_row(simulated: str, sql: connection) -> None:
    """A copy of a battery per way to spoil one, each in an entry picked by a seed; one build."""
    rng = random.Random(0)
    for source in ("S0001", "SRW1"):
        copy_battery(sql, source, f"whole {source}")
    spoilt: dict[str, str] = {}
    for table, columns in SPOILT.items():
        source = "SRW1" if table == "randomized_step" else "S0001"
        for column, values in columns.items():
            for value in values:
                name = f"X{len(spoilt):03d}"
                copy_battery(sql, source, name)
                indexes = rows(
                    sql, f"select recording_index from staging.{table} where battery_id = %s", name
                )
                sql.cursor().execute(
                    f"update staging.{table} set {column} = {value}"
                    " where battery_id = %s and recording_index = %s",
                    (name, rng.choice(indexes)[0]),
                )
                spoilt[name] = source
    new = [*spoilt, "whole S0001", "whole SRW1"]
    before = [rows(sql, query, new) for query in (SERIES, QUALITY)]
    made = build(simulated)
    assert made.returncode == 0, made.stdout
    assert [rows(sql, query, new) for query in (SERIES, QUALITY)] == before
    cycles = dict(rows(sql, "select battery_id, count(*) from cycle_series group by 1"))
    few = {
        name
        for name, source in spoilt.items()
        if cycles.get(name, 0) < cycles[f"whole {source}"] - 3
    }
    assert few == set(), "one entry cost a battery more than its own cycles"
    verdicts = dict(rows(sql, "select battery_id, count(*) from cycle_quality group by 1"))
    assert set(spoilt) <= set(verdicts)


SIZES = {"coin": (1e-3, 1.0, 2e-3), "5 Ah": (2.5, 1.0, 5.0), "pack": (500.0, 12.0, 1000.0),
         "not rated": (1.0, 1.0, None)}  # fmt: skip


def test_any_size_of_battery_is_built_without_a_warning(
    empty: str, sql: connection, tmp_path: Path
) -> None:
    for name, (scale, volts, rated) in SIZES.items():
        made = cell(scale)
        (tmp_path / f"{name}.csv").write_text(plain(made | {"v": made["v"] * volts}))
        facts = ["--rated-capacity-ah", rated] if rated else []
        loaded = load(tmp_path / f"{name}.csv", "--cutoff-v", 2.5 * volts, *facts)
        assert (loaded.returncode, loaded.stderr) == (0, "")
    built = build(empty)
    assert built.returncode == 0, built.stdout
    assert "WARN=0" in built.stdout
    query = (
        "select (features ->> 'discharge_capacity')::float8, soh_target from cycle_series"
        " where battery_id = %s order by cycle_index"
    )
    for name, (scale, _, rated) in SIZES.items():
        found = rows(sql, query, name)
        expected = [scale * it for it in CAPACITIES]
        assert [it for it, _ in found] == pytest.approx(expected, rel=1e-3)
        truths = [it / rated if rated else None for it in expected]
        assert [it for _, it in found] == (pytest.approx(truths, rel=1e-3) if rated else truths)
