"""What befalls the service while clients ask it: its server stops, its model is replaced."""

import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import torch

import embedded
from model import forecast
from tests.chaos.ground import Ground
from tests.chaos.scenario import Scenario
from tests.conftest import serving

BATTERY = "S0004"
THREADS = 4
RECOVERS_S = 15.0
ITSELF = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PATHS = (
    "/batteries",
    f"/batteries/{BATTERY}",
    f"/batteries/{BATTERY}/cycles",
    f"/batteries/{BATTERY}/prediction",
    f"/batteries/{BATTERY}/predictions",
    f"/batteries/{BATTERY}/forecast",
    "/alerts",
)


@dataclass(frozen=True)
class Answer:
    path: str
    began: float
    ended: float
    status: int  # 0 where there was no answer at all
    media_type: str
    body: Any


def ask(here: str, path: str, window: object = None) -> Answer:
    """Ask once; whatever happens is an answer."""
    content = json.dumps(window).encode() if path == "/predict" else None
    request = urllib.request.Request(
        here + path, content, {"Content-Type": "application/json"} if content else {}
    )
    began = time.monotonic()
    status, media_type, said = 0, "", b""
    try:
        with ITSELF.open(request, timeout=30) as answer:
            status, media_type, said = answer.status, answer.headers["Content-Type"], answer.read()
    except HTTPError as error:
        status, media_type, said = error.code, error.headers["Content-Type"], error.read()
    except OSError as error:
        said = json.dumps(str(error)).encode()
    return Answer(path, began, time.monotonic(), status, media_type, json.loads(said or "null"))


@contextmanager
def clients(here: str, paths: tuple[str, ...], window: object) -> Iterator[list[Answer]]:
    """Ask in several threads, again and again; gives what has been answered so far."""
    answers: list[Answer] = []
    stop = threading.Event()

    def go_on(seed: int) -> None:
        rng = random.Random(seed)
        while not stop.is_set():
            answers.append(ask(here, rng.choice(paths), window))

    threads = [threading.Thread(target=go_on, args=[it]) for it in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def trained(ground: Ground, scenario: Scenario) -> Path:
    """Train a model on the clean build, where that is not done; return where it lies."""
    path = ground.folder / "model" / "model.pth"
    if not path.exists():
        knobs = ("--train", "S0001", "S0002", "--test", "S0003", "--epochs", "2")
        training = ground.begin(
            "model.train", *knobs, "--out", str(path.parent), url=ground.clean_url
        )
        training.ended(scenario, 0)
    return path


def window_of(here: str) -> list[dict[str, Any]]:
    """Return the battery's last cycles, as they are posted."""
    cycles = ask(here, f"/batteries/{BATTERY}/cycles").body["cycles"]
    used = [{**it["features"], "soh_target": it["soh"]} for it in cycles if it["is_usable"]]
    return used[-50:]


def stopped_while_serving(ground: Ground, scenario: Scenario) -> None:
    model = trained(ground, scenario)
    with serving("--no-access-log", MODEL_PATH=str(model)) as here:
        window = window_of(here)
        paths = (*PATHS, "/predict")
        right = {path: ask(here, path, window).body for path in paths}
        for _ in scenario.attempts():
            with clients(here, paths, window) as answers:
                time.sleep(ground.rng.uniform(0.3, 1))
                ground.crash()
                stopped = time.monotonic()
                time.sleep(ground.rng.uniform(0, 2))
                embedded.start()
                started = time.monotonic()
                while any(ask(here, it).status != 200 for it in PATHS):
                    if time.monotonic() > started + RECOVERS_S:
                        scenario.expect(False, "the service does not recover")
                        break
                recovered = time.monotonic()
                time.sleep(0.5)
            during = [it for it in answers if it.ended > stopped and it.began < recovered]
            scenario.hits += any(it.status == 503 for it in during)
            for it in answers:
                scenario.seen[f"{it.status} {'' if it.status == 200 else it.media_type}"] += 1
                said = f"{it.path} answered {it.status}: {str(it.body)[:300]}"
                if it.status == 200:
                    scenario.expect(it.body == right[it.path], f"other numbers: {said}")
                else:
                    is_problem = it.status == 503 and it.media_type == "application/problem+json"
                    scenario.expect(is_problem and it.path != "/predict", said)
            late = [it for it in answers if it.began > recovered and it.status != 200]
            scenario.expect(not late, f"{len(late)} answers failed after the recovery")


def replaced_while_asked(ground: Ground, scenario: Scenario) -> None:
    """Whole models, torn copies and rubbish take each other's place; each answer is one model's."""
    original = trained(ground, scenario)
    path = ground.folder / "served" / "model.pth"
    path.parent.mkdir()
    path.write_bytes(original.read_bytes())
    with serving("--no-access-log", MODEL_PATH=str(path)) as here:
        window = window_of(here)
        right = dict([_told(path, window)])
        paths = ("/predict", f"/batteries/{BATTERY}/prediction", "/batteries")
        with clients(here, paths, window) as answers:
            for number in scenario.attempts():
                made, whole = _another(original, path, number, ground.rng)
                if whole:
                    right |= dict([_told(made, window)])
                before = len(answers)
                if ground.rng.random() < 0.3:  # as cp does
                    with path.open("wb") as file:
                        content = made.read_bytes()
                        file.write(content[: len(content) // 2])
                        file.flush()
                        time.sleep(0.2)
                        file.write(content[len(content) // 2 :])
                else:
                    made.replace(path)
                time.sleep(ground.rng.uniform(0.1, 0.4))
                scenario.hits += len(answers) > before
        for it in answers:
            said = f"{it.path} answered {it.status}: {str(it.body)[:300]}"
            scenario.seen[str(it.status)] += 1
            scenario.expect(it.status == 200, said)
            if it.status == 200:
                version, soh = _version_and_soh(it)
                is_right = abs(right.get(version, 9.0) - soh) < 1e-5
                scenario.expect(is_right, f"no model says so: {said}")
        served = {it.body["model_version"] for it in answers if it.status == 200}
        scenario.seen[f"{len(served)} models of {len(right)}"] += 1


def _another(original: Path, path: Path, number: int, rng: random.Random) -> tuple[Path, bool]:
    """Make a file that is to take the model's place; tell whether it is a model."""
    made = path.with_suffix(f".{number}")
    state = torch.load(original, weights_only=True)
    state["network.output_mean"] = state["network.output_mean"] + number / 1000
    torch.save(state, made)
    if number % 2:
        return made, True
    content = made.read_bytes()
    torn = content[: rng.randrange(len(content))]
    rubbish = rng.randbytes(rng.randrange(10_000))
    made.write_bytes(rng.choice((torn, torn, rubbish, b"")))
    return made, False


def _told(path: Path, window: list[dict[str, Any]]) -> tuple[str, float]:
    """Return what a model is called, and what it says of the window."""
    model = forecast.load(path)
    (answer,) = forecast.answers(model, [window])
    assert isinstance(answer, forecast.Prediction)
    assert answer.soh is not None
    return model.version, answer.soh


def _version_and_soh(answer: Answer) -> tuple[str, float]:
    said = answer.body
    if "batteries" in said:
        (own,) = (it for it in said["batteries"] if it["battery_id"] == BATTERY)
        said = {"predicted_soh": float("nan"), **said, **(own["next_cycle"] or {})}
    return said["model_version"], said["predicted_soh"]
