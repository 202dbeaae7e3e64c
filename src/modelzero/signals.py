"""Handle SIGINT, SIGTERM and SIGHUP: note them while a training can save its state, else raise."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

# A closed terminal sends SIGHUP; Windows has none.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# A second signal ends the process at once, but one Ctrl-C may arrive twice: from the terminal and from a parent.
_SECONDS_OF_PATIENCE = 1.0
# Time to end a step and write a checkpoint, before a process is killed.
SECONDS_TO_STOP = 4.0
_SECONDS_BETWEEN_LOOKS = 0.5


class Interruption(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: of the signal.
        folder: of the run or ladder that can be resumed; None where there is none.
    """

    def __init__(self, number: int, folder: Path | None = None) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number, self.folder = number, folder


_raised_at = -math.inf


def raise_interruption(number: int, _frame: FrameType | None = None) -> None:
    """Handle a signal by raising Interruption; not again within a second, during cleanup."""
    global _raised_at  # noqa: PLW0603 - a process has one set of handlers
    if time.monotonic() - _raised_at > _SECONDS_OF_PATIENCE:
        _raised_at = time.monotonic()
        raise Interruption(number)


def leave_with_parent(parent: int) -> None:
    """End this process, as if by SIGTERM, when its parent is gone.

    Args:
        parent: its process id, as the parent knows it: it may be gone before this process has started.
    """
    threading.Thread(target=_wait_and_leave, args=(parent,), daemon=True).start()


def _wait_and_leave(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_STOP)
    os._exit(128 + signal.SIGTERM)


def exit_code(interrupt: BaseException) -> int:
    """Return 128 and the number of the signal, as shells do: 130 for Ctrl-C.

    >>> exit_code(KeyboardInterrupt()), exit_code(Interruption(signal.SIGTERM))
    (130, 143)
    """
    return 128 + getattr(interrupt, "number", signal.SIGINT)


@contextmanager
def raised(*numbers: int) -> Iterator[None]:
    """Raise Interruption on these signals, in the main thread and unless other code handles them."""
    with _handled(numbers, raise_interruption):
        yield


@contextmanager
def noted() -> Iterator[Callable[[], int | None]]:
    """Defer signals: yield a function that returns the number of the first one, or None.

    A second signal, a second later or more, raises Interruption at once. Handlers of other code are kept. Only the main
    thread notes signals.
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
    """Defer signals to the end of the block, which must not be interrupted halfway."""
    came: list[int] = []
    try:
        with _handled(SIGNALS, lambda number, _frame: came.append(number)):
            yield
    finally:
        if came:
            raise_interruption(came[0])


@contextmanager
def ignored() -> Iterator[None]:
    """Ignore all of these signals in the block, in the main thread, so that results can be written."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        yield
    finally:
        for number, own in before.items():
            if own is not None:  # a handler that is not Python's cannot be restored
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
