"""The process that the tests' commands are forked from: it imports what is slow, then waits.

It reads a job per line, in JSON, and answers each with two lines: the number of its process, then
its exit status.
"""

import gc
import importlib
import json
import os
import re
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dbt.artifacts.resources.base import FileHash
from dbt.cli.main import cli, dbtRunner
from dbt.contracts.graph.manifest import ManifestStateCheck
from dbt.parser.manifest import ManifestLoader

from tests.warm import ROOT

IMPORTS = (
    "dbt.adapters.postgres", "dbt.task.build", "loader.load", "model.data", "model.network",
    "model.plots", "model.window",
)  # fmt: skip
CHECK = "build_manifest_state_check"


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # what dbt says here is no answer
    for module in IMPORTS:
        importlib.import_module(module)
    parsed = Parsed()
    for line in sys.stdin.buffer:
        job = json.loads(line)
        parsed.lay_ready(**job)
        gc.freeze()
        number = os.fork()
        if number == 0:
            os.close(answers)
            become(**job)
            return
        os.write(answers, b"%d\n" % number)
        _, status = os.waitpid(number, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


class Parsed:
    """What dbt has parsed for the first database of the tests, for the others.

    Only the database's name tells them apart, and all names are of one length.
    """

    def __init__(self) -> None:
        self._content, self._name = b"", b""
        self._check: Callable[[ManifestLoader], ManifestStateCheck] = getattr(ManifestLoader, CHECK)
        setattr(ManifestLoader, CHECK, lambda it: self._but_for_the_name(it))

    def lay_ready(self, command: list[str], environment: dict[str, str], **_: Any) -> None:
        """Put it where dbt looks for it, if this is dbt, on a database of the tests."""
        name = re.search(r"/(test_\d+_\d+)(\?|$)", environment.get("DATABASE_URL", ""))
        if command[0] != "dbt" or "--target-path" not in command or name is None:
            return
        target = command[command.index("--target-path") + 1]
        file = ROOT / "dbt_project" / target / "partial_parse.msgpack"
        if file.exists():
            return
        if not self._content:
            self._parse(target, environment)
            self._content, self._name = file.read_bytes(), name[1].encode()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self._content.replace(self._name, name[1].encode()))

    def _parse(self, target: str, environment: dict[str, str]) -> None:
        """Have dbt parse in this process, so that it has made what it makes at first use, too.

        Its static parser has threads, which no fork has: that is left to the forked.
        """
        own = dict(os.environ)
        os.environ |= environment
        command = [
            "--quiet",
            "--no-static-parser",
            "parse",
            "--project-dir",
            "dbt_project",
            "--target-path",
            target,
        ]
        dbtRunner().invoke(command)
        os.environ.clear()
        os.environ |= own

    def _but_for_the_name(self, loader: ManifestLoader) -> ManifestStateCheck:
        """What must be alike for dbt to use what it parsed before."""
        login = loader.root_project.credentials
        rest = [it for it in login.connection_info() if it[0] != "database"]
        return replace(self._check(loader), profile_hash=FileHash.from_contents(repr(rest)))


def become(command: list[str], environment: dict[str, str], files: list[str]) -> None:
    """Be the command, as if Python had just started for it; raises what it raises."""
    for number, name in enumerate(("/dev/null", *files)):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace")  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    if command[0] == "dbt":
        gc.disable()  # a fifth of its time, for a second or two
        cli(command[1:], prog_name="dbt")
    else:
        sys.argv = command[2:]
        sys.modules.pop(command[2], None)
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
