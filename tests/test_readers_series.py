"""Samples in a row become recordings: time, signs, splits and counters, on a made-up cell."""

from dataclasses import replace

import numpy as np
import pytest

from loader.battery import LoaderError
from loader.readers import series
from loader.readers.timeline import Table
from loader.reading import Reading
from tests.cells import CAPACITIES, FACTS, Floats, cell, delivered

CLOCK_S = 1_711_800_000.0


def table(
    made: dict[str, Floats],
    name: str = "a.csv",
    columns: dict[str, Floats] | None = None,
    **more: Floats,
) -> Table:
    own = {"time": made["t"], "voltage": made["v"], "current": made["i"]}
    return Table(name, own | (columns or {}) | more)


def capacities(*tables: Table, reading: Reading = FACTS) -> list[float]:
    return delivered(series.battery("X", tables, reading))


def cut(made: dict[str, Floats], at: int, first: float = 0.0) -> list[dict[str, Floats]]:
    """Two files of one test, the second of which begins to count again at `first`."""
    one = {name: values[:at] for name, values in made.items()}
    two = {name: values[at:] for name, values in made.items()}
    return [one, two | {"t": two["t"] - two["t"][0] + first}]


def test_the_cell_is_what_it_says() -> None:
    found = series.battery("X", [table(cell())], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.discharges == 4
    assert [it.recording_type for it in found.tables["tabular_recording"]] == [  # type: ignore[attr-defined]
        "charge", "rest", "discharge", "rest",
    ] * 4  # fmt: skip
    assert found.largest_current_a == 2.0
    assert found.charge_limit_v == pytest.approx(4.2, abs=0.02)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 500.0])
def test_any_size_of_cell_is_cut_the_same_way(scale: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01 * scale, cell()["t"].size)
    made = cell(scale)
    resting = made["i"] == 0
    made["i"] = np.where(resting, noise, made["i"])
    for rated in (2.0 * scale, None):
        reading = replace(FACTS, rated_capacity_ah=rated)
        found = capacities(table(made), reading=reading)
        assert found == pytest.approx([scale * it for it in CAPACITIES], rel=2e-3)


def test_a_slow_test_is_no_rest() -> None:
    made = cell()
    slow = {**made, "t": made["t"] * 40, "i": made["i"] / 40}
    assert capacities(table(slow)) == pytest.approx(CAPACITIES, rel=1e-6)


@pytest.mark.parametrize("by", ["step", "cycle"])
def test_time_that_starts_again_is_carried_on(by: str) -> None:
    made = cell()
    starts = np.flatnonzero(np.diff(made[by], prepend=np.nan))
    own = made["t"] - np.repeat(made["t"][starts], np.diff([*starts, made["t"].size])) + 0.001
    found = capacities(table(made | {"t": own}, columns={by: made[by]}))
    assert found == pytest.approx(CAPACITIES, rel=1e-5)


def test_time_that_goes_back_for_no_reason_is_refused_with_its_row() -> None:
    made = cell()
    made["t"][150:] -= 3600
    with pytest.raises(LoaderError, match=r"a\.csv, row 151: time goes back from .*--column step"):
        capacities(table(made))


