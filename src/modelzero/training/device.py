"""Device, threads and memory of a training, and a clock that waits for the device."""

from __future__ import annotations

import contextlib
import copy
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from modelzero.data.batches import batches
from modelzero.data.dataset import ImageData, Split
from modelzero.errors import ModelError, SettingError
from modelzero.io.cores import available_cores
from modelzero.models.asking import layout_of
from modelzero.models.build import describe
from modelzero.models.recipe import Recipe
from modelzero.models.summary import multiply_adds
from modelzero.training.objective import limit_gradients, objective_of, optimizer_of, smaller, transformed
from modelzero.training.options import DEVICES

_TRIAL_WARM_UP, _TRIAL_STEPS, _TRIAL_SECONDS = 3, 20, 0.4
# Multiply-adds of one step from which more than one thread is worth its overhead (see `default_threads`).
THREADS_WORTH_IT = 200_000_000
# The same for the fused kernel, whose threads wait for each other twice per step, a few microseconds in total.
FUSED_THREADS_WORTH_IT = 3_000_000
# How many times as fast steps with bfloat16 must be in a trial; much, because the trial is short.
WORTH_BFLOAT16 = 1.3


class Stopwatch:
    """A monotonic clock that waits for the device at start and at each reading."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        synchronize(device)
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds since its creation."""
        synchronize(self.device)
        return time.perf_counter() - self._start


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the default generator that models on this device draw from.

    `torch.manual_seed` does this for every device that exists, and takes 92 microseconds for 1 here (torch 2.13.0).
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def choose_device(device: str, model: nn.Module, data: ImageData, recipe: Recipe) -> tuple[torch.device, str]:
    """Choose the device that trains a model; return it with the reason.

    `auto` takes the accelerator only if a short timed trial of this model is faster on it: a small model can be slower
    there, because starting a step costs more than computing it.

    Raises:
        SettingError: the device is unknown, or this machine does not have it.
    """
    if device not in DEVICES:
        raise SettingError(f"device {device!r}: expected one of {', '.join(DEVICES)}")
    present = accelerators()
    if device not in ("auto", "cpu", *present):
        raise SettingError(
            f"device {device!r} is not on this machine, or this torch cannot use it: "
            f"use {' or '.join(['cpu', *present])}, or auto"
        )
    if device != "auto":
        return torch.device(device), f"{device}: as requested"
    if not present:
        return torch.device("cpu"), "cpu: no accelerator on this machine"
    return fastest(["cpu", present[0]], lambda name: step_seconds(torch.device(name), model, data, recipe))


def accelerators() -> list[str]:
    """List the accelerators that torch can use here."""
    return [
        name
        for name, present in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if present
    ]


def fastest(devices: list[str], step_seconds: Callable[[str], float]) -> tuple[torch.device, str]:
    """Time a step on each device and return the fastest (the first one if equal) with the reason.

    >>> fastest(["cpu", "cuda"], {"cpu": 0.0002, "cuda": 0.0005}.__getitem__)
    (device(type='cpu'), 'cpu: 0.200 ms a step, cuda 0.500 ms, in a short trial')
    """
    timed = []
    for name in devices:
        try:
            timed.append((step_seconds(name), name))
        except Exception as error:
            if name == "cpu":
                raise ModelError(f"the model fails in a trial step: {describe(error)}") from error
            timed.append((math.inf, name))  # an unsupported operation, or not enough memory
    best_seconds, best = min(timed, key=lambda pair: pair[0])
    others = ", ".join(f"{name} {seconds * 1000:.3f} ms" for seconds, name in timed if name != best)
    return torch.device(best), f"{best}: {best_seconds * 1000:.3f} ms a step, {others}, in a short trial"


def default_threads(
    model: nn.Module, image_shape: tuple[int, int, int], batch_size: int, worth_it: int = THREADS_WORTH_IT
) -> tuple[int, str]:
    """Choose the number of threads that train a model on the CPU; return it with the reason.

    By a rule, not by timing: the number of threads decides the last bits of the results, so it must not depend on
    how busy the machine is. Threads wait for each other at every layer, and beside other programs each wait can take a
    time slice, so the work between two waits must be long enough to make up for it. With batches of 32, TinyVGG takes
    36 million multiply-adds per step: a second thread gained nothing on an idle machine, and beside one other program
    an epoch took 1.2 times as long with it (`benchmarks/threads.py`, 2 cores of an AMD EPYC without AVX-512).
    """
    work = multiply_adds(model, image_shape) * batch_size
    cores = available_cores()
    if work < worth_it:
        return 1, f"1: a step of {work / 1e6:.2g} million multiply-adds gains little from more threads"
    if cores == 1:
        return 1, "1: there is one core"
    return cores, f"{cores}: all cores, for a step of {work / 1e6:.3g} million multiply-adds"


