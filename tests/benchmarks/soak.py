"""Whether the service goes on as it began: `python -m tests.benchmarks.soak [MINUTES]`, 5 of them.

Sixteen connections ask for all there is, right and wrong, of the database and the model in use; in
the end the service is told to stop while they ask. It must answer nothing with 5xx, take no more
than 5 % more memory than after the first minute, and answer whatever it has read.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx2
import psutil

from api.schemas import CSV, EXAMPLE_CYCLE, EXAMPLE_WINDOW, PARQUET
from tests.conftest import serving

CONNECTIONS = 16
MEMORY_GROWTH = 0.05
SETTLED_S = 60
EVERY_S = 2.0


@dataclass
class Told:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)  # s, each answer
    memory: list[tuple[float, int]] = field(default_factory=list)  # s since the start, bytes
    lost: list[str] = field(default_factory=list)  # requests that got no answer, or a part of one
    unread: int = 0  # sent as the service, stopping, closed a connection that idled
    is_stopping: bool = False


def request(method: str, path: str, body: object = None, **headers: str) -> bytes:
    text = b"" if body is None else json.dumps(body).encode()
    head = {
        "Host": "localhost",
        "Content-Length": str(len(text)),
        "Content-Type": "application/json",
    }
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in (head | headers).items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + text


def mixture(here: str) -> list[bytes]:
    """Everything that the service does, posted windows more often than the rest."""
    with httpx2.Client(base_url=here) as client:
        known = client.get("/v1/batteries").json()["batteries"]
        ids = [quote(it["battery_id"], safe="") for it in known if it["next_cycle"]][:8]
        tag = client.get(f"/v1/batteries/{ids[0]}/forecast").headers["etag"]
    made = [
        request("GET", "/v1/batteries?limit=20"), request("GET", "/v1/batteries?sort=-last_soh"),
        request("GET", "/v1/alerts"), request("GET", "/v1/model"), request("HEAD", "/v1/model"),
        request("GET", "/v1/model/health"), request("GET", "/metrics"), request("GET", "/"),
        request("GET", "/page/page.js", Accept_Encoding="gzip"),
        request("GET", "/plotly/plotly.min.js", Accept_Encoding="gzip"),
        request("GET", f"/v1/batteries/{ids[0]}/forecast", If_None_Match=tag),
        request("POST", "/v1/predict/batch", [EXAMPLE_WINDOW] * 20, Accept_Encoding="gzip"),
        request("POST", "/v1/predict", [{**EXAMPLE_CYCLE, "max_temperature": "hot"}] * 50),
        request("GET", "/v1/batteries/nobody"), request("GET", "/v1/alerts?unknown=1"),
    ]  # fmt: skip
    for one in ids:
        path = f"/v1/batteries/{one}"
        made += [
            request("GET", path), request("GET", f"{path}/cycles", Accept_Encoding="gzip"),
            request("GET", f"{path}/cycles?limit=50", Accept=CSV),
            request("GET", f"{path}/cycles?limit=50", Accept=PARQUET),
            request("GET", f"{path}/prediction"), request("GET", f"{path}/forecast?horizon=200"),
            request("GET", f"{path}/predictions"), request("GET", f"{path}/cycles/1/curve"),
        ]  # fmt: skip
    posted = request("POST", "/v1/predict", EXAMPLE_WINDOW)
    return [it for other in made for it in (posted, other, posted)]


async def ask(port: int, requests: list[bytes], first: int, deadline: float, told: Told) -> None:
    """Ask over one connection, beginning with the first, until the deadline or the service ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    at = first
    while time.perf_counter() < deadline:
        sent = requests[at % len(requests)]
        at += 1
        began = time.perf_counter()
        try:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            if not sent.startswith(b"HEAD") and status != 304:
                await reader.readexactly(int(length))
        except (OSError, asyncio.IncompleteReadError) as error:
            is_begun = isinstance(error, asyncio.IncompleteReadError) and error.partial
            if is_begun or not told.is_stopping:
                told.lost.append(f"{sent[:60]!r}: {error}")
            else:
                told.unread += 1
            break
        told.statuses[status] += 1
        told.took.append(time.perf_counter() - began)
        if b"connection: close" in head.lower():
            break
    writer.close()


async def watch(service: psutil.Process, seconds: float, told: Told) -> None:
    """Note its memory until the end; then tell it to stop."""
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        told.memory.append((passed, service.memory_info().rss))
        await asyncio.sleep(EVERY_S)
    told.is_stopping = True
    service.terminate()


async def soak(here: str, service: psutil.Process, seconds: float) -> Told:
    told, port = Told(), int(here.rsplit(":", 1)[1])
    requests = mixture(here)
    deadline = time.perf_counter() + seconds + 30  # the service stops before
    step = len(requests) // CONNECTIONS
    await asyncio.gather(
        watch(service, seconds, told),
        *(ask(port, requests, k * step, deadline, told) for k in range(CONNECTIONS)),
    )
    return told


def main() -> int:
    seconds = 60 * float(sys.argv[1] if len(sys.argv) > 1 else 5)
    model = os.environ.get("MODEL_PATH", "artifacts/model.pth")
    with serving("--no-access-log", MODEL_PATH=model) as here:
        (service,) = (it for it in psutil.Process().children() if "uvicorn" in it.cmdline())
        told = asyncio.run(soak(here, service, seconds))
    settled = [it for at, it in told.memory if SETTLED_S <= at < SETTLED_S + 15]
    last = [it for _, it in told.memory[-8:]]
    growth = statistics.median(last) / statistics.median(settled or last) - 1
    failed = sum(count for status, count in told.statuses.items() if status >= 500)
    took = sorted(told.took)
    print(f"{len(took):,} answers in {seconds:.0f} s: {dict(sorted(told.statuses.items()))}")
    print(f"median {1e3 * took[len(took) // 2]:.1f} ms, 99th percentile "
          f"{1e3 * took[len(took) * 99 // 100]:.0f} ms")  # fmt: skip
    minutes = [f"{it / 2**20:.0f}" for _, it in told.memory[:: round(SETTLED_S / EVERY_S)]]
    print(f"memory by the minute, MiB: {', '.join(minutes)}")
    print(f"memory {statistics.median(settled or last) / 2**20:.0f} MiB after a minute, "
          f"{statistics.median(last) / 2**20:.0f} MiB in the end: {growth:+.1%}")  # fmt: skip
    print(
        f"{failed} answered with 5xx, {len(told.lost)} lost, {told.unread} unread {told.lost[:3]}"
    )
    return int(growth > MEMORY_GROWTH or failed > 0 or bool(told.lost))


if __name__ == "__main__":
    sys.exit(main())
