"""How fast the service is: `python -m tests.benchmarks.service`.

Single windows and batches against an empty FastAPI route that takes the same body on a server of
its own, and the page's first picture for 1,000 batteries with 200 cycles each. Needs a trained
model (MODEL_PATH, else artifacts/model.pth), and Chromium for the picture.
"""

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import torch
from fastapi import FastAPI
from playwright.sync_api import sync_playwright

from api.schemas import EXAMPLE_CYCLE, EXAMPLE_WINDOW, Posted
from loader import simulate
from model import model_file
from model.model_file import Model
from tests.benchmarks.figures import Figure, told
from tests.conftest import Server, build, run, serving
from tests.test_page import FLAGS

CONNECTIONS = 32
SECONDS = 3
ROUNDS = 3
FLEET = (Path(__file__).parent / "fleet.sql").read_text(encoding="utf-8")

ONE, MANY = "/v1/predict", "/v1/predict/batch"
COLUMNS = {name: [cycle[name] for cycle in EXAMPLE_WINDOW] for name in EXAMPLE_CYCLE}

app = FastAPI()


@app.post(ONE)
async def empty(cycles: Posted) -> dict[str, int]:
    """Do nothing with the body but check it."""
    return {"cycles": len(cycles)}


async def ask(port: int, request: bytes, deadline: float) -> list[float]:
    """Send the request again and again over one connection; return the seconds that each took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    while (began := time.perf_counter()) < deadline:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - began)
    writer.close()
    return took


async def load(port: int, path: str, body: object, connections: int, seconds: float) -> list[float]:
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(text)}\r\n\r\n".encode() + text
    deadline = time.perf_counter() + seconds
    every = await asyncio.gather(*(ask(port, request, deadline) for _ in range(connections)))
    return [took for one in every for took in one]


def rate(port: int, path: str, body: object, connections: int = CONNECTIONS) -> float:
    """Return answers per second."""
    return len(asyncio.run(load(port, path, body, connections, SECONDS))) / SECONDS


def latency(port: int, path: str, body: object) -> float:
    """Return the median time of an answer, s, asked one at a time."""
    return statistics.median(asyncio.run(load(port, path, body, 1, SECONDS)))


def bare(model: Model) -> float:
    """Return the median time of one window through the network and nothing else, s."""
    window, last_soh = torch.zeros(1, model.window, 5), torch.zeros(1)
    took = []
    with torch.inference_mode():
        for _ in range(300):
            began = time.perf_counter()
            model.spec.network(window, last_soh)
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def picture(here: str) -> float:
    """Return the time until the fleet's first page is drawn in a fresh browser, s."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    took = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(5):
            with browser.new_context() as context:
                page = context.new_page()
                began = time.perf_counter()
                page.goto(here, wait_until="commit")
                page.wait_for_selector("tr[data-battery]:last-child .spark polyline")
                took.append(time.perf_counter() - began)
        browser.close()
    return statistics.median(took)


@contextmanager
def fleet() -> Iterator[str]:
    """A database with 1,000 batteries of 200 cycles each; gives its URL."""
    server = Server()
    url = server.create()
    with tempfile.TemporaryDirectory() as folder:
        simulate.simulate_aging(Path(folder) / "S0001.mat", seed=0, cycles=60)
        loaded = run("python", "-m", "loader", folder, DATABASE_URL=url)
        assert loaded.returncode == 0, loaded.stderr
    built = build(url)
    assert built.returncode == 0, built.stdout
    with closing(psycopg2.connect(url)) as opened, opened, opened.cursor() as cursor:
        cursor.execute(FLEET)
    yield url
    server.drop(url)


def measure() -> Iterator[Figure]:
    """Ask the service and an empty route for the same, by turns."""
    path = os.environ.get("MODEL_PATH", "artifacts/model.pth")
    model = model_file.load(Path(path))  # as it is trained: no network is compiled
    with (
        serving("--no-access-log", MODEL_PATH=path) as ours,
        serving("--no-access-log", app="tests.benchmarks.service:app", ready="/docs") as theirs,
    ):
        service, nothing = (int(here.rsplit(":", 1)[1]) for here in (ours, theirs))
        rounds = [_round(model, service, nothing) for _ in range(ROUNDS)]
    single, base, ours_ms, least_ms, batch, columns, alone = map(
        statistics.median, zip(*rounds, strict=True)
    )
    yield Figure(
        "single windows, 32 connections", single, base, "/s", "an empty route with the same body",
        at_least=0.6,
    )  # fmt: skip
    yield Figure(
        "time of one answer", ours_ms, least_ms, "ms", "the empty route and the bare network",
        at_most=1.2,
    )  # fmt: skip
    yield Figure(
        "windows in batches of 1,000", batch, alone, "/s", "single calls one by one", at_least=15
    )
    yield Figure(
        "a batch of 1,000 windows", 1e6 / batch, 150, "ms", "the time it may take", at_most=1
    )
    yield Figure(
        "a batch of 1,000 windows by column", 1e6 / columns, 150, "ms", "the time it may take",
        at_most=1,
    )  # fmt: skip
    with (
        serving("--no-access-log", "--workers", "2", MODEL_PATH=path) as two,
        serving("--no-access-log", MODEL_PATH=path) as one,
    ):
        both, alone = (
            statistics.median(
                rate(int(it.rsplit(":", 1)[1]), ONE, EXAMPLE_WINDOW) for _ in range(3)
            )
            for it in (two, one)
        )
    yield Figure("single windows, two workers", both, alone, "/s", "one worker", at_least=1.7)
    with fleet() as url, serving("--no-access-log", MODEL_PATH=path, DATABASE_URL=url) as here:
        yield Figure(
            "first picture of 1,000 batteries", picture(here), 1.5, "s", "the time it may take",
            at_most=1,
        )  # fmt: skip


def _round(model: Model, service: int, nothing: int) -> tuple[float, ...]:
    """Single windows and empty answers /s; latency and its least, ms; windows /s in three ways."""
    single = rate(service, ONE, EXAMPLE_WINDOW)
    base = rate(nothing, ONE, EXAMPLE_WINDOW)
    ours_s, base_s = (latency(port, ONE, EXAMPLE_WINDOW) for port in (service, nothing))
    least_s = base_s + bare(model)
    alone = rate(service, ONE, EXAMPLE_WINDOW, connections=1)
    batch, columns = (
        1000 * rate(service, MANY, [it] * 1000, connections=1) for it in (EXAMPLE_WINDOW, COLUMNS)
    )
    return single, base, 1e3 * ours_s, 1e3 * least_s, batch, columns, alone


if __name__ == "__main__":
    told(measure())
