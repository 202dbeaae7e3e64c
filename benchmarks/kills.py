"""Claim: a training killed at any moment and resumed ends with the same weights, predictions and history.

Three kinds of rung on a part of `digits`. Half of the kills come after a random time; the other half are aimed at a
file operation (open, write, fsync, replace, rename, mkdir): before it, after it, or in the middle of a write. A
training may be killed several times. Each kill is a real SIGKILL of a real process.

    python benchmarks/kills.py [--kills 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import modelzero as mz
from children import KINDS, Disk, child, debris, ended, outcome, pictures, small
from modelzero.training.fused import loop as fused_loop

EVERY = (1e-6, 0.002, 0.01)  # seconds between checkpoints: after each step, or now and then


def folder_of(runs):
    found = [path for path in runs.iterdir() if not path.name.startswith(".")] if runs.exists() else []
    return found[0] if found else None


def go(data, rung, runs, every, disk):
    """Train, or resume if there is a run."""
    fused_loop._MULTIPLY_ADDS_AT_ONCE = 1  # noqa: SLF001 - look after each step
    with disk:
        path = folder_of(runs)
        if path is None:
            mz.train(data, rung, threads=1, runs_dir=runs, checkpoint_every=every, progress=False)
        else:
            mz.resume(path, data, rung, checkpoint_every=every, progress=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    data = pictures()
    counts, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as temporary:
        references = {}
        for name in KINDS:  # what comes out undisturbed, how long it takes, and how many operations that is
            runs = Path(temporary, f"reference-{name}")
            began = time.monotonic()
            assert ended(child(go, data, small(name), runs, 0.01, Disk(runs))) == 0
            seconds = time.monotonic() - began
            disk = Disk(runs / "again")
            go(data, small(name), runs / "again", 1e-6, disk)
            references[name] = outcome(folder_of(runs / "again")), seconds, disk.count
            shutil.rmtree(runs / "again")
            assert outcome(folder_of(runs)) == references[name][0], f"two trainings of {name} differ"
        trial = 0
        while counts["killed"] < arguments.kills:
            trial += 1
            name = KINDS[trial % len(KINDS)]
            expected, seconds, operations = references[name]
            runs = Path(temporary, f"trial-{trial}")
            story = []
            for _ in range(draws.choice((1, 1, 1, 2, 3))):
                every = draws.choice(EVERY)
                if draws.random() < 0.5:
                    disk, wait = Disk(runs), draws.uniform(0, 1.1 * seconds)
                else:
                    wait, disk = None, Disk(runs, draws.randint(1, operations), draws.choice(("kill", "kill in")))
                number = child(go, data, small(name), runs, every, disk)
                if wait is not None:
                    time.sleep(wait)
                    os.kill(number, signal.SIGKILL)
                code = ended(number)
                when = f"{disk.how} at {disk.at}" if wait is None else f"after {wait:.4f} s"
                story.append(f"every {every}, {when}: {code}")
                if code == -signal.SIGKILL:
                    counts["killed"] += 1
                    counts["at a random moment" if wait is not None else "aimed at a file"] += 1
                    counts[f"of {name}"] += 1
                    path = folder_of(runs)
                    if path is not None and list(path.glob("checkpoint-*.json")):
                        counts["with a checkpoint to resume from"] += 1
                elif code != 0:
                    wrong.append((name, story, "failed although nothing was injected"))
                    break
                else:  # it was done before it could be killed
                    counts["had already ended"] += 1
                    break
            code = ended(child(go, data, small(name), runs, 60.0, Disk(runs)))
            path = folder_of(runs)
            left = debris(runs)
            if code or path is None or outcome(path) != expected or left:
                wrong.append((name, story, left or "a different result"))
            counts["trainings"] += 1
            shutil.rmtree(runs, ignore_errors=True)
    for what, count in counts.items():
        print(f"{count:6,} {what}")
    right = counts["trainings"] - len(wrong)
    print(f"{right:6,} of {counts['trainings']:,} trainings ended with identical weights, predictions and history")
    for each in wrong[:10]:
        print("wrong:", *each, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
