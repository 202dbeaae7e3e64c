"""Distribute jobs to workers: one job at a time in each process; a process that dies affects only its own job."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from types import FrameType
from typing import Any, Generic, TypeVar

from modelzero.io.processes import KillableProcess
from modelzero.signals import SECONDS_TO_STOP, held_back, leave_with_parent, raise_interruption

Job = TypeVar("Job")

_ATTEMPTS = 2
# One thread for each numerical library of a worker, because the cores serve different cells.
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")}


class WorkerDiedError(Exception):
    """The process of a job ended twice without an answer."""


class Workers(Generic[Job]):
    """Workers, or the user's executor, that process jobs.

    A worker does a job in its own process, or, if the job is `here`, in a thread of this process, which needs no start.

    Args:
        count: number of workers.
        executor: replaces the workers; it receives jobs as long as there are any, and applies its own limits.
        here: returns whether a job can be done in a thread. The function of such a job gets a second argument, a
            function that returns whether to stop, and raises KeyboardInterrupt if so.
    """

    def __init__(
        self, count: int, executor: Executor | None = None, here: Callable[[Job], bool] = lambda _: False
    ) -> None:
        self._brought = executor
        self.are_own = executor is None
        self._here = here
        self._stopped = threading.Event()
        self._free = [_Worker() for _ in range(count if executor is None else 0)]
        self._running: dict[Future[Any], tuple[Job, int, _Worker | None]] = {}

    def start(self, count: int, ready: Callable[[None], object]) -> list[Future[Any]]:
        """Start up to so many processes; return a future of each that ends once it can work.

        Args:
            count: number of processes.
            ready: called once in each, with None; importing it loads what jobs need.
        """
        return [worker.submit(ready, None) for worker in self._free[max(0, len(self._free) - count) :]]

    def run(
        self, function: Callable[..., Any], take: Callable[[], Job | None], deadline: float | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """Yield (job, answer) as jobs finish; the answer is an exception if the job raised one.

        A job whose process died is tried once more, then answered with WorkerDiedError.

        Args:
            function: does a job; importable in the processes.
            take: returns the next job for a free worker; None if there is none at present. It is asked again whenever
                a job has ended.
            deadline: time of `time.monotonic` at which to return, even if jobs are still running.
        """
        again: deque[tuple[Job, int]] = deque()
        while True:
            while self._brought or self._free:
                job, attempt = again.popleft() if again else (take(), 1)
                if job is None:
                    break
                worker = None if self._brought else self._free[-1]  # it stays where `stop` finds it until its job runs
                try:
                    future = self._submit(worker, function, job)
                except BrokenExecutor as error:
                    if worker is None:  # the user's executor cannot be replaced here
                        yield job, WorkerDiedError(f"the executor accepts no more jobs: {error}")
                    else:  # its process died while idle, which is not the job's fault
                        worker.end()
                        again.appendleft((job, attempt))
                    continue
                self._running[future] = job, attempt, worker
                if worker is not None:
                    self._free.pop()
            if not self._running:
                return
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            done, _ = wait(self._running, remaining, FIRST_COMPLETED)
            if not done:
                return
            for future in [each for each in self._running if each in done]:  # in the order of the jobs
                job, attempt, worker = self._running.pop(future)
                answer = _answer(future)
                died = isinstance(answer, BrokenExecutor)
                if worker is not None and died:
                    worker.end()
                if worker is not None:
                    self._free.append(worker)
                if not died:
                    yield job, answer
                elif attempt < _ATTEMPTS:
                    again.appendleft((job, attempt + 1))
                else:
                    yield job, WorkerDiedError(f"its process died {attempt} times without an error message")
            if deadline is not None and time.monotonic() >= deadline:
                return

    def stop(self) -> None:
        """End the workers, including busy ones; jobs of the user's executor are only cancelled."""
        self._stopped.set()
        for future in self._running:
            future.cancel()
        busy = [worker for _, _, worker in self._running.values() if worker is not None]
        for worker in busy:
            worker.send(signal.SIGTERM)
        wait(self._running if busy else [], SECONDS_TO_STOP)
        for worker in [*busy, *self._free]:
            worker.end()
        self._running.clear()
        self._free.clear()

    def _submit(self, worker: _Worker | None, function: Callable[..., Any], job: Job) -> Future[Any]:
        if worker is None:
            assert self._brought is not None
            return self._brought.submit(function, job)
        if self._here(job):
            return worker.submit_here(function, job, self._stopped.is_set)
        return worker.submit(function, job)


class _Worker:
    """A process and a thread, each started on demand, also after `end`; only one of them works at a time."""

    def __init__(self) -> None:
        self._process = KillableProcess(_begin, _ONE_THREAD)
        self._thread: ThreadPoolExecutor | None = None

    def submit_here(
        self, function: Callable[[Job, Callable[[], bool]], Any], job: Job, stopped: Callable[[], bool]
    ) -> Future[Any]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1)
        return self._thread.submit(function, job, stopped)

    def submit(self, function: Callable[[Any], Any], job: object) -> Future[Any]:
        with held_back(), _interrupt_blocked():  # a partly started process could never be ended
            return self._process.submit(_do, function, job)

    def send(self, number: int) -> None:
        self._process.send(number)

    def end(self) -> None:
        """End the process at once, as its runs are already written; a thread ends at its next check."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        self._process.end()


def _answer(future: Future[Any]) -> Any:
    try:
        return future.exception() or future.result()
    except CancelledError as error:
        return error


@contextlib.contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Block Ctrl-C and SIGHUP, which a terminal sends to all processes, in processes that are started here.

    The parent decides when they end, and the helper process of loky, which SIGHUP would end, must outlive them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """Prepare a new process: handle signals, send output to standard error, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    leave_with_parent(parent)


def _do(function: Callable[[Job], Any], job: Job) -> Any:
    """Do one job; only during a job SIGTERM raises an interruption, so that the job can record it."""
    signal.signal(signal.SIGTERM, raise_interruption)
    try:
        return function(job)
    finally:
        signal.signal(signal.SIGTERM, _leave)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(128 + signal.SIGTERM)
