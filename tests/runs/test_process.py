"""Whether the process that writes a run is still alive."""

import subprocess
import sys
from dataclasses import replace

import psutil

from modelzero.runs.process import Process


def test_this_one_is():
    """As long as it says so itself."""
    assert Process.this().is_alive() is True


def test_a_later_process_of_the_same_number_is_not_it():
    """Numbers come round again; the start tells them apart."""
    assert replace(Process.this(), started=psutil.Process().create_time() - 100).is_alive() is False


def test_one_that_ended_is_not():
    """Also while nobody has asked how it ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    described = replace(Process.this(), pid=process.pid, started=psutil.Process(process.pid).create_time())
    assert described.is_alive() is True
    process.kill()
    process.stdin.close()
    for _ in range(1000):
        if psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE:
            break
    assert described.is_alive() is False
    process.wait()
    assert described.is_alive() is False


def test_of_other_machines_nobody_knows():
    """Nor is there anybody in a record that names no process."""
    assert replace(Process.this(), host="elsewhere").is_alive() is None
    assert Process.from_dict(None) is None
