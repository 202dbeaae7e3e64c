"""SIGINT, SIGTERM and SIGHUP: noted while a training can keep what it has, else raised."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# SIGHUP is what a closed terminal sends; Windows has none.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# A second signal ends at once, but the same wish may arrive twice: from the terminal and from a parent.
_SECONDS_OF_PATIENCE = 1.0
# For a step under way and a checkpoint; then a process is killed.
SECONDS_TO_SAY_GOODBYE = 4.0
_SECONDS_BETWEEN_LOOKS = 0.5


class Interruption(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


_raised_at = -math.inf


def raise_interruption(number: int, _frame: FrameType | None = None) -> None:
    """Handle a signal by raising Interruption; not again within a second, when who was interrupted cleans up."""
    global _raised_at  # noqa: PLW0603 - a process has one set of handlers
    if time.monotonic() - _raised_at > _SECONDS_OF_PATIENCE:
        _raised_at = time.monotonic()
        raise Interruption(number)


def leave_with_parent() -> None:
    """End this process, as if by SIGTERM, when the one that started it is gone: nobody asks for its work any more."""
    threading.Thread(target=_wait_and_leave, args=(os.getppid(),), daemon=True).start()


def _wait_and_leave(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_SAY_GOODBYE)
    os._exit(128 + signal.SIGTERM)


def exit_code(interrupt: BaseException) -> int:
    """Return 128 and the number of the signal, as shells do: 130 for Ctrl-C.

    >>> exit_code(KeyboardInterrupt()), exit_code(Interruption(signal.SIGTERM))
    (130, 143)
    """
    return 128 + getattr(interrupt, "number", signal.SIGINT)


@contextmanager
def raised(*numbers: int) -> Iterator[None]:
    """Let these signals raise Interruption, where nobody else handles them and this is the main thread."""
    with _handled(numbers, raise_interruption):
        yield


@contextmanager
def noted() -> Iterator[Callable[[], int | None]]:
    """Let signals wait until somebody asks: gives a function that returns the number of the first one, or None.

    A second one, a second later or more, raises Interruption at once. Handlers of somebody else's are left alone, and
    in other threads than the main one nothing is noted.
    """
    first: list[tuple[int, float]] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if not first:
            first.append((number, time.monotonic()))
        elif time.monotonic() - first[0][1] > _SECONDS_OF_PATIENCE:
            raise_interruption(number)

    with _handled(SIGNALS, note):
        yield lambda: first[0][0] if first else None


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals wait until the block is over and raise then: what is in it would be left half done."""
    came: list[int] = []
    try:
        with _handled(SIGNALS, lambda number, _frame: came.append(number)):
            yield
    finally:
        if came:
            raise_interruption(came[0])


@contextmanager
def ignored() -> Iterator[None]:
    """Let all of them do nothing for a while, where this thread may decide that: what is known has to be written."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        yield
    finally:
        for number, own in before.items():
            if own is not None:  # one that is not Python's cannot be put back
                signal.signal(number, own)


@contextmanager
def _handled(numbers: tuple[int, ...], handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        ours = (signal.SIG_DFL, signal.default_int_handler, raise_interruption)
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: own for number, own in before.items() if own in ours}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)
