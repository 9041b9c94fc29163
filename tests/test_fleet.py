"""What the fleet network sees of a battery, and what it may never see: on made-up cycles."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from psycopg2.extensions import connection

import database
from model import (
    backtest,
    data,
    evaluate_fleet,
    fit_fleet,
    fleet,
    fleet_network,
    forecast,
    predict,
    spread,
    train,
)
from model.asked import together
from model.columns import Array, measured
from model.config import Config
from model.data import ModelError
from model.fleet import INPUTS, Coming, Steps
from model.fleet_network import FleetNetwork, Said
from model.levels import Levels, Point
from model.window import Answer, answer
from model.window_fleet import FleetWindows
from tests.conftest import rows

Cycles = list[dict[str, Any]]
FADING = [2.0, 1.98, 1.9602]  # by 1 % a cycle
NOTHING = Coming()


def cycles(capacity: list[float] | Array, **told: float | None) -> Cycles:
    """Cycles of a 2 Ah cell at 2 A and 24 °C, with some noise in all that is not told."""
    noise = np.random.default_rng(0)
    made, throughput = [], 0.0
    for charge in map(float, capacity):
        throughput += 1.02 * charge
        made.append(
            {
                "discharge_capacity": charge,
                "soh_target": charge / 2,
                "avg_current_load": 2.0,
                "ambient_temperature": 24.0,
                "max_temperature": 35 + noise.normal(),
                "avg_voltage_load": 3.5 + 0.01 * noise.normal(),
                "time_to_discharge": 1800 * charge,
                "throughput_ah": throughput,
                "charge_capacity": 1.03 * charge + 0.01 * noise.normal(),
                "cc_charge_time": 3000 + 50 * noise.normal(),
                "cv_charge_time": 6000 + 50 * noise.normal(),
                "rest_hours": 3.5 + noise.random(),
                "rest_after_hours": 0.2 + noise.random(),
                "rest_before_hours": 0.2 + noise.random(),
                **told,
            }
        )
    return made


def walk(count: int = 30) -> Array:
    """Capacities of a cell that fades, with regenerations, Ah."""
    noise = np.random.default_rng(1).normal(size=count)
    walked: Array = 2 - 0.006 * np.arange(count) + 0.01 * noise
    return walked


def seen(*pasts: Cycles, coming: Coming = NOTHING) -> Steps:
    """What the network sees of some windows, put below one another at their ends."""
    longest = max(map(len, pasts))
    told = np.full((len(pasts), longest + 1, len(fleet.NAMES)), np.nan)
    capacity = np.full((len(pasts), longest), np.nan)
    for at, past in enumerate(pasts):
        told[at, -1 - len(past) :] = measured([*past, coming._asdict()], fleet.NAMES)
        capacity[at, longest - len(past) :] = fleet.truth(past)
    return fleet.steps(told, capacity)


def column(made: Steps, name: str) -> Array:
    values: Array = made.inputs[0, :, INPUTS.index(name)]
    return values


def test_median_and_spread_by_hand() -> None:
    nan = np.nan
    given = np.array([[3.0, nan, 1.0, 4.0], [nan, nan, nan, 2.0], [nan, 4.0, 2.0, nan]])
    np.testing.assert_array_equal(
        spread.median_lately(given, 3), [[3, 3, 2, 2.5], [nan, nan, nan, 2], [nan, 4, 3, 3]]
    )
    change = np.array([nan, -0.01, 0.03, 0.0])
    usual, own = np.log(6e-3), np.log([0.01, 0.02, 0.01])  # medians of 1, 2 and 3 changes
    counts = np.array([1, 2, 3])
    wanted = np.exp([usual, *((counts * own + 2 * usual) / (counts + 2))])
    np.testing.assert_allclose(spread.spread(change), wanted)
    # less than a cycler resolves is no spread; the last 20 changes count
    assert spread.spread(np.zeros(100))[-1] == pytest.approx(
        np.exp((20 * np.log(5e-4) + 2 * usual) / 22)
    )
    long = np.append(np.full(50, 0.5), np.full(20, 0.01))
    assert spread.spread(long)[-1] == pytest.approx(np.exp((20 * np.log(0.01) + 2 * usual) / 22))
    gaps = np.array([1.0, nan, 0.99, nan])
    alone = np.array([1.0, nan, nan, nan])
    found = spread.of_each(np.stack([gaps, alone]))
    assert found == pytest.approx([spread.spread(np.array([nan, -0.01]))[-1], 6e-3])
    many = walk()
    windows = np.lib.stride_tricks.sliding_window_view(many, 30)
    changes = np.diff(windows) / windows[:, :-1]
    assert spread.of_each(windows) == pytest.approx(spread.spread(changes)[:, -1])


def test_changes_are_told_in_the_batterys_own_spreads() -> None:
    made = seen(cycles(FADING))
    unit = spread.spread(np.array([np.nan, -0.01, -0.01]))
    np.testing.assert_allclose(made.spread[0], unit)
    np.testing.assert_allclose(made.change[0], [-0.01 / unit[0], -0.01 / unit[1], np.nan])
    squeezed = 4 * np.tanh(-0.01 / unit / 4)
    np.testing.assert_allclose(column(made, "change"), [np.nan, *squeezed[1:]])
    np.testing.assert_allclose(column(made, "change before"), [np.nan, np.nan, squeezed[2]])
    middle = 4 * np.tanh((1.98 / 1.9602 - 1) / unit[2] / 4)
    assert column(made, "median of 5")[-1] == pytest.approx(middle)
    np.testing.assert_allclose(column(made, "spread"), np.log(unit / 6e-3))
    assert made.age == 0
    assert not made.is_new_point


def test_cycles_at_another_operating_point_are_left_out() -> None:
    past = cycles([2.0, 1.0, 1.98, 1.1, 1.9602])
    for other in ({"avg_current_load": 4.0}, {"ambient_temperature": 30.0}):
        mixed = [it | other if at % 2 else it for at, it in enumerate(past)]
        np.testing.assert_allclose(seen(mixed).change, seen(cycles(FADING)).change)
        ending = mixed[:-1]  # the last is at the other point, and the coming one as well
        assert seen(ending).change[0, 0] == pytest.approx(0.1 / 6e-3)
        assert seen(ending).age == 0
        back = seen(ending, coming=Coming(avg_current_load=2.0, ambient_temperature=24.0))
        assert back.count == 2
        assert back.age == 1
        assert not back.is_new_point
    alike = [it | {"avg_current_load": 2.2, "ambient_temperature": None} for it in past]
    assert seen([*past[:2], *alike[2:]]).count == 5  # what is not known does not differ


def test_a_new_operating_point_is_told() -> None:
    made = seen(cycles(FADING), coming=Coming(avg_current_load=4.0))
    assert made.is_new_point
    assert made.count == 3
    assert made.age == 0
    # what the charge before it took in compares with none
    charged = Coming(avg_current_load=4.0, charge_capacity=2.0, cc_charge_time=3000.0)
    assert np.isnan(seen(cycles(FADING), coming=charged).inputs[0, -1, fleet.CHARGE[1:]]).all()
    planned = [
        Coming(ambient_temperature=40.0), Coming(avg_current_load=2.2), Coming(),
        Coming(avg_current_load=4.0),
    ]  # fmt: skip
    nothing: list[None] = [None] * len(planned)
    ((_, windows),) = together([cycles(FADING)] * len(planned), 3, nothing, nothing, planned)
    assert windows.is_elsewhere().tolist() == [True, False, False, True]


def test_a_cycle_without_ground_truth_is_left_out() -> None:
    past = cycles([2.0, 0.3, 1.98, 1.9602, 0.2])
    for at in (1, 4):
        past[at]["soh_target"] = None
    made = seen(past)
    np.testing.assert_allclose(made.change, seen(cycles(FADING)).change)
    assert made.age == 1


def test_what_is_not_known_is_nan_and_masked() -> None:
    bare = cycles(
        FADING, max_temperature=None, charge_capacity=None, rest_after_hours=None,
        throughput_ah=None,
    )  # fmt: skip
    made = seen(bare)
    for name in ("temperature", "charge", "balance", "tail", "rest after", "unusual rest after"):
        assert np.isnan(column(made, name)).all()
    for name in ("cc time", "rest before"):  # of the coming cycle nothing is told
        assert np.isfinite(column(made, name)[1])
        assert np.isnan(column(made, name)[-1])
    shown = fleet.masked(made)
    count = len(INPUTS)
    assert np.isfinite(shown).all()
    np.testing.assert_array_equal(shown[..., count:], np.isnan(made.inputs))
    assert (shown[..., :count][np.isnan(made.inputs)] == 0).all()
    told = seen(bare, coming=Coming(cc_charge_time=2900.0, rest_before_hours=1.0))
    assert np.isfinite(column(told, "cc time")[-1])
    assert column(told, "rest before")[-1] == pytest.approx(np.log(2))


def larger(past: Cycles, factor: float = 25.0) -> Cycles:
    """The same cell with so many times its capacity, load and charges, in parallel so to say."""
    names = (
        "discharge_capacity", "avg_current_load", "throughput_ah", "charge_capacity"
    )  # fmt: skip
    return [it | {name: factor * it[name] for name in names} for it in past]


def test_a_larger_cell_is_seen_alike() -> None:
    past = cycles(walk())
    coming, scaled = (
        Coming(**{name: it[-1].get(name) for name in fleet.FOREKNOWN})
        for it in (past, larger(past))
    )
    one, other = seen(past[:-1], coming=coming), seen(larger(past[:-1]), coming=scaled)
    np.testing.assert_allclose(other.inputs, one.inputs, atol=1e-9)
    np.testing.assert_allclose(other.change, one.change, atol=1e-9)
    assert np.isfinite(one.inputs[0, -1]).all()


@pytest.fixture
def network() -> FleetNetwork:
    torch.manual_seed(0)
    made = FleetNetwork(Config(features=("fleet",)))
    made.eval()
    return made


def said(network: FleetNetwork, windows: Steps) -> Array:
    return network.run(fleet.masked(windows))


def test_a_window_alone_is_answered_as_beside_longer_ones(network: FleetNetwork) -> None:
    windows = [cycles(walk(count)) for count in (5, 50, 12)]
    every = seen(*windows)
    for row, (it, batched) in enumerate(zip(windows, said(network, every), strict=True)):
        one = seen(it)
        assert one.count == every.count[row] == len(it)
        steps = slice(len(it))
        np.testing.assert_array_equal(one.inputs[0], every.inputs[row, steps])
        np.testing.assert_array_equal(one.change[0], every.change[row, steps])
        np.testing.assert_allclose(said(network, one)[0], batched[steps], atol=1e-6)
    assert np.isnan(every.inputs[0, 5:]).all()
    assert not fleet.masked(every)[0, 5:].any()


def test_what_is_said_after_a_cycle_knows_nothing_of_later_ones(network: FleetNetwork) -> None:
    past = cycles(walk())
    foreknown = set(fleet.FOREKNOWN) - {"avg_current_load", "ambient_temperature"}
    (usual,) = said(network, seen(past))
    for end in (5, 12, 20):
        # of the next cycle stays what is known when it begins
        others = larger(past[end:], 1.05)
        others[0] |= {name: past[end][name] for name in foreknown}
        others = [it | {"max_temperature": 60.0, "avg_voltage_load": 3.0} for it in others]
        (other,) = said(network, seen([*past[:end], *others]))
        np.testing.assert_allclose(usual[:end], other[:end], atol=1e-6)
        assert np.abs(usual[end:] - other[end:]).max() > 1e-3


def gate(told: Array, came: Array, pull: float, share: float) -> float:
    made = Said((told @ came)[None], (told @ told)[None], told[-1:])
    return float(made.gate(pull, share)[0])


def test_the_gate_opens_as_far_as_the_network_was_right() -> None:
    told = np.array([1.0, -2.0, 0.5, 1.5] * 5)
    none = np.zeros(0)
    assert gate(none, none, 10, 0.6) == pytest.approx(0.6)  # no past: the share of others
    assert gate(told, 0.6 * told, 10, 0.6) == pytest.approx(0.6)
    right, wrong = gate(told, told, 10, 0.6), gate(told, -0.1 * told, 10, 0.6)
    assert 0.8 < right < 1
    assert 0 < wrong < 0.2
    assert gate(told, -9 * told, 10, 0.6) == 0
    assert gate(told, 9 * told, 10, 0.6) == 1
    noise = np.random.default_rng(0)
    for _ in range(100):
        told, came = noise.normal(0, 9, (2, 20))
        assert 0 <= gate(told, came, 5, 1) <= 1


def test_the_gate_follows_the_last_20_changes_and_waits_for_3_cycles(network: FleetNetwork) -> None:
    network.gate = torch.tensor([10, 0.6], dtype=torch.float64)
    made = seen(cycles(walk(40)))
    output = np.nan_to_num(made.change, nan=2.0)  # always right; 2 spreads are to come
    change, errors = network.gated(made, output)
    told, came = fleet_network.past(made, output)
    assert errors.shape == told.shape == (1, 20)
    np.testing.assert_array_equal(came, made.change[:, -21:-1])
    assert 1.2 < change < 2
    old = np.append(-output[:, :19], output[:, 19:], axis=1)  # wrong, but long ago
    assert network.gated(made, old)[0] == change
    assert network.gated(made, -output)[0] == 0
    young = seen(cycles(FADING[:2]))
    change, errors = network.gated(young, np.full((1, 2), 9.0))
    assert change == 0
    assert np.isnan(errors).all()
    grown = network.gated(seen(cycles(FADING)), np.full((1, 3), 9.0))
    assert grown[0] == pytest.approx(0.6 * 9)


def levels() -> Levels:
    """Four groups of two cells: 1 C and 4 C, at 24 and 4 °C."""
    made = Levels()
    told = {(1.0, 24.0): 0.9, (4.0, 24.0): 0.8, (1.0, 4.0): 0.7, (4.0, 4.0): 0.5}
    points = [Point(*at, soh + off) for at, soh in told.items() for off in (-0.01, 0.01)]
    made.fit(points, [f"{it.c_rate} {it.ambient_c}" for it in points])
    return made


def test_a_level_at_a_point_seen_in_training_is_near_those_there() -> None:
    made, here = levels(), Point(1.0, 24.0, 0.9)
    for at, wanted in (((4.0, 4.0), 0.5), ((1.0, 4.0), 0.7), ((4.0, 24.0), 0.8)):
        soh, low, high = made.forecast(here, Point(*at))
        assert soh == pytest.approx(wanted, rel=0.12)
        assert low < soh < high
    # a cell that gives less than others where it was seen gives less at a like point
    like = Point(1.5, 24.0)
    assert made.forecast(replace(here, soh=0.8), like)[0] < made.forecast(here, like)[0]


def width(made: Levels, seen: Point, coming: Point) -> float:
    _, low, high = made.forecast(seen, coming)
    return float(np.log(high / low))


def test_the_interval_of_a_level_widens_with_the_distance() -> None:
    made, here = levels(), Point(1.0, 24.0, 0.9)
    widths = [width(made, here, Point(1.0, ambient)) for ambient in (24.0, 20.0, 14.0, 4.0)]
    assert widths[0] == pytest.approx(0)
    assert (np.diff(widths) > 0).all()
    assert made.forecast(here, here)[0] == pytest.approx(0.9)


def test_an_ambient_that_is_not_known_neither_differs_nor_narrows() -> None:
    made, unknown = levels(), float("nan")
    here, seen = Point(1.0, unknown, 0.9), Point(1.0, 24.0, 0.9)
    assert made.forecast(here, here)[0] == pytest.approx(0.9)
    for at in (4.0, unknown):
        assert np.isfinite(made.forecast(here, Point(4.0, at))).all()
        assert np.isfinite(made.forecast(seen, Point(4.0, at))).all()
    # told of one point alone it may be as far away as any
    far = width(made, seen, Point(1.0, 90.0))
    assert width(made, here, Point(1.2, 4.0)) == pytest.approx(far)
    assert width(made, seen, Point(1.2, unknown)) == pytest.approx(far)


def test_how_wrong_levels_are_is_told_by_groups_left_out() -> None:
    made = Levels()
    here = [Point(1.0, 24.0, soh) for soh in (0.9, 0.9, 0.6)]
    made.fit(here, ["one", "one", "two"])
    assert float(made.error) == pytest.approx(np.log(0.9 / 0.6))
    # of a single group: as wrong as its points lie apart
    made.fit([Point(1.0, 24.0, 0.9), Point(2.0, 24.0, 0.5)], ["one", "one"])
    assert float(made.error) == pytest.approx(np.log(0.9 / 0.5))


THREE = ("S0001", "S0002", "S0004")
FLEET = Config(train=THREE, test=("S0003",), features=("fleet",), epochs=2)


@pytest.fixture(scope="module")
def model(simulated_template: str, tmp_path_factory: pytest.TempPathFactory) -> forecast.Model:
    """All three networks, trained on simulated cells."""
    folder = tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", simulated_template)
        for features in ("spec", "extended"):
            train.run(replace(FLEET, train=THREE[:2], features=(features,)), folder)
        train.run(FLEET, folder)
    return forecast.load(folder / "model.pth")


@pytest.fixture
def past(simulated: str, sql: connection) -> Cycles:
    """The 60 cycles of S0003, which no network learned from."""
    return [*data.histories(sql, ["S0003"])["S0003"]]


def without(window: Cycles, *names: str) -> Cycles:
    return [{name: it for name, it in cycle.items() if name not in names} for cycle in window]


def told(*asked: Any, **given: Any) -> forecast.Prediction:
    (made,) = forecast.predict(*asked, **given)
    return made


def by_fleet(model: forecast.Model, window: Cycles, rated_ah: float | None = None) -> Answer:
    """What the fleet network says, whichever network would be asked."""
    assert model.fleet
    ((_, asked),) = together([window], len(window), [None], [rated_ah], [NOTHING])
    (made,) = answer(FleetWindows(model.fleet, asked))
    return made


def test_the_length_of_a_window_tells_who_answers(model: forecast.Model, past: Cycles) -> None:
    assert (model.shortest, model.window) == (5, 50)
    for count in (5, 10, 49):
        made = told(model, [past[:count]])
        assert (made.features, made.reason) == ("fleet", "fewer than 50 cycles")
        assert made.next_soh
        soh, low, high = made.next_soh
        assert low < soh < high
        assert soh == pytest.approx(past[count - 1]["soh_target"], abs=0.03)
    made = told(model, [past[:50]])
    assert (made.features, made.reason) == ("extended", "like what it learned from")
    with pytest.raises(forecast.TooFewCyclesError, match="4 cycles, the model needs 5"):
        forecast.predict(model, [past[:4]])
    steps = forecast.one_steps(model, past)
    assert list(steps) == list(range(6, 62))
    assert {it.features for number, it in steps.items() if number <= 50} == {"fleet"}


def test_a_larger_cell_is_answered_alike(model: forecast.Model, past: Cycles) -> None:
    for count in (10, 50):
        window = without(past[:count], "soh_target")
        large = told(model, [larger(window)], rated_capacity_ah=[50.0])
        small = by_fleet(model, window, 2.0)
        assert isinstance(small, forecast.Prediction)
        assert large.next_soh == pytest.approx(small.next_soh, abs=1e-6)
        assert large.features == "fleet"
        assert large.soh is not None
        assert large.capacity_ah == pytest.approx(50 * large.soh)
        assert "avg_current_load" in large.unlike_training
    assert large.reason.startswith("unlike what extended learned from: avg_current_load")
    assert told(model, [larger(past[:50])]).capacity_ah == pytest.approx(large.capacity_ah)


def test_a_window_without_a_temperature_is_answered(model: forecast.Model, past: Cycles) -> None:
    for blind in (
        without(past[:50], "max_temperature"),
        [{**it, "max_temperature": None} for it in past[:50]],
    ):
        made = told(model, [blind])
        assert made.features == "fleet"
        assert "spec cannot answer: none of the last 50 cycles has max_temp" in made.reason
    alone = replace(model, fleet=None)
    with pytest.raises(forecast.WindowError, match="is there no temperature sensor"):
        forecast.predict(alone, [blind])


def test_another_operating_point_is_answered_by_other_cells(
    model: forecast.Model, past: Cycles
) -> None:
    coming = Coming(avg_current_load=4.0, ambient_temperature=4.0)
    made = told(model, [past[:50]], coming=[coming])
    assert made.features == "fleet"
    assert made.reason == "the coming cycle is at another operating point"
    assert made.next_soh
    soh, low, high = made.next_soh
    assert low < soh < high
    (ambient,) = {it["ambient_temperature"] for it in past[:50]}
    one, other = (
        told(model, [past[:50]], coming=[Coming(avg_current_load=4.0, ambient_temperature=it)])
        for it in (None, ambient)
    )
    assert one.next_soh == other.next_soh  # what is not told is as it was
    with pytest.raises(forecast.WindowError, match="no network here can answer at another load"):
        forecast.predict(replace(model, fleet=None), [past[:50]], coming=[coming])
    unrated = without(past[:50], "soh_target")
    with pytest.raises(forecast.WindowError, match="send rated_capacity_ah"):
        forecast.predict(model, [unrated], coming=[coming])


def test_a_walk_is_never_taken_for_health(
    model: forecast.Model, simulated: str, sql: connection
) -> None:
    walked: Cycles = [*data.histories(sql, ["SRW1"])["SRW1"]]
    truths = [it["soh_target"] for it in walked]
    assert 0 < sum(it is not None for it in truths) < len(truths) / 3
    made = forecast.backtest(model, walked)
    assert made
    assert {it.features for it in made.values()} == {"fleet"}
    for number, it in made.items():
        known = [soh for soh in truths[: number - 1] if soh is not None]
        assert it.soh == pytest.approx(known[-1], abs=0.05)
    # whatever the walks delivered
    less = ("discharge_capacity", "avg_current_load")
    others = [
        it if it["soh_target"] else {**it, **{name: 0.9 * it[name] for name in less}}
        for it in walked
    ]
    again = forecast.backtest(model, others)
    assert {at: it.next_soh for at, it in again.items()} == {
        at: it.next_soh for at, it in made.items()
    }
    unknown = [{**it, "soh_target": None} for it in walked]
    with pytest.raises(forecast.WindowError, match=r"none of the \d+ cycles has a known soh_targ"):
        forecast.predict(model, [unknown])
    walks = without(unknown, "soh_target")
    with pytest.raises(forecast.WindowError, match=r"compare|as no ageing does"):
        forecast.predict(model, [walks])


def test_forecasts_of_young_batteries_are_kept(
    model: forecast.Model, past: Cycles, sql: connection
) -> None:
    with closing(database.connect()) as server:
        backtest.run(server, model, "S0003", past, 2)
        predict.run(server, model, ["S0003"], 2)
    kept = {
        after: (features, soh)
        for after, features, soh in rows(
            sql,
            "select made_after_cycle, features, soh from forecast.cycle_forecast"
            " where horizon = 1 order by 1",
        )
    }
    assert list(kept) == list(range(1, 61))
    named = {after: features for after, (features, _) in kept.items()}
    assert {named[it] for it in range(1, 5)} == {"fade"}
    assert {named[it] for it in range(5, 50)} == {"fleet"}
    assert {named[it] for it in range(50, 61)} <= {"extended", "fleet"}
    for after in (5, 30, 60):
        assert kept[after][1] == pytest.approx(told(model, [past[:after]]).soh)


def test_the_same_seed_makes_the_same_model(
    model: forecast.Model, simulated: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.run(FLEET, tmp_path)
    assert "nothing to do" not in capsys.readouterr().out
    path = tmp_path / "model_fleet.pth"
    made = torch.load(path, weights_only=True)
    assert model.fleet
    for name, values in model.fleet.state_dict().items():
        assert name == "_extra_state" or torch.equal(values, made[name])
    metrics = json.loads((tmp_path / "metrics_fleet.json").read_text(encoding="utf-8"))
    assert metrics["test"] == model.fleet.card["test"]
    assert list(metrics["train"]) == list(THREE)
    written = path.stat().st_mtime_ns
    train.run(FLEET, tmp_path)
    assert "nothing to do" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == written


def test_a_fleet_model_is_served_beside_another(
    simulated: str, model: forecast.Model, tmp_path: Path
) -> None:
    assert model.fleet
    train.save(tmp_path / "model_fleet.pth", model.fleet)
    with pytest.raises(ModelError, match="is served beside another"):
        forecast.load(tmp_path / "model_fleet.pth")
    train.save(tmp_path / "model.pth", model.spec)
    assert forecast.load(tmp_path / "model.pth").fleet
    train.run(replace(FLEET, window=30), tmp_path)
    with pytest.raises(forecast.MismatchError, match="its window is 30 cycles, not 50"):
        forecast.load(tmp_path / "model.pth")


def test_who_is_learned_from(
    simulated: str, sql: connection, capsys: pytest.CaptureFixture[str]
) -> None:
    everyone = replace(FLEET, train=("all",))
    assert train.chosen(sql, everyone, None, [])[0].train[:3] == THREE  # never a test battery
    assert train.chosen(sql, everyone, None, ["S0002"])[0].train[:2] == ("S0001", "S0004")
    groups = ["S0004", "S0001", "S0003"]  # each simulated cell is a group of its own
    assert train.chosen(sql, FLEET, groups, [])[0].train == ("S0001", "S0004")
    assert train.chosen(sql, FLEET, None, ["S0001"])[0].train == ("S0002", "S0004")
    with pytest.raises(ModelError, match="--exclude: there is no battery S9"):
        train.chosen(sql, everyone, None, ["S9"])
    # a battery that cannot be learned from is named
    sql.cursor().execute("update cycle_series set soh_target = null where battery_id = 'S0002'")
    assert "S0002" not in train.chosen(sql, everyone, None, [])[0].train
    assert "not learned from: S0002 has too few cycles" in capsys.readouterr().out


def test_an_unknown_group_is_one_line(
    simulated: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = ["train", "--features", "fleet", "--train-group", "hot", "--test", "S0003", "--out"]
    monkeypatch.setattr("sys.argv", [*flags, str(tmp_path / "out")])
    assert train.main() == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("there is no group hot: there are S0001, S0002")
    assert not (tmp_path / "out").exists()


@pytest.mark.nasa
def test_nasa_cells_under_conditions_that_were_left_out(nasa: str, sql: connection) -> None:
    groups = data.groups(sql)
    left_out = ("aging 24 to 44 °C", "randomized 40 °C, skewed high")
    every = data.read(sql, list(groups), ())
    training = [it for it in every if groups[it.battery_id] not in left_out]
    made = fit_fleet.fit(replace(FLEET, epochs=2), training, groups)
    scored = {
        it.battery_id: evaluate_fleet.score(evaluate_fleet.rows(made, it, 50))
        for it in every
        if it not in training
    }
    walked = scored.pop("RW26")  # 14 of 626 discharges tell its health
    assert walked["windows"] > 5
    assert walked["rmse"] < 0.02
    assert list(scored) == ["B0038", "B0039", "B0040"]
    for it in scored.values():  # better than persistence, and where only other cells can tell
        assert it["kinds"]["ordinary"]["ratio"] < 1
        assert it["kinds"]["operating point"]["ratio"] < 1
        assert 0.8 < it["coverage"] <= 1
