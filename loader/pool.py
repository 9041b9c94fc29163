"""Run one function over many tasks in processes of their own; one that dies costs its task only."""

import multiprocessing
import resource
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from os import sysconf
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

# Neither a fork of a process with threads nor a slow import per worker.
CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Died:
    """How a worker ended that did not answer."""

    how: str


def start(*preload: str) -> None:
    """Start the process that workers are forked from; it imports the modules `preload`, once."""
    CONTEXT.set_forkserver_preload(list(preload))
    forkserver.ensure_running()


def run(
    work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int
) -> Iterator[tuple[Task, Result | Died]]:
    """Yield each task with what `work` made of it, in the order in which they are done.

    A task is taken from `tasks` when a worker is free for it, so that at most `jobs` are held at
    once. Each worker gets its share of the machine's memory. Closing the iterator ends the workers.
    """
    waiting = iter(tasks)
    share = sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE") // jobs
    busy: dict[Connection, tuple[_Worker, Task]] = {}
    idle: list[_Worker] = []
    try:
        while True:
            while len(busy) < jobs:
                try:
                    task = next(waiting)
                except StopIteration:
                    break
                worker = idle.pop() if idle else _Worker(work, share)
                try:
                    worker.pipe.send(task)
                except (BrokenPipeError, ConnectionResetError):  # it died while it had no task
                    worker.end()
                    worker = _Worker(work, share)
                    worker.pipe.send(task)
                busy[worker.pipe] = (worker, task)
            if not busy:
                return
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, task = busy.pop(pipe)
                try:
                    result = pipe.recv()
                except (EOFError, ConnectionResetError):
                    yield task, Died(worker.epitaph())
                else:
                    idle.append(worker)
                    yield task, result
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.end()


def alone(
    work: Callable[[Task], Result], task: Task, patience_s: float, share: int
) -> Result | Died:
    """Return what `work` made of one task in a process of its own, which ends with it.

    It gets one `share`th of the machine's memory, and may take `patience_s`.
    """
    worker = _Worker(work, sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE") // share)
    try:
        worker.pipe.send(task)
        if not worker.pipe.poll(patience_s):
            return Died(f"reading it takes longer than {patience_s:.0f} s")
        result: Result = worker.pipe.recv()
        return result
    except (EOFError, ConnectionError):
        return Died(worker.epitaph())
    finally:
        worker.end()


class _Worker:
    def __init__(self, work: Callable[[Task], Result], memory_bytes: int) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(
            target=_serve, args=(work, theirs, memory_bytes), daemon=True
        )
        self._process.start()
        theirs.close()

    def epitaph(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:
            return "the process reading it was killed; was memory short?"
        end = signal.Signals(-code).name if code < 0 else f"status {code}"
        return f"the process reading it ended with {end}: damaged so that its parser crashed?"

    def end(self) -> None:
        self._process.terminate()
        self._process.join()


def _serve(work: Callable[[Task], Result], pipe: Connection, memory_bytes: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this one
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, hard))
    with suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            pipe.send(work(pipe.recv()))
