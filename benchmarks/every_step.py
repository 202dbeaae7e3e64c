"""Claim: a training of 200 steps can be stopped after any step and resumed with identical results, in both engines.

python benchmarks/every_step.py [--every 1]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

import modelzero as mz
from children import Stops, debris, outcome, small
from modelzero.training.fused import loop as fused_loop

STEPS, EPOCHS, BATCH = 200, 4, 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="stop only after every Nth step")
    arguments = parser.parse_args()
    fused_loop._MULTIPLY_ADDS_AT_ONCE = 1  # noqa: SLF001 - look after each step
    torch.set_num_threads(1)
    digits = mz.load("digits")
    few = mz.Split(digits.train.images[: STEPS // EPOCHS * BATCH], digits.train.labels[: STEPS // EPOCHS * BATCH])
    data = mz.ImageData("few digits", few, digits.test, digits.classes)
    right = tried = 0
    for name in ("mlp", "convnet"):
        rung = small(name, epochs=EPOCHS, batch_size=BATCH)
        same = 0
        steps = range(1, STEPS + 1, arguments.every)
        with tempfile.TemporaryDirectory() as temporary:
            whole = mz.train(data, rung, threads=1, runs_dir=Path(temporary, "whole"), progress=False)
            expected = outcome(whole.path)
            for step in steps:
                runs = Path(temporary, f"step-{step}")
                try:
                    mz.train(data, rung, threads=1, runs_dir=runs, progress=Stops(step * BATCH))
                except KeyboardInterrupt:
                    pass
                else:
                    sys.exit(f"{name} did not stop after step {step}")
                path = next(runs.iterdir())
                assert mz.Run.read(path).status == "interrupted"
                assert list(path.glob("checkpoint-*.json")), "no checkpoint"
                mz.resume(path, data, rung, progress=False)
                same += outcome(path) == expected and not debris(runs)
        print(f"{name}: {same} of {len(steps)} identical, engine {whole.record.engine}")
        right, tried = right + same, tried + len(steps)
    sys.exit(right != tried)


if __name__ == "__main__":
    main()
