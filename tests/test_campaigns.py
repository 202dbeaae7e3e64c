"""A small, seeded share of each campaign in `benchmarks/` on runs that survive: the scripts, with real kills."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelzero.training.device import accelerators

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SHARES = {
    "kills": "--kills 8 --seed 3",
    "every_step": "--every 41",
    "faults": "--every 263",
    "flips": "--changes 840",
    "full_disk": "--step 896",
    "writers": "--processes 2 8 --runs 12",
    "replays": "--rungs model0,forest",
    "gpu": "--device cpu --data digits --rungs model0,model1 --seeds 2 --threads 1 --json gpu.json",
}


def printed(name):
    """Run a script to its end; return what it printed."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", *SHARES[name].split()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode == 2 and "no tmpfs can be mounted here" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_killed_trainings_end_as_if_nothing_had_been():
    """Three kinds of rung, at random moments and in the middle of writing."""
    output = printed("kills")
    right, trainings = re.search(r"(\d+) of (\d+) trainings ended with identical weights", output).groups()
    assert right == trainings
    assert int(re.search(r"(\d+) killed", output)[1]) >= 8
    assert "aimed at a file" in output


def test_any_step_can_be_the_last_before_a_break():
    """In the kernel and in torch."""
    output = printed("every_step")
    assert re.findall(r"(\w+): 5 of 5 identical, engine (\w+)", output) == [("mlp", "fused"), ("convnet", "torch")]


def test_whatever_fails_on_the_disk_nothing_is_lost():
    """Open, write, fsync, replace, rename, mkdir: full, broken, forbidden, cut short; once or from then on."""
    output = printed("faults")
    assert "     0 went wrong" in output
    assert int(re.search(r"(\d+) +reported in one line", output)[1]) > 10


def test_every_flipped_bit_is_noticed():
    """And every cut end, in checkpoints, records, weights, predictions and histories."""
    assert "840 of 840 detected" in printed("flips")


def test_a_disk_that_is_too_small_loses_nothing():
    """And more room brings the same end."""
    output = printed("full_disk")
    assert "     0 lost something or misreported it" in output
    assert int(re.search(r"(\d+) too small, reported in one line", output)[1]) > 2


def test_many_writers_and_readers_share_a_folder():
    """No collision, no torn record, some killed."""
    output = printed("writers")
    assert len(re.findall(r"^\| [28] \| \d \| .* \| 0 \| \d+ s \|$", output, re.MULTILINE)) == 2


def test_replay_finds_the_same_or_says_where_not():
    """A rung in the kernel, one in torch, one that is fitted in one go; then with an altered history."""
    output = printed("replays")
    assert len(re.findall(r": identical: ", output)) == 2
    assert len(re.findall(r"altered: epoch \d+, test_loss: recorded", output)) == 2


def test_an_accelerator_is_compared_with_the_cpu(monkeypatch):
    """Here the CPU takes its place: the plain loop against the kernel, then each comparison spoiled."""
    assert "2 of 2 rungs agree with the CPU" in printed("gpu")
    monkeypatch.syspath_prepend(BENCHMARKS)
    what_is_wrong = importlib.import_module("gpu").what_is_wrong
    written = json.loads(Path("gpu.json").read_text())
    assert [row["rung"] for row in written["rows"]] == ["model0", "model1"]
    for row in written["rows"]:
        assert len(row["cpu"]) == len(row["accelerator"]) == 2
        assert row["stopped_at"][1] > 0
        assert what_is_wrong(row) == []
        assert what_is_wrong(row | {"losses_apart": 1.1e-4}) == ["first losses"]
        assert what_is_wrong(row | {"accuracy_apart": 1.01 * row["accuracy_may_be_apart"]}) == ["accuracy"]
        assert what_is_wrong(row | {"repeated_identical": False}) == ["repeating"]
        assert what_is_wrong(row | {"resumed_identical": False}) == ["resuming"]


@pytest.mark.skipif(bool(accelerators()), reason="this machine has an accelerator")
def test_without_an_accelerator_nothing_is_measured(monkeypatch):
    """One line, and no error."""
    monkeypatch.setitem(SHARES, "gpu", "")
    (line,) = printed("gpu").splitlines()
    assert line.startswith("no accelerator that torch can use: nothing was measured")
