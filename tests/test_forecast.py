"""Intervals, familiarity and forecasts: on made-up numbers where the answer is known by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg2.extensions import connection

from model import baselines, data, forecast, scores, state, train
from model.asked import together
from model.config import MEASURED, Config
from model.data import ModelError, Windows
from model.fade import Course, Fade
from model.familiarity import Familiarity
from model.intervals import Interval, conformal
from tests.conftest import rows, run
from tests.test_trajectories import every_cycle


def history(opened: connection, battery_id: str) -> list[dict[str, Any]]:
    """Return a battery's cycles as a service has them: features, and soh_target."""
    query = (
        "select features, soh_target from cycle_series where battery_id = %s order by cycle_index"
    )
    return [{**features, "soh_target": soh} for features, soh in rows(opened, query, battery_id)]


def series(generator: np.random.Generator) -> data.Series:
    """A cell of 2 Ah at 2 A that hardly ages, in 70 cycles, each number off by up to 1 %."""
    voltage, temperature, noise = generator.uniform(0.99, 1.01, (3, 70))
    soh = np.linspace(0.9, 0.85, 70) * noise
    return data.Series(
        battery_id="X",
        is_simulated=True,
        cycle_index=np.arange(1, 71),
        cycles=[
            {
                "avg_voltage_load": 3.5 * voltage[at],
                "max_temperature": 35 * temperature[at],
                "time_to_discharge": 3600 * it,
                "discharge_capacity": 2 * it,
                "soh_target": it,
                "equivalent_full_cycles": 0.9 * (at + 1),
            }
            for at, it in enumerate(soh.tolist())
        ],
        names=MEASURED,
    )


def test_the_half_width_covers_nine_in_ten_and_one_to_come() -> None:
    assert conformal(np.arange(1.0, 101.0)) == 91  # the 91st of 100: ceil(101 × 0.9)
    assert conformal(np.array([-3.0, 1.0])) == 3


def test_the_interval_follows_a_batterys_own_errors() -> None:
    interval = Interval()
    interval.fit([np.full(200, 2.0)])
    assert interval.half_width() == pytest.approx(2.0)
    nothing = np.full(20, np.nan)
    few = np.append(nothing[:18], [0.1, -9.0])  # the training cells' errors stand for the others
    own = np.stack([np.full(20, 5.0), np.full(20, -0.1), nothing, few])
    assert interval.half_widths(own) == pytest.approx([5.0, 0.1, 2.0, 2.0])


def test_batteries_count_alike_however_long_they_lived() -> None:
    interval = Interval()
    interval.fit([np.full(10, 5.0), np.full(1000, 1.0)])
    assert interval.half_width() == pytest.approx(5.0)  # half of all batteries, not 1 % of windows


def test_the_interval_covers_what_it_promises() -> None:
    generator = np.random.default_rng(0)
    interval = Interval()
    interval.fit([generator.normal(0, 1, 2000)])
    half = interval.half_width()
    assert 0.88 < (np.abs(generator.normal(0, 1, 20000)) <= half).mean() < 0.92


def test_a_battery_shorter_than_a_window_tells_nothing_of_training() -> None:
    generator = np.random.default_rng(0)
    cells = [series(generator) for _ in range(2)]
    short = replace(cells[0], cycles=cells[0].cycles[:4], cycle_index=np.arange(1, 5))
    made, alone = Familiarity(MEASURED), Familiarity(MEASURED)
    made.fit([*cells, short], 10)
    alone.fit(cells, 10)
    np.testing.assert_array_equal(made.reference, alone.reference)


def test_unlike_windows_are_told_by_feature() -> None:
    generator = np.random.default_rng(0)
    cells = [series(generator) for _ in range(2)]
    familiarity = Familiarity(MEASURED)
    familiarity.fit(cells, 10)
    # voltage, temperature, time, load and SOH of the last ten cycles of a third cell
    third = series(generator)
    load = 3600 * third.capacity_ah / third.time_s
    known = np.column_stack([third.measured, load, third.soh])[None, -10:]
    for change, told in (
        ([1, 1, 1, 1, 1], []),
        ([1, 1.01, 1, 0.99, 1], []),  # as two thermocouples, two cyclers
        ([1, 1.5, 1, 1, 1], ["max_temperature"]),
        ([1, 1, 1, 1.5, 1], ["avg_current_load"]),
        ([1, 1, 1, 1, 0.6], ["soh"]),
        ([1, 1, np.nan, 1, 1], ["time_to_discharge"]),
    ):
        assert familiarity.judge(known * change) == ([told], [told])
    # at the same level it may change in another way: no other cell, but another course
    known[0, :, 4] += [0.05, -0.05] * 4 + [0, 0]
    assert familiarity.judge(known) == ([["soh"]], [[]])


