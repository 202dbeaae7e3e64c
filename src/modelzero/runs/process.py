"""Which process writes a run, and whether it is still there."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Mapping
from typing import Any

# Two readings of the same start may differ by this: the clock that it is computed from is corrected now and then.
_SECONDS_APART = 2.0


def this_process() -> dict[str, Any]:
    """Describe this process so that it cannot be taken for a later one with its number.

    >>> still_there(this_process())
    True
    """
    return _described(os.getpid())


@functools.lru_cache(maxsize=1)
def _described(pid: int) -> dict[str, Any]:
    import psutil

    return {"pid": pid, "started": psutil.Process(pid).create_time(), "host": socket.gethostname()}


def still_there(process: Mapping[str, Any] | None) -> bool | None:
    """Tell whether the process that `this_process` described is alive; None where nobody here can know."""
    import psutil

    if not process or process["host"] != socket.gethostname():
        return None
    try:
        found = psutil.Process(process["pid"])
        same = abs(found.create_time() - process["started"]) < _SECONDS_APART
        return bool(same and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
