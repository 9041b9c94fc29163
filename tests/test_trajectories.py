"""Many cycles ahead: on made-up fades where the answer is known by hand."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from model import data, evaluate_trajectories
from model.columns import Array
from model.data import ModelError, Series
from model.fade import END_OF_LIFE_SOH, Course, Fade
from tests.conftest import run

WALKS = 10  # random walks before each reference discharge of a made-up randomized cell
WALK = 0.3  # of its capacity, delivered in each


def every_cycle(soh: Array) -> Course:
    """The course of a battery each of whose cycles [cycles] is a full one."""
    return Course(np.arange(1.0, len(soh) + 1), np.cumsum(soh), soh, len(soh), float(soh.sum()))


def line(cycles: int, fade: float) -> Course:
    return every_cycle(np.linspace(1, 1 - fade * (cycles - 1), cycles))


def walked(tests: int, fade: float) -> Course:
    """A course whose SOH falls by `fade` per full cycle, told by one in WALKS + 1 discharges."""
    full_cycles = (1 + WALKS * WALK) * np.arange(1.0, tests + 1)
    soh: Array = 1 - fade * full_cycles
    age = np.cumsum(np.diff(full_cycles, prepend=0) * soh)
    cycle = (WALKS + 1) * np.arange(1.0, tests + 1)
    return Course(cycle, age, soh, int(cycle[-1]), float(age[-1]))


def fitted(*batteries: Course) -> Fade:
    fade = Fade()
    fade.fit(list(batteries))
    return fade


def halves(low: list[float], high: list[float]) -> Array:
    halves: Array = np.array(high) - np.array(low)
    return halves


def test_a_straight_fade_goes_straight_on() -> None:
    fade = fitted(line(150, 0.002), line(150, 0.002))
    made = fade.forecast(line(50, 0.002), 120)
    np.testing.assert_allclose(made.soh[:99], line(149, 0.002).soh[50:], atol=1e-3)
    assert made.end_of_life in (101, 102)  # 1 − 0.002 × 150 is 0.7 but for the last bit
    assert fade.forecast(line(50, 0.002), 20).end_of_life is None


def test_a_battery_that_fades_faster_is_forecast_to() -> None:
    fade = fitted(line(150, 0.001), line(150, 0.002), line(150, 0.003))
    slow, fast = fade.forecast(line(50, 0.001), 50), fade.forecast(line(50, 0.003), 50)
    assert slow.soh[0] - slow.soh[-1] < fast.soh[0] - fast.soh[-1]


def test_other_kinds_tell_how_much_of_a_pace_lasts_and_no_more() -> None:
    lasting = [[line(100, 0.0005), line(100, 0.002)], [line(100, 0.001), line(100, 0.004)]]
    alone, told = Fade(), Fade()
    bent = [
        every_cycle(np.append(it.soh, it.soh[-1] - 0.002 * np.arange(50)))
        for it in (line(50, 0.001), line(50, 0.003))
    ]
    alone.fit(bent)
    told.fit(bent, elsewhere=lasting)
    np.testing.assert_array_equal(alone.rate, told.rate)
    slow = line(40, 0.0005)
    assert told.forecast(slow, 50).soh[-1] > alone.forecast(slow, 50).soh[-1]


def test_the_interval_of_a_trajectory_widens_and_reaches_beyond_the_data() -> None:
    made = fitted(line(120, 0.002), line(120, 0.003)).forecast(line(60, 0.0025), 2000)
    assert (np.diff(np.log(made.soh_high) - np.log(made.soh_low)) >= -1e-12).all()
    assert np.isfinite(made.soh).all()
    assert min(made.soh_low) >= 0


def test_one_ground_truth_is_answered_with_a_wider_interval() -> None:
    fade = fitted(line(150, 0.001), line(150, 0.002), line(150, 0.003))
    young, old = fade.forecast(line(1, 0), 60), fade.forecast(line(50, 0.002), 60)
    assert young.soh[0] == pytest.approx(1, abs=0.01)
    widths = [halves(it.soh_low, it.soh_high)[-1] for it in (young, old)]
    assert widths[0] > 1.5 * widths[1]
    for flat in (line(1, 0), line(2, 0), line(3, 0)):  # too few to learn a pace or a width from
        assert np.isfinite(fitted(flat, flat).forecast(flat, 10).soh_low).all()


def test_walks_count_by_what_they_deliver() -> None:
    fade = fitted(walked(30, 0.003), walked(30, 0.003))
    past = walked(12, 0.003)
    made = fade.forecast(past, 200)
    later = walked(20, 0.003)
    rows = (later.cycle[12:] - past.last_cycle - 1).astype(int)
    np.testing.assert_allclose(np.array(made.soh)[rows], later.soh[12:], atol=1e-3)
    assert made.end_of_life == pytest.approx(11 * (100 / 4) - past.last_cycle, abs=2)
    # the walks since the last reference discharge have aged the cell, too
    since = Course(past.cycle, past.age, past.soh, past.last_cycle + 5,
                   past.last_age + 5 / 11 * 4 * past.soh[-1])  # fmt: skip
    np.testing.assert_allclose(fade.forecast(since, 195).soh, made.soh[5:], atol=1e-3)


def test_the_next_cycle_told_is_the_first_step_and_dies_out() -> None:
    fade = fitted(line(150, 0.001), line(150, 0.002), line(150, 0.003))
    past = line(60, 0.002)
    bare, told = fade.forecast(past, 300), fade.forecast(past, 300, (0.9, 0.895, 0.91))
    assert (told.soh[0], told.soh_low[0], told.soh_high[0]) == pytest.approx((0.9, 0.895, 0.91))
    apart = np.array(told.soh) - np.array(bare.soh)
    assert (np.diff(apart) < 0).all()
    assert apart[1] > 0.8 * apart[0]
    assert told.soh_low[1] < told.soh[1] < told.soh_high[1]
    assert told.soh_low[-1] > bare.soh_low[-1]


def test_a_fade_is_a_state_dict() -> None:
    fade, content = fitted(line(150, 0.002), line(90, 0.003)), io.BytesIO()
    torch.save(fade.state_dict(), content)
    content.seek(0)
    state, loaded = torch.load(content, weights_only=True), Fade()
    for name, buffer in loaded.named_buffers():
        buffer.resize_(state[name].shape)
    loaded.load_state_dict(state)
    past = line(50, 0.0025)
    assert loaded.forecast(past, 100) == fade.forecast(past, 100)


def series(
    name: str, course: Course, points: Array | None = None, simulated: bool = False
) -> Series:
    return Series(
        battery_id=name,
        is_simulated=simulated,
        cycle_index=course.cycle.astype(int),
        cycles=[
            {
                "time_to_discharge": 3600 * soh,
                "discharge_capacity": 2 * soh,
                "soh_target": soh,
                "equivalent_full_cycles": age,
                "operating_point": 1.0 if points is None else points[at],
            }
            for at, (soh, age) in enumerate(
                zip(course.soh.tolist(), course.age.tolist(), strict=True)
            )
        ],
        names=(),
    )


def test_a_course_is_that_of_the_last_operating_point_that_tells_one() -> None:
    points = np.repeat([1.0, 2.0, 3.0], [20, 15, 5])
    made = Course.of(series("B1", line(40, 0.002), points))
    assert made.cycle.tolist() == list(range(21, 36))
    assert made.last_cycle == 40
    few = Course.of(series("B1", line(6, 0.002), np.array([1, 1, 1, 2, 2, 2.0])))
    assert few.cycle.tolist() == [4, 5, 6]


def test_scores_by_hand() -> None:
    groups = {
        "one": [series("B0005", line(150, 0.002)), series("B0006", line(150, 0.002)),
                series("B0007", line(150, 0.002))],
        "two": [series("B1", line(50, 0.001)), series("B2", line(50, 0.001))],
        "three": [series("B3", line(40, 0.003)), series("S1", line(40, 0.003), simulated=True)],
    }  # fmt: skip
    report = evaluate_trajectories.run(groups)
    found = report["battery left out"]["B0005"]["origins"]
    assert list(found) == ["17", "50", "80"]
    rmse = found["50"]["rmse_ah"]
    ahead = 0.002 * np.arange(1, 101)
    assert rmse["persistence"] == pytest.approx(2 * np.sqrt(np.mean(ahead**2)))
    assert rmse["line"] == pytest.approx(0, abs=1e-9)
    assert rmse["fade"] < 0.002
    assert set(report["group left out"]) == {"B0005", "B0006", "B0007", "B1", "B2", "B3"}
    assert data.elsewhere(groups, groups["one"]) == [groups["two"]]
    bent = series("B0018", every_cycle(np.linspace(1, 0.55, 150)))
    scored = evaluate_trajectories.left_out([bent, *groups["one"]], [])["B0018"]
    below = int(np.flatnonzero(bent.soh < END_OF_LIFE_SOH)[0]) + 1
    assert scored["end_of_life"] == below
    last = scored["origins"]["80"]
    assert last["relative_error"] == pytest.approx(abs(last["end_of_life"] - below) / below)


def test_randomized_cells_are_told_by_simulated_and_measured_ones(tmp_path: Path) -> None:
    path = tmp_path / "charges.csv"
    rows = [f"RW1,{k + 1},{2 * soh}" for k, soh in enumerate(walked(12, 0.003).soh)]
    path.write_text("\n".join(["battery_id,reference_index,charge_ah", *rows, "RW26,1,2.0"]))
    groups = {
        "randomized 40 °C": [series("RW26", walked(14, 0.003))],
        "randomized a": [series("SRW1", walked(20, 0.002), simulated=True)],
        "randomized b": [series("SRW3", walked(20, 0.004), simulated=True)],
        "aging": [series("B1", line(50, 0.001))],
    }
    (found,) = evaluate_trajectories.randomized(groups, path).values()
    (scored,) = found["origins"].values()
    assert scored["rmse_ah"]["fade"] < 0.3 * scored["rmse_ah"]["persistence"]
    with pytest.raises(ModelError, match="load them"):
        evaluate_trajectories.randomized({"aging": groups["aging"]}, path)
    path.write_text("cell,charge\nRW1,2\n")
    with pytest.raises(ModelError, match="columns battery_id, charge_ah are needed"):
        evaluate_trajectories.randomized(groups, path)


def test_the_evaluation_says_what_is_missing(simulated: str, tmp_path: Path) -> None:
    command = ("python", "-m", "model.evaluate_trajectories", "--out", str(tmp_path))
    made = run(*command)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "trajectories.json").read_text() == "{}\n"  # simulated cells alone
    missing = run(*command, "--reference-charge", str(tmp_path / "no.csv"))
    assert missing.returncode == 1