def test_an_end_of_life_is_the_same_however_far_apart_the_truths_lie() -> None:
    fade, whole = Fade(), every_cycle(np.linspace(1, 0.662, 170))
    fade.fit([whole, whole])
    for truths in (np.arange(99), np.array([0, 49, 98])):
        known = Course(
            whole.cycle[truths], whole.age[truths], whole.soh[truths], 99, float(whole.age[98])
        )
        assert fade.forecast(known, 200).end_of_life == 52


def test_truths_at_the_last_operating_point_continue_each_other() -> None:
    told = [(0.9, 1), (0.5, 2), (None, 2), (0.8, 1), (None, 2), (None, None)]
    past = [
        {"soh_target": soh, "operating_point": point, "equivalent_full_cycles": float(at)}
        for at, (soh, point) in enumerate(told, start=1)
    ]
    known = forecast.course(past)
    assert (list(known.cycle), list(known.soh)) == ([1, 4], [0.9, 0.8])
    assert (list(known.age), known.last_cycle, known.last_age) == ([1, 4], 6, 6)
    then = [(list(it.cycle), it.last_cycle) for it in forecast.courses(past)]
    assert then == [([1], 1), ([2], 2), ([2], 3), ([1, 4], 4), ([1, 4], 5), ([1, 4], 6)]
    assert forecast.next_truth(known) == 7
    assert len(forecast.course([]).soh) == 0


@pytest.mark.parametrize(
    ("truths", "last", "due"),
    [((1, 2, 3), 3, 4), ((1, 2, 3), 9, 10), ((1, 52, 103), 120, 154), ((1, 52, 103), 160, 161)],
)
def test_the_next_truth_is_due_at_the_present_spacing(
    truths: tuple[int, ...], last: int, due: int
) -> None:
    past = [{"soh_target": 0.9 if at in truths else None} for at in range(1, last + 1)]
    assert forecast.next_truth(forecast.course(past)) == due


def test_a_missing_capacity_is_told_by_the_time_to_discharge(
    simulated: str, sql: connection
) -> None:
    forecaster = forecast.Forecaster(Config())
    forecaster.learn_capacity(data.read(sql, ["S0001", "S0002"]))
    assert float(forecaster.rated_capacity_ah) == pytest.approx(2)
    past = history(sql, "S0003")
    bare = [{"time_to_discharge": it["time_to_discharge"]} for it in past]
    ((_, asked),) = together([bare], len(bare), [None], [None], [forecast.Coming()])
    line = forecaster.capacity_line.tolist()
    known, refused = state.of(state.told(asked), asked.rated_ah, 2.0, line)
    assert not refused
    assert known.soh[0] == pytest.approx([it["soh_target"] for it in past], abs=0.01)
    assert known.source == [None]  # until the window is found to be like those in training
    assert state.settled(known, [[]])[0].source == [state.TRAINING]
    _, refused = state.settled(known, [["max_temperature"]])
    assert "send avg_current_load" in str(refused[0])


def of(it: forecast.Prediction) -> tuple[float, float, float]:
    """Return the interval's lower end, SOH, and the upper end, where SOH is known."""
    assert it.next_soh
    soh, low, high = it.next_soh
    return low, soh, high


@pytest.fixture(scope="module")
def model(simulated_template: str, tmp_path_factory: pytest.TempPathFactory) -> forecast.Model:
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", simulated_template)
        for features in ("spec", "extended"):
            config = Config(
                train=("S0001", "S0002"),
                test=("S0003",),
                window=20,
                epochs=3,
                features=(features,),
            )
            train.run(config, folder)
    return forecast.load(Path(folder) / "model.pth")


