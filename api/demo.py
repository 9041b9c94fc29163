"""Asks the service for a forecast as a user would: starts it, posts a real window, stops it.

python -m api.demo B0007
"""

import argparse
import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import database
from model import forecast
from model.forecast import ModelError

DEADLINE_S = 60
WINDOW_FILE = Path("artifacts/window.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m api.demo", description=__doc__)
    parser.add_argument("battery_id")
    battery_id = parser.parse_args().battery_id
    try:
        window = forecast.load(Path("artifacts/model.pth")).window
        with closing(database.connect()) as server:
            past = forecast.history(server, battery_id)
    except (ModelError, database.DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    if len(past) < window:
        print(f"{battery_id} has {len(past)} cycles, {window} are needed", file=sys.stderr)
        return 1
    cycles = past[-window:]
    WINDOW_FILE.write_text(json.dumps(cycles), encoding="utf-8")

    port = _free_port()
    service = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "api.main:app", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(service, f"http://127.0.0.1:{port}/readyz")
        answer = _ask(f"http://127.0.0.1:{port}/predict", cycles)
    except OSError as error:
        print(f"the service did not answer: {error}", file=sys.stderr)
        return 1
    finally:
        service.terminate()
        service.wait()
    print(f"\nPOST /predict with cycles {len(past) - window + 1} to {len(past)} of {battery_id}:")
    print(json.dumps(answer, indent=2))
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(service: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if service.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _ask(url: str, cycles: list[dict[str, float]]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(cycles).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
