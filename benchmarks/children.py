"""What the crash campaigns share: a small dataset, trainings in processes that may be killed, disks that fail."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import torch

import modelzero as mz
from modelzero.models.rungs import rung_named
from modelzero.training.bars import Silence

# One in the kernel, one by steps of torch with batch normalisation and momentum, one that is fitted in one go.
KINDS = ("mlp", "convnet", "forest")


def pictures(share=0.3):
    """431 images of digits."""
    return mz.load("digits", share=share)


def small(name, **settings):
    """Return a rung of the ladder with few steps."""
    rung = rung_named(name)
    if name == "forest":
        return rung
    # So few steps may teach nothing, and a repetition would be another run.
    few = {"epochs": 3, "batch_size": 32, "least_steps": 1, "second_chance": False}
    return replace(rung, flip=name == "convnet", **few | settings)


def outcome(path):
    """Return what must be identical: weights, predictions and history, except for the times."""
    run = mz.Run.read(path)
    if run.status != "finished":
        return run.status
    run.check()
    history = [{k: v for k, v in asdict(epoch).items() if not k.endswith("_seconds")} for epoch in run.history]
    files = [(path / name).read_bytes() for name in ("model.safetensors", "predictions.safetensors")]
    return repr(history), *files


class Stops(Silence):
    """Sends this process SIGTERM once, after so many images."""

    def __init__(self, after):
        self.after, self.images, self.sent = after, 0, False

    def step(self, images):
        self.images += images
        if self.images >= self.after and not self.sent:
            self.sent = True
            signal.raise_signal(signal.SIGTERM)


def debris(folder):
    """List stray files in a folder of runs: those that belong to no finished run."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.endswith(".tmp") or path.name.startswith((".new~", "checkpoint-"))
    )


def child(work, *arguments):
    """Start a function in its own process; return the process ID."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    try:
        torch.set_num_threads(1)
        work(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(number):
    """Wait for a child; return its exit code, or minus the number of the signal that killed it."""
    _, status = os.waitpid(number, 0)
    return os.waitstatus_to_exitcode(status)


class Disk(contextlib.AbstractContextManager):
    """Counts the operations on files below a folder, and makes one of them fail.

    Args:
        folder: the folder of the runs.
        at: which operation fails, counted from 1; 0 for none.
        how: `kill` kills the process before it, `kill in` in the middle of it if it is a write, otherwise after it; a
            name from `errno` raises that error; `short` writes only a part, as any write may; `short ENOSPC` writes a
            part, then raises.
        lasting: every later operation fails too.
    """

    NAMES = ("open", "write", "fsync", "replace", "rename", "mkdir")

    def __init__(self, folder, at=0, how="", *, lasting=False):
        self.folder, self.at, self.how, self.lasting = str(Path(folder).absolute()), at, how, lasting
        self.count = 0
        self.files = set()
        self.done = []

    def __enter__(self):
        self.real = {name: getattr(os, name) for name in self.NAMES}
        self.real_open = io.open
        for name in self.NAMES:
            setattr(os, name, self._wrapped(name))
        io.open = builtins.open = self._opened
        return self

    def __exit__(self, *_):
        for name, function in self.real.items():
            setattr(os, name, function)
        io.open = builtins.open = self.real_open

    def _concerns(self, what):
        if isinstance(what, int):
            return what in self.files
        return str(Path(os.fsdecode(what)).absolute()).startswith(self.folder)

    def _opened(self, file, *arguments, **settings):
        if not isinstance(file, int) and self._concerns(file):
            self._goes_wrong("open", file)
        return self.real_open(file, *arguments, **settings)

    def _wrapped(self, name):
        def operation(what, *arguments, **settings):
            if not self._concerns(what):
                return self.real[name](what, *arguments, **settings)
            part = self._goes_wrong(name, what, *arguments)
            if part is not None:
                return part
            result = self.real[name](what, *arguments, **settings)
            if name == "open":
                self.files.add(result)
            if self.count == self.at and self.how == "kill in":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return operation

    def _goes_wrong(self, name, what, *arguments):
        """Apply the fault; return the result if it replaces the operation."""
        self.count += 1
        self.done.append(name)
        if not (self.count == self.at or (self.lasting and self.at and self.count > self.at)):
            return None
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "write" and self.how in ("kill in", "short", "short ENOSPC"):
            written = self.real["write"](what, bytes(arguments[0])[: len(arguments[0]) // 2 or 1])
            if self.how == "kill in":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "short":
                return written
        kind = self.how.removeprefix("short ")
        if kind.startswith("E"):
            number = getattr(errno, kind)
            raise OSError(number, os.strerror(number))
        return None
