"""The whole road as a stranger goes it: an ordinary user, an odd folder, no network."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import NASA, ROOT
from tests.test_embedded import ask, refused
from tests.users import User, checkout, database_alone, ordinary

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")


def make(user: User, folder: Path, target: str, **environment: str) -> str:
    """What make shows; it must succeed."""
    made = user.run("make", target, cwd=folder, **environment)
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout + made.stderr


def told(user: User, folder: Path, query: str) -> str:
    return ask(user, folder, "psql", "-Atc", query)


@pytest.mark.long(80)
@pytest.mark.nasa
@only_root
@pytest.mark.skipif(
    not (Path(sys.prefix) / "installed").exists(), reason="make has not made this environment"
)
def test_the_whole_road() -> None:
    with ordinary("battery_ada") as (ada,):
        folder = checkout(ada.home / "my project (1)")
        os.utime(folder / "pyproject.toml", (0, 0))  # older than the environment: it is installed
        # how well networks learn is not looked at here
        config = folder / "model/config.py"
        hasty = re.sub(r"(epochs: int = _knob\(\s*)0,", r"\g<1>2,", config.read_text())
        assert hasty != config.read_text()
        config.write_text(hasty)
        ada.own(folder)
        assert ada.run("make", cwd=folder).stdout.startswith("make demo ")
        _simulated(ada, folder)
        _measured(ada, folder)
        make(ada, folder, "clean")
        left = {it.name for it in folder.iterdir()}
        assert not left & {".venv", ".postgres", "artifacts", "logs"}
        assert (folder / "data/B0005.mat").exists()


def _simulated(ada: User, folder: Path) -> None:
    """Nothing is at hand: simulated cells, that stay apart and say so."""
    said = make(ada, folder, "demo")
    assert "no recordings, no network: SIMULATED cells instead" in said
    assert "S0001 (168 cycles), S0002 (168 cycles), S0003 (168 cycles)" in said
    assert "POST /predict with SIMULATED cycles" in said
    assert '"is_simulated": true' in said
    assert "SIMULATED cells, not measurements: S0001, S0002, S0003" in said
    metrics = json.loads((folder / "artifacts/simulated/metrics.json").read_text())
    assert metrics["simulated"] == ["S0001", "S0002", "S0003"]
    assert told(ada, folder, "select to_regclass('cycle_series') is null") == "t\n"


def _measured(ada: User, folder: Path) -> None:
    """Then recordings come: none of the simulated cells is among them.

    One is a file of the user's own, which is corrected afterwards, and then taken out.
    """
    assert NASA is not None
    for name in ("B0005", "B0018", "B0031"):
        shutil.copy(NASA / f"aging/{name}.mat", folder / "data")
    ada.own(folder / "data")
    recording = folder / "C1.csv"
    shutil.copy(ROOT / "tests/cases/00-control.csv", recording)
    _loaded(ada, recording)
    made = ada.run("make", "demo", cwd=folder)
    assert made.returncode != 0
    said = made.stdout + made.stderr
    # B0031 has 40 cycles: that is said, and what there is can be used
    assert "each of more than 50 cycles with a state of health: there are B0005, B0018 (" in said
    assert "Traceback" not in said
    assert "SIMULATED" not in said
    assert told(ada, folder, "select battery_id from battery_summary order by 1") == (
        "B0005\nB0018\nB0031\nC1\n"
    )
    capacity = (
        "select discharge_capacity from cycle_features where battery_id = 'C1' order by cycle_index"
    )
    first = [float(it) for it in told(ada, folder, capacity).split()]
    assert first == pytest.approx([1.9, 1.8, 1.7, 1.6], abs=0.011)

    recording.write_text(recording.read_text().replace(",-2.0,", ",-1.0,"))
    _loaded(ada, recording)
    make(ada, folder, "features")
    corrected = [float(it) for it in told(ada, folder, capacity).split()]
    assert corrected == pytest.approx([0.95, 0.9, 0.85, 0.8], abs=0.011)

    removed = [sys.executable, "-m", "loader", "remove", "--yes"]
    made = ada.run(*removed, "C2", cwd=folder)
    assert made.returncode == 1
    assert made.stderr.strip() == (
        "C2: not loaded, nothing was removed; loaded are B0005, B0018, B0031, C1"
    )
    assert ada.run(*removed, "C1", cwd=folder).returncode == 0
    made = ada.run(sys.executable, "-m", "dbt_project", "run", cwd=folder)
    assert made.returncode == 0, made.stdout
    assert told(ada, folder, capacity) == ""


def _loaded(ada: User, recording: Path) -> None:
    ada.own(recording)
    facts = ["--rated-capacity-ah", "2", "--cutoff-v", "2.5"]
    command = [sys.executable, "-m", "loader", recording.name, *facts]
    made = ada.run(*command, cwd=recording.parent)
    assert made.returncode == 0, made.stderr


@only_root
def test_users_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    with ordinary("battery_ada", "battery_bob") as users:
        for user in users:
            folder = user.own(database_alone(user.home / "my project (1)"))
            assert ask(user, folder, "psql", "-Atc", "select 6 * 7") == "42\n"
            owner = (folder / ".postgres/data").stat().st_uid
            assert owner == folder.stat().st_uid
        ada, bob = users
        ada.home.chmod(0o755)
        folder = ada.home / "my project (1)"
        said = refused(bob, folder, "psql", "-Atc", "select 6 * 7")
        assert "belongs to another user" in said
        assert "PGHOST" in said
        # root works on with what is Ada's, and as Ada
        root = User(tmp_path)
        assert ask(root, folder, "psql", "-Atc", "select 6 * 7") == "42\n"
        ask(root, folder, "stop")
        assert ask(root, folder, "psql", "-Atc", "select 6 * 7") == "42\n"
        ask(ada, folder, "stop")
        for user in users:
            ask(user, user.home / "my project (1)", "stop")


@only_root
def test_a_home_and_a_project_that_nobody_may_write_in() -> None:
    with ordinary("battery_ada") as (ada,):
        folder = ada.own(database_alone(ada.home / "project"))
        shut = ada.home / "shut"
        shut.mkdir()
        environment = {"HOME": str(shut), "TMPDIR": str(shut)}
        assert ask(ada, folder, "psql", "-Atc", "select 6 * 7", **environment) == "42\n"
        ask(ada, folder, "stop")
        closed = database_alone(ada.home / "closed")
        said = refused(ada, closed, "start")
        assert f"{closed}/.postgres: Permission denied" in said
        assert "PGHOST" in said


def _heed_ctrl_c() -> None:
    """What a shell starts in the background ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


