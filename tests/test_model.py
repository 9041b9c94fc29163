"""Training, on simulated and on NASA's cells, and what it must never do."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from psycopg2.extensions import connection

from model import data, forecast, progress, train
from model.config import Config
from model.data import ModelError, Series
from tests.conftest import ROOT, rows, run

FROM_TWO = ["--train", "S0001", "S0002", "--test", "S0003"]
SMALL = Config(train=("S0001", "S0002"), test=("S0003",), window=10, epochs=3)


def series(soh: list[float], battery_id: str = "B1") -> Series:
    cycles = len(soh)
    return Series(
        battery_id=battery_id,
        is_simulated=False,
        cycle_index=np.arange(1, cycles + 1),
        cycles=[
            {
                **dict(zip("abc", range(3 * at, 3 * at + 3), strict=True)),
                "rest_after_hours": 2 * at,
                "rest_before_hours": 2 * at + 1,
                "time_to_discharge": 3600 * it,
                "discharge_capacity": 2 * it,
                "soh_target": it,
            }
            for at, it in enumerate(soh)
        ],
        names=("a", "b", "c"),
    )


def test_a_window_never_sees_the_cycle_it_predicts() -> None:
    made = data.windows(series([0.9, 0.8, 0.7, 0.6, 0.5]), window=2)
    assert made.cycle_index.tolist() == [3, 4, 5]
    assert made.target.tolist() == [0.7, 0.6, 0.5]
    assert made.last_soh.tolist() == [0.8, 0.7, 0.6]
    assert made.inputs[0, :, :3].tolist() == [[0, 1, 2], [3, 4, 5]]  # cycles 1 and 2
    assert made.inputs[-1, :, :3].tolist() == [[6, 7, 8], [9, 10, 11]]  # cycles 3 and 4


def test_a_window_knows_the_rest_before_the_cycle_it_predicts() -> None:
    made = data.windows(series([0.9, 0.8, 0.7]), window=2)
    assert made.inputs[0, :, 3:].tolist() == [[2, 3], [4, 5]]  # before cycles 2 and 3


def test_cycles_without_truth_are_inputs_but_never_targets() -> None:
    nan = float("nan")
    made = data.windows(series([0.9, nan, nan, 0.6, nan]), window=2)
    assert made.cycle_index.tolist() == [4]
    assert made.last_soh.tolist() == [0.9]
    with pytest.raises(ModelError, match="too few cycles"):
        data.windows(series([nan, nan, nan, 0.6]), window=2)


def test_shuffling_the_future_changes_no_window_before_it() -> None:
    full = series([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    order = [0, 1, 2, 5, 3, 4]
    rests = ("rest_after_hours", "rest_before_hours")  # known before a cycle, as they come
    shuffled = replace(
        full,
        cycles=[
            {**full.cycles[it]} | {name: full.cycles[at][name] for name in rests}
            for at, it in enumerate(order)
        ],
    )
    made, other = data.windows(full, 2), data.windows(shuffled, 2)
    np.testing.assert_array_equal(made.inputs[:2], other.inputs[:2])
    np.testing.assert_array_equal(made.last_soh[:2], other.last_soh[:2])
    assert not np.array_equal(made.inputs[2:], other.inputs[2:])


def test_one_battery_under_two_names_is_refused(simulated: str, sql: connection) -> None:
    sql.cursor().execute(
        "insert into cycle_series (battery_id, cycle_index, features, soh_target)"
        " select 'TWIN', cycle_index, features, soh_target from cycle_series"
        " where battery_id = 'S0002'"
    )
    with pytest.raises(ModelError, match="TWIN holds the same cycles as S0002"):
        train.run(replace(SMALL, test=("TWIN",)), Path("never"))


def test_a_feature_that_contains_the_label_is_refused(simulated: str, sql: connection) -> None:
    sql.cursor().execute(
        "update cycle_series as cycle set features = cycle.features"
        " || jsonb_build_object('max_temperature', 20 + 10 * coming.soh_target)"
        " from cycle_series as coming where coming.battery_id = cycle.battery_id"
        " and coming.cycle_index = cycle.cycle_index + 1"
    )
    with pytest.raises(ModelError, match="max_temperature tells the cycle to predict"):
        train.run(SMALL, Path("never"))


def test_the_scaling_comes_from_training_batteries_alone(simulated: str, tmp_path: Path) -> None:
    train.run(SMALL, tmp_path / "a")
    train.run(replace(SMALL, test=("S0002",), train=("S0001", "S0003")), tmp_path / "b")
    train.run(replace(SMALL, test=("SRW1",), window=3), tmp_path / "c")
    train.run(replace(SMALL, window=3), tmp_path / "d")
    state = {name: torch.load(tmp_path / name / "model.pth", weights_only=True) for name in "abcd"}
    assert not torch.equal(state["a"]["network.input_std"], state["b"]["network.input_std"])
    for key, values in state["c"].items():  # another test battery, the same model to the bit
        if not key.endswith("_extra_state"):
            assert torch.equal(values, state["d"][key])


def test_training_is_reproducible(simulated: str, tmp_path: Path) -> None:
    for name, config in (("a", SMALL), ("b", SMALL), ("c", replace(SMALL, seed=1))):
        train.run(config, tmp_path / name)
    read = {
        name: json.loads((tmp_path / name / "metrics.json").read_text())["test"] for name in "abc"
    }
    assert read["a"] == read["b"]
    assert read["a"] != read["c"]


def test_the_model_file_is_one_state_dict(simulated: str, tmp_path: Path) -> None:
    train.run(SMALL, tmp_path)
    forecaster = forecast.load(tmp_path / "model.pth").spec
    network = forecaster.network
    assert forecaster.config == SMALL
    assert not network.training
    layers = [type(layer).__name__ for layer in network.children()]
    assert layers == ["LSTM", "Dropout", "LSTM", "Linear"]
    assert [layer.hidden_size for layer in (network.lstm_1, network.lstm_2)] == [64, 32]
    assert network.lstm_1.input_size == 3
    assert network.dropout.p == 0.2


def test_a_broken_or_foreign_model_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(ModelError, match="not a model of this version"):
        forecast.load(path)
    path.write_bytes(b"PK")
    with pytest.raises(ModelError, match="not a model of this version"):
        forecast.load(path)


def test_metrics_and_picture(simulated: str, tmp_path: Path) -> None:
    train.run(SMALL, tmp_path)
    report = json.loads((tmp_path / "metrics.json").read_text())
    for method in ("model", "persistence"):
        errors = report["test"]["S0003"][method]
        assert set(errors) == {"rmse", "mae", "mape", "r2", "windows"}
        assert errors["windows"] == 50
        assert 0 < errors["mae"] <= errors["rmse"] < 0.2
    assert report["train"]["S0001"] == {"cycles": 60}
    assert report["config"]["seed"] == 0
    assert "torch" in report["versions"]
    assert (tmp_path / "forecast_S0003.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--train", "S0001", "S0002", "--test", "S0001"], "S0001 is in --train and in --test"),
        (["--train", "S0001", "--test", "S0002"], "--train needs two batteries or more"),
        (["--train", "S0001", "NONE", "--test", "S0002"], "cycle_series has no battery NONE"),
        ([*FROM_TWO, "--window", "60"], "S0001 has too few cycles: 60"),
        ([*FROM_TWO, "--epochs", "-1"], "--epochs and --noise must not be below 0"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    flags: list[str], said: str, simulated: str, tmp_path: Path
) -> None:
    made = run("python", "-m", "model.train", "--out", str(tmp_path / "out"), *flags)
    assert made.returncode == 1
    assert said in made.stderr
    assert made.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_empty_database_is_one_line(empty: str, tmp_path: Path) -> None:
    made = run("python", "-m", "model.train", "--out", str(tmp_path / "out"))
    assert made.returncode == 1
    assert "python -m loader PATH" in made.stderr
    assert made.stderr.count("\n") == 1


def test_every_knob_has_a_flag_with_help() -> None:
    made = run("python", "-m", "model.train", "--help")
    for name in Config.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in made.stdout
    assert "None" not in made.stdout


@pytest.mark.nasa
def test_nasa_b0007_from_b0005_and_b0006(nasa: str, sql: connection, tmp_path: Path) -> None:
    if (ROOT / "artifacts").exists():  # made of the same cycles and code, or they are made anew
        shutil.copytree(ROOT / "artifacts", tmp_path, dirs_exist_ok=True)
    made = run("python", "-m", "model.train", "--out", str(tmp_path))
    assert made.returncode == 0, made.stderr
    report = json.loads((tmp_path / "metrics.json").read_text())
    test = report["test"]["B0007"]
    assert report["config"]["train"] == ["B0005", "B0006"]
    assert test["model"]["windows"] == test["persistence"]["windows"] == 118
    measured = rows(
        sql, "select soh_target from cycle_series where battery_id = 'B0007' order by cycle_index"
    )
    change = np.diff([soh for (soh,) in measured])[49:]
    assert test["persistence"]["rmse"] == pytest.approx(float(np.sqrt((change**2).mean())))
    assert test["model"]["rmse"] < test["persistence"]["rmse"]


def test_what_is_made_already_is_left_as_it_is(
    simulated: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], sql: connection
) -> None:
    config = Config(train=("S0001", "S0002"), test=("S0003",), epochs=1)
    train.run(config, tmp_path)
    made = (tmp_path / "model.pth").stat().st_mtime_ns
    train.run(config, tmp_path)
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "model.pth").stat().st_mtime_ns == made
    train.run(replace(config, seed=1), tmp_path)  # another knob
    other = (tmp_path / "model.pth").stat().st_mtime_ns
    assert other > made
    sql.cursor().execute(
        "update cycle_series set soh_target = soh_target + 1e-6"
        " where battery_id = 'S0003' and cycle_index = 55"
    )
    train.run(replace(config, seed=1), tmp_path)  # another cycle
    assert (tmp_path / "model.pth").stat().st_mtime_ns > other


def test_features_are_named_and_kept_in_the_model(simulated: str, tmp_path: Path) -> None:
    config = Config(
        train=("S0001", "S0002"),
        test=("S0003",),
        epochs=1,
        features=("avg_voltage_load", "ohmic_resistance", "rest_before_hours"),
    )
    train.run(config, tmp_path)
    made = forecast.load(tmp_path / "model_custom.pth").spec
    assert made.config == config
    assert made.network.lstm_1.input_size == 3
    assert list(made.card["features"]) == list(config.inputs)
    for names, said in (
        (("charm",), "there is no feature charm: there are ambient_temperature, avg_current_load"),
        (("rest_before_hours",), "one that is measured"),
        (("internal_resistance", "spec"), None),
    ):
        other = replace(config, features=names)
        if said is None:
            assert other.inputs == ("internal_resistance", *Config().inputs)
            continue
        with pytest.raises(ModelError, match=said):
            train.run(other, tmp_path)


def test_simulated_cells_are_called_so(
    simulated: str, tmp_path: Path, sql: connection, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(train=("S0001", "S0002"), test=("S0003",), epochs=1)
    train.run(config, tmp_path)
    assert "SIMULATED cells, not measurements: S0001, S0002, S0003" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["simulated"] == ["S0001", "S0002", "S0003"]
    sql.cursor().execute("update battery_summary set is_simulated = false")
    train.run(config, tmp_path)
    assert "SIMULATED" not in capsys.readouterr().out


def test_an_unknown_battery_is_told_which_there_are(simulated: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no battery X1: it has S0001, S0002, S0003, S0004, SRW1"):
        train.run(Config(train=("S0001", "S0002"), test=("X1",)), tmp_path)


def test_long_work_tells_of_itself_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    with progress.steps("evaluation", 2, "protocol") as step:
        step()
        step()
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"evaluation: 1 of 2 protocols after \d+ s", first)
    assert re.fullmatch(r"evaluation: 2 of 2 protocols after \d+ s", last)