def test_the_best_network_that_the_data_allow_answers(
    model: forecast.Model, simulated: str, sql: connection
) -> None:
    past = history(sql, "S0003")
    bare = [{name: cycle[name] for name in ("avg_voltage_load", "max_temperature",
                                            "time_to_discharge")} for cycle in past]  # fmt: skip
    known, unknown, given = forecast.predict(
        model, [past[-20:], bare[-20:], past[-20:]], [None, None, 100.0]
    )
    assert (known.features, unknown.features, given.features) == ("extended", "spec", "extended")
    assert (known.rest_source, unknown.rest_source) == ("window median", None)
    assert (given.rest_source, given.rest_hours) == ("given", 100)
    assert given.soh != known.soh
    for it in (known, unknown, given):
        low, soh, high = of(it)
        assert low < soh < high
        assert it.capacity_ah == pytest.approx(2 * soh)


def test_a_batch_answers_as_single_calls_do(
    model: forecast.Model, simulated: str, sql: connection
) -> None:
    past = history(sql, "S0003")
    histories = [past[-20:], past, past[5:40]]
    together = forecast.predict(model, histories)
    for given, answer in zip(histories, together, strict=True):
        (alone,) = forecast.predict(model, [given])
        assert alone.soh == pytest.approx(answer.soh, abs=1e-6)
        assert alone.soh_low == pytest.approx(answer.soh_low, abs=1e-6)


def test_the_past_is_predicted_from_what_was_before_it(
    model: forecast.Model, simulated: str, sql: connection
) -> None:
    past = history(sql, "S0003")
    steps = forecast.one_steps(model, past)
    assert list(steps) == list(range(21, 62))
    (alone,) = forecast.predict(model, [past[:35]])
    # the rest before cycle 36 is known in hindsight: the middle may differ, the width may not
    assert of(steps[36])[2] - of(steps[36])[1] == pytest.approx(of(alone)[2] - of(alone)[1])
    assert steps[61] == forecast.predict(model, [past])[0]
    changed = [*past[:40], *({**cycle, "max_temperature": 99.0} for cycle in past[40:])]
    after = forecast.one_steps(model, changed)
    for number in range(21, 41):
        assert steps[number].soh == pytest.approx(after[number].soh, abs=1e-6)


def test_a_backtest_knows_what_was_known_then(
    model: forecast.Model, simulated: str, sql: connection
) -> None:
    past = history(sql, "S0003")
    rested = [{**it, "rest_hours": None, "rest_after_hours": None} for it in past]
    unknown = [{**it, "soh_target": None} for it in past[:25]] + past[25:]
    some = [{**it, "soh_target": None if at % 3 else it["soh_target"]} for at, it in
            enumerate(past)]  # fmt: skip
    for cycles, features in (
        (past, {"extended"}),
        (rested, {"spec"}),
        ([*rested[:30], *past[30:]], {"spec", "extended"}),  # rests are told from cycle 31 on
        (unknown, {"extended"}),
        (some, {"extended"}),
        ([*past[:39], {**past[39], "max_temperature": None}, *past[40:]], {"extended"}),
    ):
        made = forecast.backtest(model, cycles)
        assert {it.features for it in made.values()} == features
        for end in (20, 21, 30, 31, 39, 40, 59, 60):
            it = made.get(end + 1)
            (then,) = forecast.answers(model, [cycles[:end]])
            if it is None:
                assert isinstance(then, forecast.WindowError)
                continue
            assert isinstance(then, forecast.Prediction)
            assert of(it) == pytest.approx(of(then), abs=1e-6)
            assert it.capacity_ah == pytest.approx(then.capacity_ah, abs=1e-6)
            assert (it.rest_hours, it.rest_source) == (then.rest_hours, then.rest_source)
            assert it.unlike_training == then.unlike_training
    # in hindsight the rests are known, and tell more
    hindsight = forecast.one_steps(model, past)
    assert made[40].soh != hindsight[40].soh


def test_what_a_window_lacks_is_said_and_not_made_up(
    model: forecast.Model, simulated: str, sql: connection
) -> None:
    past = history(sql, "S0003")
    failed = [*past[:39], {**past[39], "max_temperature": None}, *past[40:]]
    with pytest.raises(forecast.WindowError, match="1 of the last 20 cycles lack max_temperature"):
        forecast.predict(model, [past[:20], failed[:50]])
    assert forecast.predict(model, [failed]) == forecast.predict(model, [past])  # it has left
    steps, whole = forecast.one_steps(model, failed), forecast.one_steps(model, past)
    assert sorted(whole.keys() - steps.keys()) == list(range(41, 61))
    assert [steps[it].soh for it in range(21, 41)] == [whole[it].soh for it in range(21, 41)]
    blind = [{**cycle, "max_temperature": None} for cycle in past]
    with pytest.raises(forecast.WindowError, match="is there no temperature sensor"):
        forecast.predict(model, [blind])


