"""Processes that work off jobs on files which may hang, crash or eat memory: that costs the file, not the load."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import loky

_START_SECONDS = 120.0
_MEMORY = 2 << 30  # bytes that a process may take beyond what it has when it starts


def each_in_processes(
    function: Callable[[list[Any]], list[Any]], jobs: Sequence[Any], *, processes: int, at_once: int, seconds: float
) -> Iterator[tuple[int, Any]]:
    """Yield (position, result) of each job, in any order; the result is a string where the job cost its process.

    Jobs go to the processes in bundles. Where a bundle's process dies, or is ended because nothing came back in time,
    its jobs are done again one by one, and the one to blame gets a reason in place of a result.

    Args:
        function: does a bundle, one result for each job; importable, and light to import.
        jobs: picklable.
        processes: at most so many.
        at_once: jobs in a bundle.
        seconds: that a job may take, and that a bundle may take too.
    """
    bundles = deque(range(first, min(first + at_once, len(jobs))) for first in range(0, len(jobs), at_once))
    idle = [_Process() for _ in range(min(processes, len(bundles)))]
    running: dict[Future[Any], tuple[range, _Process, float]] = {}
    try:
        while bundles or running:
            while bundles and idle:
                bundle, process = bundles.popleft(), idle.pop()
                future = process.submit(function, [jobs[place] for place in bundle])
                running[future] = bundle, process, time.monotonic() + seconds
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
                    why = "its decoder ended the process" if "erminated" in type(error).__name__ else _words(error)
                if results is not None:
                    idle.append(process)
                    yield from zip(bundle, results, strict=True)
                    continue
                process.end()
                idle.append(_Process())
                if len(bundle) == 1:
                    yield bundle[0], why
                else:
                    bundles.extendleft(range(place, place + 1) for place in bundle)
    finally:
        for process in [*idle, *(process for _, process, _ in running.values())]:
            process.end()


class _Process:
    """A process that is being started."""

    def __init__(self) -> None:
        self._pool = loky.ProcessPoolExecutor(1, initializer=_begin)
        self._started: Future[Any] = self._pool.submit(int)

    def submit(self, function: Callable[..., Any], bundle: list[Any]) -> Future[Any]:
        self._started.result(_START_SECONDS)  # no job is to blame for a slow start
        future: Future[Any] = self._pool.submit(function, bundle)
        return future

    def end(self) -> None:
        self._pool.shutdown(wait=True, kill_workers=True)


def _begin() -> None:
    """Limit the memory; what a decoder prints goes to nobody, for the standard output may carry a document."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - nothing more to import here
            pages = int(file.read().split()[0])
        most = pages * resource.getpagesize() + _MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]
