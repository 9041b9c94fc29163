"""README.md does what it says: its commands run, its output is what they print."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NASA, ROOT, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
NOT_OURS = shutil.ignore_patterns(
    ".git", ".venv", ".postgres", "artifacts", "data", "target", ".*_cache"
)


def test_the_readme_opens_with_the_two_commands_that_ci_runs() -> None:
    first = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert first is not None
    assert first[1] == "make demo\nmake test\n"
    assert (ROOT / ".ci/run").read_text().endswith("make demo\nmake test\n")


@pytest.mark.nasa
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_runs(nasa: str, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=NOT_OURS)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    script = COMMANDS.replace("make demo\nmake test\n", "")
    made = subprocess.run(
        ["bash", "-eumo", "pipefail", "-c", script],
        cwd=checkout,
        env={"PATH": path, "DATABASE_URL": nasa, "BATTERY_DATA": str(NASA), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count('"predicted_soh":') == 3
    assert "nothing to do" in made.stdout
    shown = re.search(r"```text\n(\s*battery_id .*?)```", README, re.DOTALL)
    assert shown is not None
    printed = [line.rstrip() for line in made.stdout.splitlines()]
    for line in shown[1].splitlines():
        assert line in printed


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
