"""Training streams: what is given, and that neither processes nor workers change what is made."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from psycopg2.extensions import connection
from torch import Tensor, distributed

from model import (
    data,
    fit_fleet,
    fit_window,
    fleet,
    fleet_cut,
    folds,
    network,
    processes,
    stream,
    train,
)
from model.config import Config
from model.data import ModelError, Series
from model.stream import FixedCut, Stream, Work
from tests.conftest import ROOT, run

TRAIN = ("S0001", "S0002", "S0004")
SMALL = ["--train", *TRAIN, "--test", "S0003", "--epochs", "2", "--batch-size", "28"]


@pytest.fixture
def cells(simulated: str, sql: connection) -> list[Series]:
    return data.read(sql, TRAIN)


def test_a_batch_holds_the_windows_asked_for(cells: list[Series]) -> None:
    cut = [data.windows(it, 20) for it in cells]
    rows = torch.tensor([0, 39, 40, 119, 80])  # 40 windows of each
    window, last_soh, target = FixedCut(cut)(rows)
    for name, made in (("inputs", window), ("last_soh", last_soh), ("target", target)):
        whole = np.concatenate([getattr(it, name) for it in cut])
        np.testing.assert_array_equal(made, whole[rows].astype(np.float32))


def test_a_fleets_batch_holds_the_windows_asked_for(cells: list[Series]) -> None:
    batteries = [fleet_cut.battery(it, 50) for it in cells]
    inputs, change = fleet_cut.FleetCut(batteries)(torch.arange(165))  # 55 of each, 5 to 50 cycles
    for row in (0, 1, 54, 55, 164):
        series, end = cells[row // 55], int(batteries[row // 55].end[row % 55])
        alone = replace(series, cycles=series.cycles[: end + 1])
        (one,) = [it for _, it in fleet_cut.battery(alone, 50).windows()][-1:]
        steps = int(one.count[-1])
        np.testing.assert_array_equal(inputs[row, :steps], fleet.masked(one)[-1, :steps])
        assert not inputs[row, steps:].any()
        capacity = series.capacity_ah
        came = capacity[end] / capacity[end - 1] - 1
        assert change[row, steps - 1] == pytest.approx(came / one.spread[-1, steps - 1], rel=1e-6)
        assert change[row, : fleet.LEAST - 1].isnan().all()
        assert change[row, steps:].isnan().all()


def test_a_battery_is_drawn_by_the_root_of_its_windows(cells: list[Series]) -> None:
    short = replace(cells[0], cycles=cells[0].cycles[:10])
    batteries = [fleet_cut.battery(it, 50) for it in (short, *cells[1:])]  # 5, 55, 55 windows
    drawn = fleet_cut.FleetCut(batteries).draw(20000)
    share = np.sqrt(5) / (np.sqrt(5) + 2 * np.sqrt(55))
    assert float((drawn < 5).double().mean()) == pytest.approx(share, abs=0.02)
    assert set(drawn.tolist()) == set(range(115))


def test_scaling_is_of_all_windows(cells: list[Series], monkeypatch: pytest.MonkeyPatch) -> None:
    cut = FixedCut([data.windows(it, 20) for it in cells])
    made = []
    for some in (7, len(cut)):
        monkeypatch.setattr(fit_window, "BATCH", some)
        made.append(network.Network(Config()))
        made[-1].scale_to(lambda: fit_window._some(cut), cut.last_soh, cut.target)
    window = cut(torch.arange(len(cut)))[0][..., :3]
    whole = (window - window[:, -1:]).double()
    for it in made:
        torch.testing.assert_close(it.input_std, (whole**2).mean(dim=(0, 1)).sqrt().float())


def test_each_input_is_disturbed_by_its_own_spread(cells: list[Series]) -> None:
    batteries = [fleet_cut.battery(it, 50) for it in cells]
    inputs = np.concatenate(
        [seen.inputs.reshape(-1, 17) for it in batteries for _, seen in it.windows()]
    )
    torch.testing.assert_close(
        fleet_cut.spread(batteries), torch.from_numpy(np.nanstd(inputs, axis=0)).float()
    )


def test_an_epoch_is_every_window_once_and_mixed(cells: list[Series]) -> None:
    torch.manual_seed(0)
    order = torch.split(torch.randperm(120), 20)
    given = Stream(lambda rows: (rows,), Work()).epoch(order)
    batches = [rows for _, (rows,) in given]
    assert sorted(torch.cat(batches).tolist()) == list(range(120))
    assert all(len({int(it) // 40 for it in rows}) == 3 for rows in batches)


def weights(made: torch.nn.Module) -> dict[str, Tensor]:
    return {name: it for name, it in made.state_dict().items() if name != "_extra_state"}


def test_workers_change_nothing(cells: list[Series]) -> None:
    windows = [data.windows(it, 20) for it in cells]
    batteries = [fleet_cut.battery(it, 50) for it in cells]
    config = Config(window=20, epochs=2)
    both: Any = ((fit_window.fit_network, windows), (fit_fleet.fit_network, batteries))
    for fit, training in both:
        (one, curve), (other, again) = (fit(config, training, Work(workers=it)) for it in (0, 2))
        assert curve == again
        for name, it in weights(one).items():
            assert torch.equal(it, weights(other)[name])


@pytest.mark.parametrize("features", ["extended", "fleet"])
def test_two_processes_learn_what_one_does(
    features: str, simulated: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(TRAIN, ("S0003",), features=(features,), epochs=2, batch_size=28)
    train.run(config, tmp_path / "one")
    both = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "model.train", *SMALL, "--features", features, "--out", str(tmp_path / "two")],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert both.stdout.replace("/two", "/one") == capsys.readouterr().out  # printed once
    one, two = (card(tmp_path / name, features) for name in ("one", "two"))
    assert two["training_curve"] == pytest.approx(one["training_curve"], rel=1e-5)
    for name, it in two["test"]["S0003"]["model"].items():
        assert it == pytest.approx(one["test"]["S0003"]["model"][name], rel=1e-3)


def card(folder: Path, features: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / f"metrics_{features}.json").read_text())
    return made


def test_a_batch_is_dealt_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    for whole in (1, 2, 3, 7, 32):
        dealt = []
        for number in range(3):
            monkeypatch.setattr(distributed, "get_rank", lambda number=number: number)
            part = processes.part(whole)
            rows = list(range(whole))[part.rows]
            assert rows  # each takes part, were it with nothing
            dealt += rows if part.counts else []
        assert dealt == list(range(whole))


def test_many_batteries_are_left_out_in_five_turns() -> None:
    assert folds.by_battery([*"abcdefghi"]) == [[row] for row in range(9)]
    turns = folds.by_battery([str(row) for row in range(12)])
    assert len(turns) == 5
    assert sorted(row for turn in turns for row in turn) == list(range(12))
    together = folds.dealt([*"aabbccddeeff"])
    assert [0, 1, 10, 11] in together
    assert len(together) == 5


def test_what_cannot_be_trained_on_is_one_line(simulated: str, tmp_path: Path) -> None:
    missing = "cuda:99" if torch.cuda.is_available() else "cuda"
    for flags, said in (
        (["--device", missing], f"--device {missing} cannot be used here: "),
        (["--device", "abacus"], "--device abacus cannot be used here: "),
        (["--workers", "-1"], "--workers must not be below 0"),
    ):
        made = run("python", "-m", "model.train", *SMALL, *flags, "--out", str(tmp_path / "out"))
        assert made.returncode == 1
        assert made.stderr.startswith(said)
        assert made.stderr.count("\n") == 1
        assert not (tmp_path / "out").exists()
    with pytest.raises(ModelError, match="--workers"):
        stream.work("cpu", -1)


def test_what_the_fleet_network_sees_is_read() -> None:
    assert {*fleet.NAMES, *Config().measured} <= {*data.KNOWN}
