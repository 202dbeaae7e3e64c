"""Claim: every flipped bit and every truncation of a checkpoint, a record or a file of a run is detected.

python benchmarks/flips.py [--changes 100000] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import modelzero as mz
from children import small
from every_step import Stops
from modelzero.results.ladder import Ladder
from modelzero.training.checkpoint import last_good
from modelzero.training.fused import loop as fused_loop


def made(temporary):
    """Return (folder, file, its check) for a finished run, an interrupted one, and a ladder."""
    data = mz.load("digits")
    finished = mz.train(data, small("mlp"), threads=1, runs_dir=temporary / "finished", progress=False).path
    try:
        mz.train(data, small("convnet"), threads=1, runs_dir=temporary / "cut", progress=Stops(400))
    except KeyboardInterrupt:
        cut = next((temporary / "cut").iterdir())
    ladder = mz.climb(data, ["majority", "centroid"], runs_dir=temporary / "ladders").path
    cases = [(cut, name.name, checkpoint_is_whole) for name in cut.glob("checkpoint-*")]
    cases += [(finished, name, run_is_whole) for name in sorted(p.name for p in finished.iterdir())]
    return [*cases, (cut, "run.json", run_is_read), (ladder, "ladder.json", ladder_is_read)]


def checkpoint_is_whole(folder):
    kept = {path.name: path.read_bytes() for path in folder.glob("checkpoint-*")}
    found, trouble = last_good(folder)
    for name, content in kept.items():  # a damaged one is removed
        (folder / name).write_bytes(content)
    return found is not None and not trouble


def run_is_read(folder):
    try:
        mz.Run.read(folder)
    except mz.RunError:
        return False
    return True


def run_is_whole(folder):
    try:
        mz.Run.read(folder).check()
    except mz.RunError:
        return False
    return True


def ladder_is_read(folder):
    try:
        Ladder.read(folder)
    except mz.RunError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fused_loop._MULTIPLY_ADDS_AT_ONCE = 1  # noqa: SLF001 - look after each step
    draws = random.Random(arguments.seed)
    counts, noticed = Counter(), Counter()
    with tempfile.TemporaryDirectory() as temporary:
        cases = made(Path(temporary))
        for folder, _, whole in cases:
            assert whole(folder), folder
        for change in range(arguments.changes):
            folder, name, whole = cases[change % len(cases)]
            path = folder / name
            content = path.read_bytes()
            if draws.random() < 0.5:
                place, bit = draws.randrange(len(content)), draws.randrange(8)
                damaged = bytearray(content)
                damaged[place] ^= 1 << bit
                what = "flipped"
            else:
                damaged = content[: draws.randrange(len(content))]
                what = "cut"
            path.write_bytes(damaged)
            key = name.split("-")[0] + Path(name).suffix if name.startswith("checkpoint") else name, what
            counts[key] += 1
            if whole(folder):
                print(f"not detected: {name} {what}, {len(damaged)} of {len(content)} bytes", file=sys.stderr)
            else:
                noticed[key] += 1
            path.write_bytes(content)
    print("| file | change | detected | of |\n| --- | --- | ---: | ---: |")
    for key, count in sorted(counts.items()):
        print(f"| {key[0]} | {key[1]} | {noticed[key]:,} | {count:,} |")
    print(f"{noticed.total():,} of {counts.total():,} detected")
    sys.exit(noticed.total() != counts.total())


if __name__ == "__main__":
    main()
