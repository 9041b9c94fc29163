"""The process that the tests' commands are forked from: it imports what is slow, then waits.

It reads a job per line, in JSON, and answers each with two lines: the number of its process, then
its exit status.
"""

import atexit
import gc
import importlib
import json
import multiprocessing.util
import os
import runpy
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from loader.readers import READERS

# Each program's own: dbt's imports set up a log that other commands do not have.
IMPORTS = {
    "dbt": ("dbt.cli.main", "dbt.adapters.postgres", "dbt.task.build", "tests.warm.parsed"),
    "python": (
        *(f"loader.readers.{it}" for it in READERS),
        *("loader.load", "model.data", "model.network", "model.plots", "model.window"),
    ),
}


def main() -> None:
    answers = os.dup(1)
    os.dup2(2, 1)  # what dbt says here is no answer
    modules = [importlib.import_module(it) for it in IMPORTS[sys.argv[1]]]
    parsed = modules[-1].Parsed() if sys.argv[1] == "dbt" else None
    for line in sys.stdin.buffer:
        job = json.loads(line)
        if parsed:
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


def become(command: list[str], environment: dict[str, str], files: list[str]) -> None:
    """Be the command, as if Python had just started for it; raises what it raises."""
    for number, name in enumerate(("/dev/null", *files)):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace")  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    if "dbt.cli.main" in sys.modules:
        # the static parser waits for ever for threads that this process was forked without
        os.environ["DBT_STATIC_PARSER"] = "false"
        gc.disable()  # a fifth of its time, for a second or two
    if command[0] == "dbt":
        from dbt.cli.main import cli

        cli(command[1:], prog_name="dbt")
    else:
        sys.argv = command[2:]
        if command[2].startswith("loader"):
            multiprocessing.util.spawnv_passfds = forked  # what its workers are forked from
        if not hasattr(sys.modules.get(command[2]), "__path__"):
            sys.modules.pop(command[2], None)  # run as a new one
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)


def forked(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Run `python -c …` in a fork of this process, which has imported all it needs."""
    number = os.fork()
    if number == 0:
        atexit._clear()
        bounds = [2, *sorted(passfds), os.sysconf("SC_OPEN_MAX")]
        for before, after in pairwise(bounds):
            os.closerange(before + 1, after)
        sys.argv = ["-c"]
        try:
            exec(args[-1], {})
        finally:
            os._exit(0)
    return number


if __name__ == "__main__":
    main()
