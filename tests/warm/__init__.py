"""Runs the project's commands in processes that begin with what is slow to import: for the tests.

Each is forked from one that has done nothing but import, and so is as fresh as a new one; dbt's
imports alone take 3 s.
"""

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# What Python itself reads when it starts.
ITS_OWN = ("PYTHON", "LC_", "LANG", "LD_", "OMP_", "MKL_")


class Warm:
    """The process that `dbt`, or `python`, is forked from; started when first needed."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._busy = threading.Lock()
        self._born = {name: it for name, it in os.environ.items() if name.startswith(ITS_OWN)}

    def run(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        patience_s: float,
        until: str | None = None,
    ) -> subprocess.CompletedProcess[str] | None:
        """Run `python -m module …` or `dbt …` in the root of the checkout; None: it cannot here.

        It cannot while another runs, nor where Python itself is told something else. It is killed
        when it has printed a line that the expression `until` finds.
        """
        own = {name: it for name, it in environment.items() if name.startswith(ITS_OWN)}
        if own != self._born or not self._busy.acquire(blocking=False):
            return None
        try:
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                job = {"command": [*command], "environment": environment}
                files = [f"/proc/{os.getpid()}/fd/{it.fileno()}" for it in (out, err)]
                status = self._answer(job | {"files": files}, patience_s, until)
                said = []
                for it in (out, err):
                    it.seek(0)
                    said.append(it.read().decode())
            return subprocess.CompletedProcess([*command], status, *said)
        finally:
            self._busy.release()

    def _answer(self, job: dict[str, Any], patience_s: float, until: str | None) -> int:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", self._program], cwd=ROOT, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        number = int(process.stdout.readline())
        limit = time.monotonic() + patience_s
        while not select.select([process.stdout], [], [], 0.02 if until else patience_s)[0]:
            is_late = time.monotonic() >= limit
            if is_late or (until and re.search(until, Path(job["files"][0]).read_text())):
                os.kill(number, 9)
                status = int(process.stdout.readline())
                if is_late:
                    raise subprocess.TimeoutExpired(job["command"], patience_s)
                return status
        return int(process.stdout.readline())

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
