"""Whether the process that writes a run is still there."""

import subprocess
import sys

import psutil

from modelzero.runs.process import still_there, this_process


def test_this_one_is():
    """As long as it says so itself."""
    assert still_there(this_process()) is True


def test_a_later_process_of_the_same_number_is_not_it():
    """Numbers come round again; the start tells them apart."""
    assert still_there({**this_process(), "started": psutil.Process().create_time() - 100}) is False


def test_one_that_ended_is_not():
    """Also while nobody has asked how it ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    described = {**this_process(), "pid": process.pid, "started": psutil.Process(process.pid).create_time()}
    assert still_there(described) is True
    process.kill()
    process.stdin.close()
    for _ in range(1000):
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            break
    assert still_there(described) is False
    process.wait()
    assert still_there(described) is False


def test_of_other_machines_nobody_knows():
    """Nor of runs whose record names no process."""
    assert still_there({**this_process(), "host": "elsewhere"}) is None
    assert still_there(None) is None
