"""The wheel and what it installs: every file, one version, commands that work from anywhere."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import api.main
from tests.conftest import ROOT
from tests.users import User, checkout

PACKAGES = ("api", "dbt_project", "loader", "model")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    made = User(folder).run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", folder,
        cwd=checkout(folder / "source"),
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A fresh environment with the wheel in it, and a way to the libraries of this one."""
    folder = wheel.parent / "environment"
    python = folder / "bin/python"
    for command in (
        ["venv", "--without-pip", str(folder)],
        ["pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
    ):
        subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    (site,) = folder.glob("lib/*/site-packages")
    libraries = next(it for it in map(Path, sys.path) if it.name == "site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return folder


def test_the_wheel_has_every_file(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES, "*.py"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is no clone")
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {it for it in listed.stdout.split() if not it.startswith("tests/")} - {"demo.py"}
    assert len(wanted) > 100
    assert wanted - packed == set()
    assert not [it for it in packed if it.startswith(("tests", "demo"))]


def test_its_commands_work_from_anywhere(installed: Path, empty: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return User(tmp_path).run(
            installed / "bin/battery-forecast", *arguments, cwd=tmp_path, DATABASE_URL=empty
        )

    assert "python -m dbt_project build" in run("--help").stdout
    assert run("fly").returncode == 2
    for word in ("train", "serve"):
        made = run(word, "--help")
        assert made.returncode == 0, made.stderr
        assert "usage:" in made.stdout.lower()
    assert run("load", "nothing").stderr == "nothing: no such file or folder\n"
    made = run("build")
    assert made.returncode == 2
    assert "has no recordings yet: run `python -m loader PATH` first" in made.stdout
    assert not list(installed.rglob("target"))


def test_its_database_outlives_the_environment(installed: Path, tmp_path: Path) -> None:
    share = tmp_path / "share"
    for command in ("start", "stop"):
        made = User(tmp_path).run(
            installed / "bin/python", "-m", "database", command,
            cwd=tmp_path, XDG_DATA_HOME=str(share),
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    assert (share / "battery-forecast/.postgres/data/PG_VERSION").exists()


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name.startswith(f"battery_forecast-{stated}-")
    assert api.main.app.version == stated
