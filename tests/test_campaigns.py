"""A small, seeded share of each campaign in `benchmarks/` on runs that survive: the scripts, with real kills."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SHARES = {
    "kills": "--kills 8 --seed 3",
    "every_step": "--every 41",
    "faults": "--every 263",
    "flips": "--changes 840",
    "full_disk": "--step 896",
    "writers": "--processes 2 8 --runs 12",
    "replays": "--rungs model0,forest",
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
