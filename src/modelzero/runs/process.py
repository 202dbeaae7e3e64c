"""The process that writes a run, and whether it is still alive."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Two readings of the same start time may differ by this much: the clock behind it is corrected now and then.
_SECONDS_APART = 2.0


@dataclass(frozen=True)
class Process:
    """A process, distinguishable from a later one with the same number.

    >>> Process.this().is_alive()
    True

    Args:
        pid: process number.
        started: start time, in seconds since 1970.
        host: name of its machine.
    """

    pid: int
    started: float
    host: str

    @classmethod
    def this(cls) -> Process:
        """Return the current process."""
        return _described(os.getpid())

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any] | None) -> Process | None:
        """Read a process from a record; None if there is none."""
        return cls(stored["pid"], stored["started"], stored["host"]) if stored else None

    def is_alive(self) -> bool | None:
        """Return whether the process is alive; None if it runs on another host."""
        import psutil

        if self.host != socket.gethostname():
            return None
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < _SECONDS_APART
            return bool(same and found.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@functools.lru_cache(maxsize=1)
def _described(pid: int) -> Process:
    import psutil

    return Process(pid, psutil.Process(pid).create_time(), socket.gethostname())
