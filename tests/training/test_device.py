"""Where a training runs, with how many threads, by which clock."""

import os
import time
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from modelzero.errors import SettingError
from modelzero.models.convnet import convnet
from modelzero.models.linear import model0
from modelzero.models.rungs import Recipe
from modelzero.models.tinyvgg import tinyvgg
from modelzero.training import device
from modelzero.training.device import (
    PeakMemory,
    Stopwatch,
    choose_device,
    default_threads,
    fastest,
    seed_device,
    use_threads,
)

CPU = torch.device("cpu")
FASHION = (1, 28, 28)


@pytest.fixture
def only_cpu(monkeypatch):
    """A machine without accelerator."""
    monkeypatch.setattr(device, "accelerators", list)


@pytest.fixture
def with_cuda(monkeypatch):
    """A machine with a GPU: give `with_cuda(seconds by device)`, what the trial measures there."""

    def steps(seconds):
        monkeypatch.setattr(device, "accelerators", lambda: ["cuda"])
        monkeypatch.setattr(device, "step_seconds", lambda place, *_: seconds[place.type])

    return steps


def choose(name, data):
    return choose_device(name, model0(data.image_shape, 10), data, Recipe())


def test_fastest_takes_the_shorter_time():
    """And says both times."""
    assert fastest(["cpu", "cuda"], {"cpu": 0.004, "cuda": 0.0015}.__getitem__) == (
        torch.device("cuda"),
        "cuda: 1.500 ms a step, cpu 4.000 ms, in a short trial",
    )


def test_fastest_takes_the_first_at_equal_times():
    """The CPU stands first: an accelerator has to be better, not as good."""
    assert fastest(["cpu", "mps"], lambda _: 0.001)[0] == CPU


def test_fastest_times_each_device_once():
    """In the order given."""
    timed = []
    fastest(["cpu", "cuda", "mps"], lambda name: timed.append(name) or len(timed))
    assert timed == ["cpu", "cuda", "mps"]


@pytest.mark.usefixtures("only_cpu")
def test_auto_without_accelerator(digits):
    """There is nothing to choose, and the reason says so."""
    assert choose("auto", digits) == (CPU, "cpu: no accelerator on this machine")


def test_cpu_as_asked(digits, with_cuda):
    """Who asks for the CPU gets it, without a trial."""
    with_cuda({})
    assert choose("cpu", digits) == (CPU, "cpu: as requested")


def test_auto_takes_the_accelerator_where_it_is_faster(digits, with_cuda):
    """A trial decides."""
    with_cuda({"cpu": 0.02, "cuda": 0.001})
    assert choose("auto", digits)[0] == torch.device("cuda")


def test_auto_keeps_the_cpu_where_it_is_faster(digits, with_cuda):
    """A small model is not helped by a large accelerator."""
    with_cuda({"cpu": 0.0002, "cuda": 0.0005})
    assert choose("auto", digits) == (CPU, "cpu: 0.200 ms a step, cuda 0.500 ms, in a short trial")


@pytest.mark.parametrize("name", ["gpu", "CPU", "", "cuda:1x", None])
def test_unknown_device(digits, name):
    """The error names the words that are known."""
    with pytest.raises(SettingError) as caught:
        choose(name, digits)
    assert str(caught.value) == f"device {name!r}: expected one of auto, cpu, cuda, mps"


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_device_that_this_machine_lacks(digits, name):
    """The error names what this machine has."""
    with pytest.raises(SettingError, match=f"device '{name}' is not on this machine, .*: use cpu, or auto"):
        choose(name, digits)


def test_other_accelerator_than_the_one_here(digits, with_cuda):
    """Where there is a GPU of another kind, the error names it."""
    with_cuda({})
    with pytest.raises(SettingError, match="use cpu or cuda, or auto"):
        choose("mps", digits)