def test_samples_in_reverse_are_turned_and_those_that_stand_twice_count_once() -> None:
    made = cell()
    reverse = {name: values[::-1] for name, values in made.items()}
    assert capacities(table(reverse)) == pytest.approx(CAPACITIES, rel=1e-6)
    twice = {name: np.concatenate([it[:400], it[300:]]) for name, it in made.items()}
    found = series.battery("X", [table(twice)], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.notes == ("100 samples stand twice, and count once",)


def test_a_discharge_cut_by_a_files_end_is_one_discharge() -> None:
    made = cell()
    at = int(np.flatnonzero(made["i"] < 0)[20])
    one, two = cut(made, at)
    found = series.battery("X", [table(two, "test_10.csv"), table(one, "test_9.csv")], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.discharges == 4


def test_files_are_put_in_order_by_their_dates_or_cycles_before_their_names() -> None:
    made = cell()
    one, two = cut(made, 360)
    late = two["t"] + made["t"][360] + CLOCK_S
    dated = [table(two, "a", clock=late), table(one, "b", clock=one["t"] + CLOCK_S)]
    assert capacities(*dated) == pytest.approx(CAPACITIES, rel=1e-5)
    counted = [table(two, "a", cycle=two["cycle"]), table(one, "b", cycle=one["cycle"])]
    assert capacities(*counted) == pytest.approx(CAPACITIES, rel=1e-3)
    going_on = [table(it, name) for it, name in zip(_halves(made, 360), "ba", strict=True)]
    assert capacities(*going_on) == pytest.approx(CAPACITIES, rel=1e-6)


def test_cycles_count_on_where_a_file_counts_from_one_again() -> None:
    made = cell()
    at = int(np.flatnonzero(made["cycle"] == 3)[0])
    one, two = cut(made, at)
    again = two["cycle"] - 2
    found = series.battery(
        "X", [table(one, "1", cycle=one["cycle"]), table(two, "2", cycle=again)], FACTS
    )
    counts = [it.cycle_count for it in found.tables["tabular_recording"]]  # type: ignore[attr-defined]
    assert counts == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4


def test_what_a_later_export_repeats_counts_once() -> None:
    made = cell()
    clock = made["t"] + CLOCK_S
    half = {name: it[:400] for name, it in made.items()}
    parts = [table(half, "half", clock=clock[:400]), table(made, "whole", clock=clock)]
    found = series.battery("X", parts, FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.notes == ("whole: 400 samples stand in half too, and count once",)


def test_two_batteries_under_one_name_are_refused() -> None:
    made, other = cell(), cell(0.9)
    clock = made["t"] + CLOCK_S
    with pytest.raises(LoaderError, match="a and b cover the same time with different samples"):
        capacities(table(made, "a", clock=clock), table(other, "b", clock=clock))


def test_a_clock_set_back_between_two_files_is_told_and_bridged() -> None:
    made = cell()
    at = int(np.flatnonzero(made["step"] == 9)[0])
    one, two = cut(made, at)
    clocks = one["t"] + CLOCK_S, two["t"] + one["t"][-1] - 600 + CLOCK_S
    parts = [table(it, n, clock=c) for it, n, c in zip((one, two), "ab", clocks, strict=True)]
    found = series.battery("X", parts, FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-3)
    assert found.notes == ("b: begins 600 s before a ends; taken to follow it",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("unsigned", ""),
        ("flipped", "current is positive on discharge, by the column of states"),
        ("right", ""),
    ],
)
def test_a_column_of_states_tells_the_sign(change: str, said: str) -> None:
    made = cell()
    state = np.sign(made["i"])
    current = {"unsigned": np.abs(made["i"]), "flipped": -made["i"], "right": made["i"]}[change]
    found = series.battery("X", [table(made | {"i": current}, state=state)], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert "".join(found.notes) == said


def test_a_counter_of_discharge_tells_the_sign_and_what_was_delivered() -> None:
    made = cell()
    step_s = np.diff(made["t"], prepend=0.0)
    counter = np.cumsum(np.where(made["i"] < 0, 2.0 * step_s, 0.0)) / 3600
    found = series.battery("X", [table(made | {"i": -made["i"]}, discharge_counter=counter)], FACTS)
    assert found.notes == ("current is positive on discharge, by the counter of discharge",)
    counted = [
        it.counted_ah  # type: ignore[attr-defined]
        for it in found.tables["tabular_recording"]
        if it.recording_type == "discharge"  # type: ignore[attr-defined]
    ]
    assert counted == pytest.approx(CAPACITIES, rel=1e-4)


@pytest.mark.parametrize(
    ("current", "said"),
    [
        (lambda i: -i, "voltage rises in 4 and falls in 0 discharges"),
        (lambda i: np.abs(i), "no current ever changes sign"),
        (lambda i: 0 * i, "no current flows"),
    ],
)
def test_what_looks_wrong_is_warned_of_with_the_option(current, said: str) -> None:  # type: ignore[no-untyped-def]
    made = cell()
    (note,) = series.battery("X", [table(made | {"i": current(made["i"])})], FACTS).notes
    assert note.startswith("warning: ")
    assert said in note
    assert "--c" in note


def test_pulses_of_the_other_sign_are_part_of_a_discharge() -> None:
    made = cell()
    loaded = np.flatnonzero(made["i"] < 0)
    made["i"][loaded[5::10]] = 0.5
    made["step"] = np.cumsum(np.diff(made["i"], prepend=0.0) != 0).astype(float)
    for more in ({}, {"step": made["step"]}):
        found = series.battery("X", [table(made, columns=more)], FACTS)
        assert found.discharges == 4
        assert len(delivered(found)) == 4
        kinds = [it.recording_type for it in found.tables["tabular_recording"]]  # type: ignore[attr-defined]
        assert kinds.count("discharge") == 4


def test_a_step_that_begins_with_its_first_interval_missing_says_so() -> None:
    made = cell()
    first = np.flatnonzero(np.diff(made["step"], prepend=np.nan))
    kept = np.setdiff1d(np.arange(made["t"].size), first)
    late = {name: values[kept] for name, values in made.items()}
    found = series.battery("X", [table(late)], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-4)
    leads = [
        it.lead_in_s  # type: ignore[attr-defined]
        for it in found.tables["tabular_recording"]
        if it.recording_type == "discharge"  # type: ignore[attr-defined]
    ]
    assert leads == pytest.approx([60.0] * 4, abs=0.01)


def _halves(made: dict[str, Floats], at: int) -> list[dict[str, Floats]]:
    return [{name: it[part] for name, it in made.items()} for part in (slice(at), slice(at, None))]


def test_dates_tell_the_unit_of_a_time_that_no_header_tells() -> None:
    made = cell()
    minutes = replace(table({**made, "t": made["t"] / 60}), is_time_unit_told=False)
    minutes.columns["clock"] = np.floor(made["t"]) + CLOCK_S
    found = series.battery("X", [minutes], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.notes == ("time is in min, by the dates beside it",)


def test_a_unit_that_contradicts_the_counter_or_any_battery_is_warned_of() -> None:
    made = cell()
    step_s = np.diff(made["t"], prepend=0.0)
    counter = np.cumsum(np.where(made["i"] < 0, 2.0 * step_s, 0.0)) / 3600
    wrong = table({**made, "t": made["t"] / 2}, discharge_counter=counter)
    (note,) = series.battery("X", [wrong], FACTS).notes
    assert note.startswith("warning: current times time makes 0.5 of what the cycler counted")
    (note,) = series.battery("X", [table({**made, "v": made["v"] * 1e3})], FACTS).notes
    assert note == "warning: 4,200 V is much: in mV, say --column voltage=NAME:mV"


def test_discharges_without_the_charges_between_them_are_told_apart() -> None:
    made = cell()
    kept = np.flatnonzero((made["i"] < 0) | (made["step"] % 4 == 0))  # and the rests after them
    found = series.battery("X", [table({name: it[kept] for name, it in made.items()})], FACTS)
    assert found.discharges == 4
    rows = [it for it in found.tables["tabular_recording"] if it.recording_type == "discharge"]  # type: ignore[attr-defined] # fmt: skip
    assert len({it.cycle_count for it in rows}) == 4  # type: ignore[attr-defined]
    assert "no current ever changes sign" in found.notes[0]


@pytest.mark.parametrize("leap_a", [-100.0, 100.0])
def test_one_sample_of_another_current_is_left_out_where_the_voltage_knows_nothing_of_it(
    leap_a: float,
) -> None:
    made = cell()
    at = int(np.flatnonzero(made["i"] < 0)[10])
    made["i"][at] = leap_a
    found = series.battery("X", [table(made)], FACTS)
    assert delivered(found) == pytest.approx(CAPACITIES, rel=1e-6)
    assert found.notes == ("1 samples are left out: their current leaps, and nothing else",)
    made["v"][at] -= 1.0  # it was drawn
    assert series.battery("X", [table(made)], FACTS).notes == ()
