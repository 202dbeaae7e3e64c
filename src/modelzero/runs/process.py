"""Which process writes a run, and whether it is still alive."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Two readings of the same start may differ by this: the clock that it is computed from is corrected now and then.
_SECONDS_APART = 2.0


@dataclass(frozen=True)
class Process:
    """A process that cannot be taken for a later one with its number.

    >>> Process.this().is_alive()
    True

    Args:
        pid: its number.
        started: when, in seconds since 1970.
        host: the name of its machine.
    """

    pid: int
    started: float
    host: str

    @classmethod
    def this(cls) -> Process:
        """Describe this process."""
        return _described(os.getpid())

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any] | None) -> Process | None:
        """Read it from a record; None where it has none."""
        return cls(stored["pid"], stored["started"], stored["host"]) if stored else None

    def is_alive(self) -> bool | None:
        """Tell whether it is; None where nobody here can know."""
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
