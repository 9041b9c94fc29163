"""The whole road as a stranger goes it: an ordinary user, an odd folder, no network."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import NASA, ROOT
from tests.users import User, checkout, ordinary

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users"),
    pytest.mark.skipif(
        not (Path(sys.prefix) / "installed").exists(), reason="make has not made this environment"
    ),
]


def make(user: User, folder: Path, target: str, **environment: str) -> str:
    """What make shows; it must succeed."""
    made = user.run("make", target, cwd=folder, **environment)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout + made.stderr


def ask(user: User, folder: Path, query: str) -> str:
    made = user.run(sys.executable, "-m", "database", "psql", "-Atc", query, cwd=folder)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.nasa
def test_the_whole_road() -> None:
    with ordinary("battery_ada") as (ada,):
        folder = checkout(ada.home / "my project (1)")
        os.utime(folder / "pyproject.toml", (0, 0))  # older than the environment: it is installed
        ada.own(folder)
        assert ada.run("make", cwd=folder).stdout.startswith("make demo ")
        _simulated(ada, folder)
        _measured(ada, folder)
        _corrected_and_removed(ada, folder)
        said = ada.run(sys.executable, "-m", "database", "stop", cwd=folder)
        assert said.returncode == 0


def _simulated(ada: User, folder: Path) -> None:
    """Nothing is at hand: simulated cells, that stay apart and say so."""
    said = make(ada, folder, "demo")
    assert "no recordings, no network: SIMULATED cells instead" in said
    assert "POST /predict with SIMULATED cycles" in said
    assert '"is_simulated": true' in said
    assert "SIMULATED cells, not measurements: S0001, S0002, S0003" in said
    metrics = json.loads((folder / "artifacts/simulated/metrics.json").read_text())
    assert metrics["simulated"] == ["S0001", "S0002", "S0003"]
    assert ask(ada, folder, "select to_regclass('cycle_series') is null") == "t\n"


def _measured(ada: User, folder: Path) -> None:
    """Then recordings come: none of the simulated cells is among them, and the model is theirs."""
    assert NASA is not None
    for name in ("B0005", "B0018", "B0031"):
        shutil.copy(NASA / f"aging/{name}.mat", folder / "data")
    ada.own(folder / "data")
    made = ada.run("make", "demo", cwd=folder)
    assert made.returncode != 0
    said = made.stdout + made.stderr
    # B0031 has 40 cycles: that is said, and what there is can be used
    assert "each of more than 50 cycles with a state of health: there are B0005, B0018" in said
    assert "Traceback" not in said
    assert ask(ada, folder, "select battery_id from battery_summary order by 1") == (
        "B0005\nB0018\nB0031\n"
    )
    shutil.copy(NASA / "aging/B0006.mat", folder / "data")
    ada.own(folder / "data")
    said = make(ada, folder, "demo")
    assert "B0005 (168 cycles), B0006 (168 cycles), B0018 (132 cycles)" in said
    assert '"is_simulated": false' in said
    assert re.search(r"B0018 +model +0\.0", said)
    assert "SIMULATED" not in said
    # what is done is kept
    assert make(ada, folder, "demo").count("nothing to do: artifacts/model") == 2


def _corrected_and_removed(ada: User, folder: Path) -> None:
    """A file of the user's own, then the same corrected, then none."""
    recording = folder / "C1.csv"
    shutil.copy(ROOT / "tests/cases/00-control.csv", recording)
    text = recording.read_text()
    capacity = "select discharge_capacity from cycle_features where battery_id = 'C1'"
    load = [
        sys.executable, "-m", "loader", "C1.csv", "--rated-capacity-ah", "2", "--cutoff-v", "2.5",
    ]  # fmt: skip
    for cells in (text, re.sub(r",-2\.0,", ",-1.0,", text)):
        recording.write_text(cells)
        ada.own(recording)
        made = ada.run(*load, cwd=folder)
        assert made.returncode == 0, made.stderr
        make(ada, folder, "features")
        found = ask(ada, folder, capacity + " order by cycle_index").split()
        expected = [1.9, 1.8, 1.7, 1.6] if cells == text else [0.95, 0.9, 0.85, 0.8]
        assert [float(it) for it in found] == pytest.approx(expected, abs=0.011)
    removed = [sys.executable, "-m", "loader", "remove"]
    made = ada.run(*removed, "C2", cwd=folder)
    assert made.returncode == 1
    assert made.stderr.strip() == (
        "C2: not loaded, nothing was removed; loaded are B0005, B0006, B0018, B0031, C1"
    )
    assert ada.run(*removed, "C1", cwd=folder).returncode == 0
    make(ada, folder, "features")
    assert ask(ada, folder, capacity) == ""
