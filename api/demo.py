"""Asks the service for a forecast as a user would: starts it, posts a battery's window, stops it.

python -m api.demo B0007
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

DEADLINE_S = 60
ITSELF = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy on the way
WINDOW_FILE = Path(os.environ.get("MODEL_PATH", "artifacts/model.pth")).with_name("window.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m api.demo", description=__doc__)
    parser.add_argument("battery_id")
    battery_id = parser.parse_args().battery_id
    port = _free_port()
    here = f"http://127.0.0.1:{port}"
    service = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "api.main:app", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(service, f"{here}/readyz")
        count = _ask(f"{here}/model")["window"]
        recorded = _ask(f"{here}/batteries/{quote(battery_id, safe='')}/cycles?limit=5000")
        used = [cycle for cycle in recorded["cycles"] if cycle["is_usable"]][-count:]
        window = [{**cycle["features"], "soh_target": cycle["soh"]} for cycle in used]
        answer = _ask(f"{here}/predict", window)
    except HTTPError as error:
        print(json.load(error)["detail"], file=sys.stderr)
        return 1
    except OSError as error:
        print(f"the service did not answer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        service.terminate()
        service.wait()
    WINDOW_FILE.write_text(json.dumps(window), encoding="utf-8")
    first, last = used[0]["cycle_index"], used[-1]["cycle_index"]
    simulated = "SIMULATED " if answer["is_simulated"] else ""
    print(f"\nPOST /predict with {simulated}cycles {first} to {last} of {battery_id}:")
    print(json.dumps(answer, indent=2))
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(service: subprocess.Popen[bytes], url: str) -> None:
    """Wait until the service is ready; raises HTTPError when it says why it cannot be."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            ITSELF.open(url, timeout=5).close()
            return
        except HTTPError:
            raise
        except OSError:
            if service.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _ask(url: str, cycles: list[dict[str, float]] | None = None) -> Any:
    body = None if cycles is None else json.dumps(cycles).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with ITSELF.open(request, timeout=DEADLINE_S) as response:
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
