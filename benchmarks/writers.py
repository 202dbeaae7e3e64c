"""Claim: any number of processes can write runs to one folder while others read it, without collisions or torn records.

2, 8 and 32 processes train and record 1,000 runs each; every tenth process is killed at a random moment and replaced.
Two readers list the folder all the time.

    python benchmarks/writers.py [--processes 2 8 32] [--runs 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

import modelzero as mz
from children import child, debris, ended
from modelzero.runs.folder import read_runs


def write(data, runs, count, seed):
    for k in range(count):
        mz.train(data, "majority", seed=seed + k, runs_dir=runs)


def read(runs, stop, told):
    """List the folder until the file `stop` exists; write down what could not be read."""
    looks, most, trouble = 0, 0, set()
    parent = os.getppid()
    while not stop.exists() and os.getppid() == parent:
        found, wrong = read_runs(runs)
        looks, most = looks + 1, max(most, len(found))
        trouble |= set(wrong)
    told.write_text("\n".join([f"{looks} {most}", *sorted(trouble)]))


def campaign(processes, count, draws, folder):
    """Run with one number of processes, print its counts, and return what is wrong."""
    digits = mz.load("digits")
    few = mz.Split(digits.train.images[:40], digits.train.labels[:40])
    data = mz.ImageData("few digits", few, few, digits.classes)
    _ = data.fingerprint
    runs, stop = folder / "runs", folder / "stop"
    runs.mkdir(parents=True)
    began = time.monotonic()
    readers = [(child(read, runs, stop, folder / f"reader-{k}"), folder / f"reader-{k}") for k in range(2)]
    writers, wrong, killed, expected = [], [], 0, processes * count
    for number in range(processes):
        writers.append(child(write, data, runs, count, number * count))
        if number % 10 == 1:
            time.sleep(draws.uniform(0.01, 0.5))
            os.kill(writers[-1], signal.SIGKILL)
            killed += ended(writers.pop()) == -signal.SIGKILL
            writers.append(child(write, data, runs, count, number * count))
    wrong += [f"a writer ended with {code}" for code in map(ended, writers) if code]
    seconds = time.monotonic() - began
    stop.touch()
    wrong += [f"a reader ended with {code}" for code in (ended(number) for number, _ in readers) if code]
    looks = most = 0
    for _, told in readers:
        first, *trouble = told.read_text().splitlines()
        looks, most = looks + int(first.split()[0]), max(most, int(first.split()[1]))
        wrong += [f"a reader saw: {line}" for line in trouble]
    write(data, runs, 1, 0)  # the next start tidies up
    found, trouble = read_runs(runs)
    wrong += trouble + [f"left over: {path}" for path in debris(runs) if "/" not in path]
    states = Counter(run.status for run in found)
    if len({run.id for run in found}) != len(found) or any(run.id != run.path.name for run in found):
        wrong.append("two runs with the same name")
    if (
        states["finished"] < expected + 1
        or states["interrupted"] > killed
        or states.total() != sum(states[status] for status in ("finished", "interrupted"))
    ):
        wrong.append(f"{dict(states)}, expected {expected} finished runs")
    print(
        f"| {processes} | {killed} | {states['finished']:,} | {states['interrupted']} | {looks:,} | {len(wrong)} | "
        f"{seconds:.0f} s |",
        flush=True,
    )
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    draws = random.Random(arguments.seed)
    print("| processes | killed | finished runs | interrupted | concurrent listings | wrong | time |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        for processes in arguments.processes:
            wrong += campaign(processes, arguments.runs, draws, Path(temporary, str(processes)))
    for each in wrong[:10]:
        print("wrong:", each, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
