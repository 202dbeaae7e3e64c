"""Signals: noted, raised, left alone."""

import math
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from modelzero.signals import SIGNALS, Interruption, exit_code, held_back, noted, raised


@pytest.fixture(autouse=True)
def _long_ago(monkeypatch):
    """Nothing was raised within the last second."""
    monkeypatch.setattr("modelzero.signals._raised_at", -math.inf)


def send(number):
    os.kill(os.getpid(), number)


def send_and_wait(number):
    send(number)
    time.sleep(1)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_noted_signal_waits_until_somebody_asks(number):
    """Nothing is raised; afterwards the old handlers are back."""
    before = [signal.getsignal(each) for each in SIGNALS]
    with noted() as stopping:
        assert stopping() is None
        send(number)
        assert stopping() == number
        send(number)  # at once, as when a terminal and a parent ask for the same
        assert stopping() == number
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_who_asks_again_later_does_not_wait(monkeypatch):
    """The second signal raises where it finds the program."""
    monkeypatch.setattr("modelzero.signals._SECONDS_OF_PATIENCE", 0.01)
    with noted() as stopping:
        send(signal.SIGTERM)
        time.sleep(0.05)
        with pytest.raises(Interruption) as caught:
            send_and_wait(signal.SIGTERM)
        assert stopping() == signal.SIGTERM
    assert exit_code(caught.value) == 143


def test_raised_signals_are_interruptions():
    """SIGHUP ends a command as Ctrl-C does, with an exit code of its own."""
    with raised(signal.SIGHUP), pytest.raises(KeyboardInterrupt) as caught:
        send_and_wait(signal.SIGHUP)
    assert exit_code(caught.value) == 129
    assert exit_code(KeyboardInterrupt()) == 130


def test_who_cleans_up_is_not_interrupted_again():
    """Three Ctrl-C at once are one; after a second the next one counts."""
    raised_at = []
    with raised(signal.SIGINT):
        for _ in range(3):
            try:
                send(signal.SIGINT)
                time.sleep(0.55)
            except Interruption:
                raised_at.append(time.monotonic())
        with pytest.raises(Interruption):
            send_and_wait(signal.SIGINT)
    assert len(raised_at) == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_what_must_not_be_left_half_done_is_done_first(number):
    """Then the signal is raised; without one nothing is."""
    done = []

    def work():
        with held_back():
            send(number)
            time.sleep(0.05)
            done.append("it came")
        done.append("too much")

    with held_back():
        done.append("nothing came")
    with raised(*SIGNALS), pytest.raises(Interruption) as caught:
        work()
    assert done == ["nothing came", "it came"]
    assert exit_code(caught.value) == 128 + number


def test_what_comes_while_something_fails_is_not_lost():
    """Whatever the block raises, the signal is raised after it."""

    def work():
        with held_back():
            send(signal.SIGTERM)
            time.sleep(0.05)
            raise ValueError("no")

    with raised(signal.SIGTERM), pytest.raises(Interruption):
        work()


def test_handlers_of_others_are_left_alone():
    """A program that has its own way with SIGTERM keeps it; what is ignored, as by nohup, stays ignored."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("mine"))
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noted() as stopping:
            send(signal.SIGTERM)
            send(signal.SIGHUP)
            assert stopping() is None
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, ignored)
    assert seen == ["mine"]


def test_threads_note_nothing():
    """Only the main thread gets signals, and may set handlers."""
    told = []

    def work():
        with noted() as stopping, raised(signal.SIGTERM):
            told.append(stopping())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [None]


WORKER = (
    "import sys, time; from modelzero.signals import leave_with_parent; "
    "leave_with_parent(int(sys.argv[1])); print('here', flush=True); time.sleep(60)"
)


def test_who_works_for_a_killed_process_ends():
    """The worker of a process that was killed with SIGKILL is gone within seconds; before that it works."""
    code = (
        "import os, subprocess, sys, time\n"
        f"command = [sys.executable, '-c', {WORKER!r}, str(os.getpid())]\n"
        "worker = subprocess.Popen(command, stdout=subprocess.PIPE)\n"
        "assert worker.stdout.readline() == b'here\\n'\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = psutil.Process(int(parent.stdout.readline()))
    time.sleep(1.0)
    assert worker.status() != psutil.STATUS_ZOMBIE
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([worker], timeout=10)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_who_is_started_by_a_process_that_is_gone_ends():
    """It was killed before its worker could look at it: the worker has another parent by then."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    worker = subprocess.Popen([sys.executable, "-c", WORKER, gone.stdout.strip()], stdout=subprocess.DEVNULL)
    assert worker.wait(timeout=10) == -signal.SIGTERM
