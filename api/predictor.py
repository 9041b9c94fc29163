"""The model in use: loaded again when its file is replaced, run once for requests that meet."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prometheus_client import Gauge

from model import columns, forecast
from model.columns import Columns
from model.forecast import (
    Answer,
    Coming,
    Course,
    Cycle,
    Model,
    ModelError,
    Prediction,
    TooFewCyclesError,
    Trajectory,
    WindowError,
)

log = logging.getLogger("battery_forecast.model")
REFUSED = Gauge(
    "model_refused",
    "1 while the model's file cannot be used and the one loaded before goes on serving",
    multiprocess_mode="max",
)

# One core per worker: on so small a network more threads cost more than they give.
torch.set_num_threads(1)

TELLING = ("discharge_capacity", "avg_current_load", "soh_target")  # one tells of the health
NextSoh = tuple[float, float, float]
KEPT_TRAJECTORIES = 4096
COURSE = ("truth_cycle", "truth_age", "truth_soh", "last_cycle_index", "last_age")


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
        self,
        battery: Mapping[str, Any],
        cycles: Sequence[Cycle],
        horizon: int,
        next_cycle: Prediction | None,
    ) -> Trajectory:
        """Forecast a battery, a row of battery_history, going on from its next cycle where due."""
        rated_ah = battery["rated_capacity_ah"]
        told = forecast.going_on(self.model, course(battery), cycles, next_cycle, rated_ah)
        known = (battery[name] for name in COURSE)
        plain = (tuple(it) if isinstance(it, list) else it for it in known)
        return self.kept(*plain, horizon, *told)

    def origin(self, battery: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what an answer says of where it comes from: this model and, it may be, a battery.

        Either may be simulated.
        """
        simulated = self.model.card["simulated"] or (battery and battery["is_simulated"])
        return {"model_version": self.model.version, "is_simulated": bool(simulated)}

    def learned_by(self, battery_id: str) -> list[str]:
        """Return the networks that learned from a battery of this name."""
        networks = (it.config for it in self.model.networks)
        return [it.preset for it in networks if battery_id in it.train]

    def answers(
        self,
        windows: Sequence[Sequence[Cycle]],
        rest_hours: Sequence[float | None] | None = None,
        rated_capacity_ah: Sequence[float | None] | None = None,
        coming: Sequence[Coming] | None = None,
    ) -> list[Answer]:
        """Answer the cycle after each window, in one forward pass, or say what to send instead."""
        return forecast.answers(self.model, windows, rest_hours, rated_capacity_ah, coming)

    def check(self, windows: Sequence[Columns], first: int | None = 1) -> None:
        """Raise TooFewCyclesError for a window that is shorter than any network's.

        And LackingFeaturesError where a cycle lacks a feature that the model needs, and the fleet
        network cannot do without it either. Windows are numbered from `first`, None for the only
        one.
        """
        for at, window in enumerate(windows):
            number = None if first is None else first + at
            if len(window) < self.model.shortest:
                where = f"window {number}: " if number else ""
                raise TooFewCyclesError(
                    f"{where}{len(window)} cycles, the model needs {self.model.shortest}"
                )
            if self.model.fleet and _tells(window):
                continue
            if faults := [(number, *it) for it in self._lacking(window)]:
                raise LackingFeaturesError(faults)

    def _lacking(self, window: Columns) -> list[tuple[int, str]]:
        """Cycles, from 1, that lack what the network for windows of one length needs."""
        config = self.model.spec.config
        faults = []
        for order, name in enumerate(config.inputs):
            # a rest may be null: nothing was recorded
            if not (name in config.rests and name in window.names):
                absent = np.flatnonzero(np.isnan(window.column(name))).tolist()
                faults += [(at + 1, order, name) for at in absent]
        return [(cycle, name) for cycle, _, name in sorted(faults)]


def _tells(window: Columns) -> bool:
    """Whether each cycle tells of the cell's health."""
    if np.isfinite(window.column("discharge_capacity")).all():
        return True
    told = np.nan_to_num(columns.measured(window, TELLING))
    return bool(told.any(axis=1).all())


@dataclass
class _Waiting:
    window: Columns
    rest_hours: float | None
    rated_capacity_ah: float | None
    coming: Coming
    answer: asyncio.Future[tuple[Loaded, Prediction]]


class Predictor:
    """Gives the model, and answers single windows: those that wait together share a pass."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: list[tuple[int, int, int] | None] | None = None
        self._loaded: Loaded | None = None
        self.refused: str | None = None  # why what lies at the path now is not what serves
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    def loaded(self) -> Loaded:
        """Return the model; raises ModelError when there is none.

        While a file is no model, as in the midst of being copied, or two do not belong together, as
        between the training of one and of the other, what was last loaded goes on serving.
        """
        stamp = [_stamp(path) for path in (self._path, *forecast.companions(self._path))]
        with self._lock:
            if self._loaded is None or stamp != self._stamp:
                try:
                    model = forecast.load(self._path)
                except ModelError as error:
                    if self._loaded is None:
                        raise
                    if str(error) != self.refused:
                        log.error("%s; the model loaded before goes on serving", error)
                    self.refused = str(error)
                    REFUSED.set(1)
                else:
                    self.refused = None
                    REFUSED.set(0)
                    trajectory = lru_cache(KEPT_TRAJECTORIES)(partial(_trajectory, model))
                    self._loaded = Loaded(model, trajectory)
                self._stamp = stamp
            return self._loaded

    async def predict(
        self,
        window: Columns,
        rest_hours: float | None = None,
        rated_capacity_ah: float | None = None,
        coming: Coming | None = None,
    ) -> tuple[Loaded, Prediction]:
        """Predict from one window. Raises ModelError, TooFewCyclesError, WindowError."""
        answer = asyncio.get_running_loop().create_future()
        waiting = _Waiting(window, rest_hours, rated_capacity_ah, coming or Coming(), answer)
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
                loaded.check([waiting.window], first=None)
                whole.append(k)
            except (TooFewCyclesError, LackingFeaturesError) as error:
                answers[k] = error
        if whole:
            told = loaded.answers(
                [batch[k].window for k in whole],
                [batch[k].rest_hours for k in whole],
                [batch[k].rated_capacity_ah for k in whole],
                [batch[k].coming for k in whole],
            )
            for k, it in zip(whole, told, strict=True):
                answers[k] = it if isinstance(it, WindowError) else (loaded, it)
        return [answers[k] for k in range(len(batch))]


def course(battery: Mapping[str, Any]) -> Course:
    """Return a battery's ground truths, from its row of battery_history."""
    cycle, age, soh, last_cycle, last_age = (battery[name] for name in COURSE)
    return Course(
        np.array(cycle or [], dtype=float), np.array(age or []), np.array(soh or []),
        last_cycle or 0, last_age or 0.0,
    )  # fmt: skip


def _trajectory(model: Model, *asked: Any) -> Trajectory:
    known, others = asked[: len(COURSE)], asked[len(COURSE) :]
    return forecast.forecast(model, course(dict(zip(COURSE, known, strict=True))), *others)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
