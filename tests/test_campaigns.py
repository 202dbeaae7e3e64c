"""A small, seeded share of each campaign in `benchmarks/` on runs that survive: the scripts, with real kills."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SHARES = {
    "kills": "--kills 12 --seed 3",
    "every_step": "--every 41",
    "faults": "--every 131",
    "flips": "--changes 840",
    "full_disk": "--step 448",
    "writers": "--processes 2 8 --runs 12",
    "replays": "--rungs model0,forest",
}


def run(name):
    """Run a script to its end."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", *SHARES[name].split()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def campaign():
    """Start all of them, two at a time since each trains with one thread; wait for the one that is asked for."""
    with ThreadPoolExecutor(2) as pool:
        began = {name: pool.submit(run, name) for name in SHARES}

        def told(name):
            done = began[name].result()
            if done.returncode == 2 and "no tmpfs can be mounted here" in done.stderr:
                pytest.skip(done.stderr.strip())
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield told
        pool.shutdown(cancel_futures=True)


def test_killed_trainings_end_as_if_nothing_had_been(campaign):
    """Three kinds of rung, at random moments and in the middle of writing."""
    told = campaign("kills")
    right, trainings = re.search(r"(\d+) of (\d+) trainings ended with identical weights", told).groups()
    assert right == trainings
    assert int(re.search(r"(\d+) killed", told)[1]) >= 12
    assert "aimed at a file" in told


def test_any_step_can_be_the_last_before_a_break(campaign):
    """In the kernel and in torch."""
    told = campaign("every_step")
    assert re.findall(r"(\w+): 5 of 5 identical, engine (\w+)", told) == [("mlp", "fused"), ("convnet", "torch")]


def test_whatever_fails_on_the_disk_nothing_is_lost(campaign):
    """Open, write, fsync, replace, rename, mkdir: full, broken, forbidden, cut short; once or from then on."""
    told = campaign("faults")
    assert "     0 went wrong" in told
    assert int(re.search(r"(\d+) +reported in one line", told)[1]) > 20


def test_every_flipped_bit_is_noticed(campaign):
    """And every cut end, in checkpoints, records, weights, predictions and histories."""
    assert "840 of 840 detected" in campaign("flips")


def test_a_disk_that_is_too_small_loses_nothing(campaign):
    """And more room brings the same end."""
    told = campaign("full_disk")
    assert "     0 lost something or misreported it" in told
    assert int(re.search(r"(\d+) too small, reported in one line", told)[1]) > 5


def test_many_writers_and_readers_share_a_folder(campaign):
    """No collision, no torn record, some killed."""
    told = campaign("writers")
    assert len(re.findall(r"^\| [28] \| \d \| .* \| 0 \| \d+ s \|$", told, re.MULTILINE)) == 2


def test_replay_finds_the_same_or_says_where_not(campaign):
    """A rung in the kernel, one in torch, one that is fitted in one go; then with an altered history."""
    told = campaign("replays")
    assert len(re.findall(r": identical: ", told)) == 2
    assert len(re.findall(r"altered: epoch \d+, test_loss: recorded", told)) == 2
