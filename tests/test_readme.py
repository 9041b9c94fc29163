"""README.md and docs/ do what they say: their commands run, their output is what is printed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.conftest import NASA, ROOT, run
from tests.users import User, checkout

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
SNIPPETS = [
    pytest.param(language, text, id=f"{path.stem}-{number}-{language}")
    for path in sorted((ROOT / "docs").glob("*.md"))
    for number, (language, text) in enumerate(
        re.findall(r"```(\w+)\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL), start=1
    )
    if language != "text"
]


def test_the_readme_opens_with_the_two_commands_that_ci_runs() -> None:
    first = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert first[1] == "make demo\nmake test\n"
    assert (ROOT / ".ci/run").read_text().endswith("make demo\nmake test\n")


@pytest.mark.long(60)
@pytest.mark.nasa
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_runs(nasa: str, tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    if (ROOT / "artifacts").exists():  # made of the same cycles and code, or they are made anew
        shutil.copytree(ROOT / "artifacts", folder / "artifacts")
    (folder / "cycler").mkdir()
    shutil.copy(ROOT / "tests/cases/25a-tab.txt", folder / "cycler/C7.txt")
    script = COMMANDS.replace("make demo\nmake test\n", "")
    made = subprocess.run(
        ["bash", "-eumo", "pipefail", "-c", script],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "DATABASE_URL": nasa,
            "BATTERY_DATA": str(NASA),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count('"predicted_soh":') == 3
    assert '"is_simulated": false' in made.stdout
    assert "SIMULATED" not in made.stdout
    assert "nothing to do" in made.stdout
    shown = re.search(r"```text\n(\s*battery_id .*?)```", README, re.DOTALL)
    assert shown is not None
    printed = [line.rstrip() for line in made.stdout.splitlines()]
    for line in shown[1].splitlines():
        assert line in printed


@pytest.mark.parametrize(("language", "text"), SNIPPETS)
def test_every_snippet_of_the_docs_runs(
    language: str, text: str, simulated: str, tmp_path: Path
) -> None:
    if "install postgres" in text:
        try:
            duckdb.sql("install postgres")
        except duckdb.Error:
            pytest.skip("DuckDB's extension cannot be downloaded")
    if "citus" in text or "distributed: true" in text:
        pytest.skip("it takes a cluster: tests/test_citus.py goes that way")
    folder = checkout(tmp_path / "checkout")
    runner = {
        "sh": ["bash", "-euo", "pipefail", "-c", text],
        "python": [sys.executable, "-c", text],
        "sql": [
            sys.executable, "-m", "database", "psql", "-v", "ON_ERROR_STOP=1",
            "-c", f"begin; {text} rollback;",
        ],
    }[language]  # fmt: skip
    made = User(tmp_path).run(*runner, cwd=folder, DATABASE_URL=simulated)
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.strip()


def test_simulated_cells_travel_the_whole_road(empty: str, tmp_path: Path) -> None:
    """What `make demo` does without a network, on small cells."""
    for command in (
        ["python", "-m", "loader.simulate", str(tmp_path), "--aging", "3", "--cycles", "60"],
        ["python", "-m", "loader", str(tmp_path)],
        ["dbt", "build", "--project-dir", "dbt_project", "--target-path", "target/road"],
        ["python", "-m", "model.train", "--train", "S0001", "S0002", "--test", "S0003",
         "--epochs", "2", "--out", str(tmp_path / "artifacts")],
    ):  # fmt: skip
        made = run(*command)
        assert made.returncode == 0, made.stdout + made.stderr
    assert (tmp_path / "artifacts/model.pth").exists()
