"""The model in use: loaded again when its file is replaced, run once for requests that meet."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model import forecast
from model.forecast import Course, Model, ModelError, Prediction, TooFewCyclesError, Trajectory

# One core per worker: on so small a network more threads cost more than they give.
torch.set_num_threads(1)

Window = Sequence[Mapping[str, Any]]
KEPT_TRAJECTORIES = 4096
COURSE = ("truth_cycle", "truth_age", "truth_soh", "last_cycle_index", "last_age")
CAPACITY = ("discharge_capacity", "time_to_discharge")  # either tells how much a cycle delivered


class LackingFeaturesError(ModelError):
    """Cycles of a window lack features that the model needs."""

    def __init__(self, faults: list[tuple[int | None, int, str]]) -> None:
        super().__init__("features are missing")
        self.faults = faults  # window, of several; cycle; name: numbers from 1


@dataclass(frozen=True)
class Loaded:
    """A model, with the trajectories it was last asked for."""

    model: Model
    kept: Callable[..., Trajectory]

    def trajectory(
        self, battery: Mapping[str, Any], horizon: int, next_cycle: Prediction | None
    ) -> Trajectory:
        """Forecast a battery, a row of battery_history, going on from its next cycle where known.

        Raises TooFewCyclesError.
        """
        told = next_cycle and (next_cycle.soh, next_cycle.features)
        return self.kept(*(_plain(battery[name]) for name in COURSE), horizon, told)

    def origin(self, battery: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what an answer says of where it comes from: this model and, it may be, a battery.

        Either may be simulated.
        """
        simulated = self.model.card["simulated"] or (battery and battery["is_simulated"])
        return {"model_version": self.model.version, "is_simulated": bool(simulated)}

    def predict(
        self, windows: Sequence[Window], rest_hours: Sequence[float | None] | None = None
    ) -> list[Prediction]:
        """Predict from the last cycles of each window, in one forward pass.

        Raises TooFewCyclesError and LackingFeaturesError.
        """
        for number, window in enumerate(windows, start=1):
            self.check(window, number)
        return self.run(windows, rest_hours)

    def run(
        self, windows: Sequence[Window], rest_hours: Sequence[float | None] | None = None
    ) -> list[Prediction]:
        """Predict from windows that have been checked."""
        last = [list(window[-self.model.window :]) for window in windows]
        return forecast.predict(self.model, last, list(rest_hours) if rest_hours else None)

    def check(self, window: Window, number: int | None = None) -> None:
        """Raise TooFewCyclesError for what is shorter than the model's window.

        And LackingFeaturesError where a cycle lacks a feature that the model needs.
        """
        if len(window) < self.model.window:
            raise TooFewCyclesError(
                f"{len(window)} cycles, the model needs the last {self.model.window}"
            )
        config = self.model.spec.config
        faults = [
            (number, at, name)
            for at, cycle in enumerate(window, start=1)
            for name in config.inputs
            # a rest may be null: nothing was recorded
            if cycle.get(name) is None and not (name in config.rests and name in cycle)
        ]
        if "time_to_discharge" not in config.measured:  # from which capacity would follow
            faults += [
                (number, at, " or ".join(CAPACITY))
                for at, cycle in enumerate(window, start=1)
                if all(cycle.get(name) is None for name in CAPACITY)
            ]
        if faults:
            raise LackingFeaturesError(faults)


@dataclass
class _Waiting:
    window: Window
    rest_hours: float | None
    answer: asyncio.Future[tuple[Loaded, Prediction]]


class Predictor:
    """Gives the model, and answers single windows: those that wait together share a pass."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: list[tuple[int, int, int] | None] | None = None
        self._loaded: Loaded | None = None
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    def loaded(self) -> Loaded:
        """Return the model; raises ModelError when there is none."""
        stamp = [_stamp(path) for path in (self._path, forecast.extended_path(self._path))]
        with self._lock:
            if self._loaded is None or stamp != self._stamp:
                model = forecast.load(self._path)
                trajectory = lru_cache(KEPT_TRAJECTORIES)(partial(_trajectory, model))
                self._loaded, self._stamp = Loaded(model, trajectory), stamp
            return self._loaded

    async def predict(
        self, window: Window, rest_hours: float | None = None
    ) -> tuple[Loaded, Prediction]:
        """Predict from one window. Raises ModelError, TooFewCyclesError."""
        waiting = _Waiting(window, rest_hours, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await waiting.answer

    async def _run(self) -> None:
        # Whoever else is ready in this turn of the loop comes along. In the loop's own thread: a
        # pass takes less time than handing it to another and back.
        await asyncio.sleep(0)
        batch, self._waiting, self._running = self._waiting, [], None
        try:
            answers = self._pass(batch)
        except Exception as error:
            answers = [error] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():  # its client has gone
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    def _pass(self, batch: list[_Waiting]) -> list[tuple[Loaded, Prediction] | Exception]:
        loaded = self.loaded()
        answers: dict[int, tuple[Loaded, Prediction] | Exception] = {}
        whole = []
        for k, waiting in enumerate(batch):
            try:
                loaded.check(waiting.window)
                whole.append(k)
            except (TooFewCyclesError, LackingFeaturesError) as error:
                answers[k] = error
        if whole:
            predictions = loaded.run(
                [batch[k].window for k in whole], [batch[k].rest_hours for k in whole]
            )
            answers.update(
                (k, (loaded, prediction)) for k, prediction in zip(whole, predictions, strict=True)
            )
        return [answers[k] for k in range(len(batch))]


def course(battery: Mapping[str, Any]) -> Course:
    """Return a battery's ground truths, from its row of battery_history."""
    return _course(*(battery[name] for name in COURSE))


def _course(
    cycle: Sequence[int],
    age: Sequence[float],
    soh: Sequence[float],
    last_cycle: int,
    last_age: float,
) -> Course:
    return Course(np.array(cycle, dtype=float), np.array(age), np.array(soh), last_cycle, last_age)


def _trajectory(model: Model, *known: Any) -> Trajectory:
    *truths, horizon, told = known
    its = _course(*truths)
    return forecast.forecast(
        model, its, horizon, forecast.next_by_network(model, its, *told) if told else None
    )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # what a cache can look up


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