def test_trial_leaves_the_model_as_it_was(digits):
    """Weights and BatchNorm's figures are those from before: the trial trains a copy."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert device.step_seconds(CPU, model, digits, Recipe()) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_model0_takes_one_thread(monkeypatch, cores):
    """Its steps are too short to be shared, on any machine."""
    monkeypatch.setattr(device, "available_cores", lambda: cores)
    threads, why = default_threads(model0(FASHION, 10), FASHION, 32)
    assert (threads, why.partition(":")[0]) == (1, "1")
    assert "0.25 million multiply-adds" in why


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_convnet_takes_all_cores_and_tinyvgg_one(monkeypatch, cores):
    """Waits of threads for each other are a small part of 700 million multiply-adds a step, but not of 36 million."""
    monkeypatch.setattr(device, "available_cores", lambda: cores)
    threads, why = default_threads(convnet(FASHION, 10), FASHION, 128)
    assert (threads, why.partition(":")[0]) == (cores, str(cores))
    assert default_threads(tinyvgg(FASHION, 10), FASHION, 32)[0] == 1


def test_threads_depend_on_the_batch_size(monkeypatch):
    """The rule looks at the work of one step: 7,940 multiply-adds an image reach 200 million at 25,189 images."""
    monkeypatch.setattr(device, "available_cores", lambda: 4)
    model = model0(FASHION, 10)
    assert [default_threads(model, FASHION, batch_size)[0] for batch_size in (25188, 25189)] == [1, 4]


def test_threads_do_not_depend_on_the_load():
    """The number decides the last bits of a result, so it comes from a rule and not from a clock."""
    assert len({default_threads(tinyvgg(FASHION, 10), FASHION, 32) for _ in range(3)}) == 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_available_cores_are_those_of_this_process(monkeypatch):
    """A process that may use three cores counts three, however many the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7})
    assert device.available_cores() == 3


def test_available_cores_elsewhere(monkeypatch):
    """Where the system cannot say, the machine's cores count."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert device.available_cores() == 6


def test_use_threads_restores():
    """Inside, torch computes with that many threads; afterwards with as many as before."""
    before = torch.get_num_threads()
    with use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_use_threads_restores_after_an_error():
    """Also when what happens inside fails."""
    before = torch.get_num_threads()
    with pytest.raises(LookupError), use_threads(before + 1):
        raise LookupError
    assert torch.get_num_threads() == before


def test_stopwatch_measures_seconds():
    """From the moment in which it was made, as often as it is asked."""
    watch = Stopwatch(CPU)
    time.sleep(0.02)
    first = watch.seconds()
    assert 0.02 <= first <= watch.seconds() < 5


@pytest.mark.parametrize("seed", [0, 42, 2**63, 2**64 - 1])
def test_seed_device_is_manual_seed(seed):
    """What a model draws on the CPU is what it draws after torch.manual_seed."""
    seed_device(seed, CPU)
    drawn = torch.rand(5)
    torch.manual_seed(seed)
    assert torch.equal(drawn, torch.rand(5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_seed_device_is_manual_seed_on_the_gpu():
    """What a model draws on the GPU is what it draws after torch.manual_seed."""
    place = torch.device("cuda")
    seed_device(7, place)
    drawn = torch.rand(5, device=place)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(5, device=place))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark can be reset on Linux only")
def test_peak_memory_is_that_since_it_was_made():
    """What was held and given back before does not count; what is held and given back afterwards does."""
    size = 300 * 2**20
    before = torch.ones(size, dtype=torch.uint8)
    del before
    peak = PeakMemory()
    low = peak.bytes()
    between = torch.ones(size, dtype=torch.uint8)
    del between
    assert 0.9 * size < peak.bytes() - low < 1.5 * size


class AnySize(nn.Module):
    """A linear model that notes the heights of the images that it and its copies are trained on."""

    heights: ClassVar[list[int]] = []

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(1, 10)

    def forward(self, images):
        """Return the logits."""
        self.heights.append(images.shape[2])
        return self.last(images.mean((1, 2, 3))[:, None])


@pytest.mark.parametrize(("reduced", "heights"), [(0.0, {8}), (0.4, {8, 6})])
def test_a_trial_times_both_kinds_of_step(digits, reduced, heights):
    """A prediction from steps on full images alone would be too high for a training that begins on reduced ones."""
    AnySize.heights.clear()
    assert device.step_seconds(CPU, AnySize(), digits, Recipe(reduced=reduced)) > 0
    assert set(AnySize.heights) == heights
