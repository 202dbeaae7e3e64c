"""Run jobs on files in killable processes: a file that hangs, crashes or exhausts memory affects only itself."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from modelzero.errors import DataError
from modelzero.signals import leave_with_parent

_START_SECONDS = 120.0
_MEMORY = 2 << 30  # bytes that a process may allocate after its start


class KillableProcess:
    """A process that does one job at a time and can be killed at any moment; it starts with its first job.

    It is a pool of one: in a larger pool of `concurrent.futures` or loky the death of one process fails all jobs. loky
    starts it without importing the caller's main module again, so a script needs no `if __name__ == "__main__"`.

    >>> process = KillableProcess(int)
    >>> process.submit(abs, -3).result(), process.end()
    (3, None)

    Args:
        begin: called first in the process, with the process id of this one; importable.
        environment: environment variables of the process.
    """

    def __init__(self, begin: Callable[[int], object], environment: Mapping[str, str] | None = None) -> None:
        self._begin, self._environment = begin, environment
        self._pool: Any = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Submit a job; the function must be importable or picklable by cloudpickle."""
        import loky  # imported here: it is slow, and not every training starts processes

        if self._pool is None:
            self._pool = loky.ProcessPoolExecutor(
                1, initializer=self._begin, initargs=(os.getpid(),), env=self._environment
            )
        future: Future[Any] = self._pool.submit(function, *arguments)
        return future

    def send(self, number: int) -> None:
        """Send a signal to the process."""
        for pid in list(self._pool._processes) if self._pool else []:  # noqa: SLF001 - not available elsewhere
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def end(self) -> None:
        """Kill the process at once."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=True)
            self._pool = None


class Processes:
    """Some processes, started on first use and kept until the block ends.

    Args:
        most: maximum number of processes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle: list[_Decoding] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().end()

    def each(
        self, function: Callable[[list[Any]], list[Any]], jobs: Sequence[Any], bundles: Sequence[range], seconds: float
    ) -> Iterator[tuple[int, Any]]:
        """Yield (position, result) of each job, in any order; the result is a string if the job ended its process.

        If the process of a bundle dies or times out, its jobs are repeated one by one, and the faulty one gets a reason
        instead of a result.

        Args:
            function: returns one result for each job of a bundle; importable, and fast to import.
            jobs: picklable.
            bundles: positions of jobs that are sent together; see `in_bundles`.
            seconds: time limit for a job, and for a bundle.

        Raises:
            DataError: a process could not be started.
        """
        waiting = deque(bundles)
        running: dict[Future[Any], tuple[range, _Decoding, float]] = {}
        done: list[tuple[int, Any]] = []
        while len(self._idle) < min(self._most, len(waiting)):
            self._idle.append(_Decoding())
        try:
            while waiting or running or done:
                while waiting and self._idle:
                    bundle, process = waiting.popleft(), self._idle[-1]
                    future = process.submit(function, [jobs[place] for place in bundle])
                    running[future] = bundle, self._idle.pop(), time.monotonic() + seconds
                yield from done  # while the processes do the next bundles
                done.clear()
                if not running:
                    continue
                wait(running, max(0.0, min(end for _, _, end in running.values()) - time.monotonic()), FIRST_COMPLETED)
                for future, (bundle, process, end) in list(running.items()):
                    if not future.done() and time.monotonic() < end:
                        continue
                    del running[future]
                    try:
                        results = future.result(0) if future.done() else None
                        why = f"it took more than {seconds:g} s to decode"
                    except Exception as error:
                        results = None
                        why = "it crashed the decoder" if "erminated" in type(error).__name__ else _words(error)
                    if results is not None:
                        self._idle.append(process)
                        done.extend(zip(bundle, results, strict=True))
                        continue
                    process.end()
                    self._idle.append(_Decoding())
                    if len(bundle) == 1:
                        done.append((bundle[0], why))
                    else:
                        waiting.extendleft(range(place, place + 1) for place in bundle)
        finally:  # after an exception, or if the caller stops: do not wait for running jobs
            for _, process, _ in running.values():
                process.end()


def in_bundles(costs: Sequence[float], most_jobs: int, most_cost: float) -> list[range]:
    """Divide jobs into bundles of neighbours, none too long, and none too costly except a single costly job.

    >>> in_bundles([1, 1, 1, 5, 9, 1], most_jobs=2, most_cost=6)
    [range(0, 2), range(2, 4), range(4, 5), range(5, 6)]
    """
    bundles, first, together = [], 0, 0.0
    for place, cost in enumerate(costs):
        if place > first and (place - first == most_jobs or together + cost > most_cost):
            bundles.append(range(first, place))
            first, together = place, 0.0
        together += cost
    return [*bundles, range(first, len(costs))] if len(costs) else []


class _Decoding:
    """A decoding process that starts in the background."""

    def __init__(self) -> None:
        self._process = KillableProcess(_begin)
        self._started = self._process.submit(int)

    def submit(self, function: Callable[..., Any], bundle: list[Any]) -> Future[Any]:
        try:
            self._started.result(_START_SECONDS)  # a slow start does not count against a job
        except Exception as error:
            raise DataError(
                f"no process to decode images could be started ({_words(error)}): free some memory, then try again"
            ) from error
        return self._process.submit(function, bundle)

    def end(self) -> None:
        self._process.end()


def _begin(parent: int) -> None:
    """Limit the memory, and discard what decoders print: standard output may carry a document."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - keep the imports few
            pages = int(file.read().split()[0])
        most = pages * resource.getpagesize() + _MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    leave_with_parent(parent)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