TOLD_AT_ONCE = """\
import runpy
from model import progress
progress.EVERY_S = 0
runpy.run_module("model.train", run_name="__main__", alter_sys=True)"""


@pytest.mark.parametrize(
    ("command", "awaited", "said"),
    [
        (
            ("-m", "loader.simulate", "cells"),
            "S0001.mat",
            "interrupted: files that were named, and cells in staging, are whole",
        ),
        (
            ("-c", TOLD_AT_ONCE, "--train", "S0001", "S0002", "--test", "S0003", "--epochs", "400"),
            "left out:",
            "interrupted: nothing was written",
        ),
        (("-m", "demo"), "== features into", "interrupted: `make demo` goes on from what is done"),
    ],
)
def test_ctrl_c_is_one_line(
    command: tuple[str, ...], awaited: str, said: str, simulated: str, recordings: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    environment = {
        "DATABASE_URL": simulated, "BATTERY_DATA": str(recordings), "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    running = subprocess.Popen(
        [sys.executable, *command], **User(tmp_path).process(tmp_path, **environment),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_heed_ctrl_c,
    )  # fmt: skip
    assert running.stdout is not None
    for line in running.stdout:
        if awaited in line:
            break
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    after = running.communicate(timeout=60)[0]
    assert running.returncode == 130
    assert after.strip().splitlines()[-1] == said
    assert "Traceback" not in after
    assert [it.pid for it in psutil.process_iter(["cwd"]) if it.info["cwd"] == str(tmp_path)] == []
    assert not list(tmp_path.rglob("*.pth"))
    assert all(it.stat().st_size for it in tmp_path.rglob("*.mat"))