def in_precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return the context in which a training step computes its logits: with bfloat16 if the recipe says so.

    >>> with in_precision(Recipe(precision="bf16"), torch.device("cpu")):
    ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
    torch.bfloat16
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")


def choose_precision(
    precision: str, model: nn.Module, data: ImageData, recipe: Recipe, device: torch.device
) -> tuple[str, str]:
    """Choose fp32 or bf16 for the training steps of a model; return it with the reason.

    `auto` takes bf16 only on a processor that computes with it, and only if a short trial of this model is at least
    1.3 times as fast: on some processors it is slower.
    """
    if precision != "auto":
        return precision, f"{precision}: as requested"
    if device.type != "cpu" or not has_bfloat16():
        return "fp32", f"fp32: no bfloat16 units known on this {'processor' if device.type == 'cpu' else 'device'}"
    try:
        full, short = (step_seconds(device, model, data, replace(recipe, precision=each)) for each in ("fp32", "bf16"))
    except Exception as error:  # some models cannot be copied, or lack an operation in bfloat16
        return "fp32", f"fp32: the trial of bf16 failed: {describe(error)}"
    chosen = "bf16" if full >= WORTH_BFLOAT16 * short else "fp32"
    return chosen, f"{chosen}: {1000 * full:.1f} ms a step in fp32, {1000 * short:.1f} ms in bf16, in a short trial"


def has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; known on Linux with x86 only."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("flags")[2]
    except OSError:
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.partition("\n")[0].split()))


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Let torch compute with this many threads, and restore the number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class PeakMemory:
    """The peak memory of this process since the object was created.

    On Linux the kernel's high-water mark is reset first. Elsewhere, and in a thread beside other trainings, it covers
    the whole lifetime of the process.
    """

    def __init__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def bytes(self) -> int | None:
        """Return the bytes, including shared pages; None if the system does not report them."""
        try:
            status = Path("/proc/self/status").read_text(encoding="ascii")
            return 1024 * int(status.partition("VmHWM:")[2].split()[0])
        except (OSError, IndexError):
            pass
        try:
            import resource
        except ImportError:  # Windows
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def step_seconds(device: torch.device, model: nn.Module, data: ImageData, recipe: Recipe) -> float:
    """Time the training steps of a copy of the model: the median, after a warm-up. The copy's weights stay as they are.

    At least one step is timed, and no more begin after 0.4 s. If some of the steps train on reduced images, it is the
    mean of both kinds of step, each timed like that.
    """
    seconds = (1 - recipe.reduced) * _step_seconds(device, model, data, recipe, reduced=False)
    if recipe.reduced:
        seconds += recipe.reduced * _step_seconds(device, model, data, recipe, reduced=True)
    return seconds


def _step_seconds(device: torch.device, model: nn.Module, data: ImageData, recipe: Recipe, *, reduced: bool) -> float:
    trial = copy.deepcopy(model).to(device).train()
    optimizer = optimizer_of(recipe, trial, device)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    lay_out = layout_of(trial)
    few = slice(0, recipe.batch_size)
    split = Split(data.train.images[few].to(device), data.train.labels[few].to(device))
    objective = objective_of(recipe, data.train.labels.to(device), len(data.classes))
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < _TRIAL_WARM_UP + _TRIAL_STEPS:
        if len(seconds) > _TRIAL_WARM_UP and time.perf_counter() - began > _TRIAL_SECONDS:
            break
        watch = Stopwatch(device)
        for images, labels in batches(split, recipe.batch_size):
            seen = transformed(recipe, images)
            seen = smaller(seen) if reduced else seen
            with in_precision(recipe, device):
                logits = trial(lay_out(seen))
            loss = objective(logits.float(), labels)
            trial.zero_grad()
            loss.backward()
            limit_gradients(recipe, trial)
            optimizer.step()
        seconds.append(watch.seconds())
    return statistics.median(seconds[_TRIAL_WARM_UP:])
