"""The cores that this process may use, and how busy other programs keep them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CoreUse:
    """How much of this process's cores other programs have used since it was created; known on Linux only.

    >>> CoreUse(Path("/nonexistent")).by_others() is None
    True

    Args:
        statistics: the kernel's figures of each core.
    """

    def __init__(self, statistics: Path = Path("/proc/stat")) -> None:
        self._statistics = statistics
        self._began = self._look()

    def by_others(self) -> float | None:
        """Return the mean number of cores that other programs kept busy; None if unknown."""
        now = self._look()
        if now is None or self._began is None:
            return None
        seconds, idle, own = (late - early for late, early in zip(now, self._began, strict=True))
        return max(0.0, available_cores() - (idle + own) / seconds) if seconds > 0 else None

    def _look(self) -> tuple[float, float, float] | None:
        """Return the time, the idle time of the cores, and the time that this process and its children used them."""
        try:
            lines = self._statistics.read_text(encoding="ascii").splitlines()
            cores = [line.split() for line in lines if line.startswith("cpu")]
            ticks = {core[0]: int(core[4]) + int(core[5]) for core in cores}  # idle, and waiting for a disk
            idle = sum(ticks[f"cpu{core}"] for core in os.sched_getaffinity(0))
            return time.monotonic(), idle / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])
        except (OSError, AttributeError, ValueError, LookupError):
            return None