def test_a_cycle_that_lacks_a_feature_costs_its_windows_and_a_sensor_the_battery(
    simulated: str, sql: connection
) -> None:
    (whole,) = data.read(sql, ["S0003"])
    change = "update cycle_series set features = features || '{\"max_temperature\": null}'"
    sql.cursor().execute(f"{change} where battery_id = 'S0003' and cycle_index = 30")
    (series,) = data.read(sql, ["S0003"])
    kept = data.windows(series, 20).cycle_index.tolist()
    assert kept == [it for it in data.windows(whole, 20).cycle_index if not 31 <= it <= 50]
    sql.cursor().execute(f"{change} where battery_id = 'S0002'")
    with pytest.raises(
        ModelError, match=r"S0002: no cycle has max_temperature, .* without a sensor"
    ):
        data.read(sql, ["S0002"])
    sql.cursor().execute("update cycle_series set soh_target = null where battery_id = 'S0001'")
    (series,) = data.read(sql, ["S0001"])
    with pytest.raises(ModelError, match=r"S0001 .* load it again with --rated-capacity-ah"):
        data.windows(series, 20)


def test_persistence_and_drift_are_what_they_say(simulated: str, sql: connection) -> None:
    cut = [data.windows(it, 20) for it in data.read(sql, ["S0001", "S0002", "S0003"])]
    made = baselines.predictions(Config(window=20), cut[:2], cut[2])
    np.testing.assert_array_equal(made["persistence"], cut[2].last_soh)
    drift = np.concatenate([it.target - it.last_soh for it in cut[:2]]).mean()
    np.testing.assert_allclose(made["drift"], cut[2].last_soh + drift)
    for name in ("ridge", "boosting"):
        assert scores.errors(made[name], cut[2].target)["rmse"] < 0.02


def test_scores_by_hand() -> None:
    windows = Windows(
        cycles=np.zeros((4, 5)),
        first=np.arange(4),
        length=1,
        target=np.array([0.8, 0.79, 0.82, 0.81]),
        last_soh=np.array([0.81, 0.8, 0.79, 0.82]),
        cycle_index=np.arange(4),
    )
    made = scores.full(windows.target + np.array([0.01, -0.01, 0.02, 0]), windows, rated_ah=2)
    assert made["rmse"] == pytest.approx(np.sqrt((1 + 1 + 4) / 4) / 100)
    assert made["rmse_ah"] == pytest.approx(2 * made["rmse"])
    assert made["regenerations"] == 1
    assert made["rmse_regeneration"] == pytest.approx(0.02)
    assert made["rmse_ordinary"] == pytest.approx(np.sqrt(2 / 3) / 100)
    assert made["skill"] == pytest.approx(1 - made["rmse"] / (np.sqrt(12 / 4) / 100))


def test_the_evaluation_runs_every_protocol(simulated: str, tmp_path: Path) -> None:
    batteries = ["S0001", "S0002", "S0003", "S0004"]
    made = run(
        "python", "-m", "model.evaluate", "--batteries", *batteries, "--seeds", "1",
        "--epochs", "1", "--out", str(tmp_path),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    card = (tmp_path / "model_card.md").read_text()
    for heading in (
        "One cycle ahead", "90 % intervals", "Fleet: each group of conditions left out in turn",
        "Spec and extended: each battery left out in turn", "Many cycles ahead",
    ):  # fmt: skip
        assert f"## {heading}" in card
    report = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    fleet = report["fleet"]["groups"]  # each simulated cell is a group of its own
    assert set(fleet) == set(batteries)
    for name, it in fleet.items():
        assert f"| {name} | {it['windows']:.0f} | {it['ratio']:.2f} |" in card
    assert f"| geometric mean | | {report['fleet']['ratio']:.2f} |" in card
    assert (tmp_path / "evaluation.json").exists()
    assert "SIMULATED cells, not measurements: S0001" in made.stdout
    assert "**The cells are SIMULATED, not measured.**" in card
    for name in ("errors", "skill", "groups"):
        assert (tmp_path / f"evaluation_{name}.png").read_bytes().startswith(b"\x89PNG")
