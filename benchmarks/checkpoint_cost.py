"""Claim: a checkpoint every 10 seconds costs less than 2 % of the training time of `convnet`.

The time spent in `Checkpoints.save` relative to that of the training steps, on all of Fashion-MNIST.

    python benchmarks/checkpoint_cost.py [--repeats 3] [--every 10]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time

import modelzero as mz
from modelzero.training.checkpoint import Checkpoints


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=float, default=10.0)
    arguments = parser.parse_args()
    data = mz.load("fashion-mnist")
    spent, save = [], Checkpoints.save

    def timed(self, *arguments, **settings):
        began = time.perf_counter()
        save(self, *arguments, **settings)
        spent.append(time.perf_counter() - began)

    Checkpoints.save = timed
    shares = []
    for _ in range(arguments.repeats):
        spent.clear()
        with tempfile.TemporaryDirectory() as temporary:
            run = mz.train(
                data, "convnet", checkpoint_every=arguments.every, threads=2, runs_dir=temporary, progress=False
            )
        shares.append(sum(spent) / run.train_seconds)
        each = 1000 * statistics.median(spent)
        print(f"{len(spent)} checkpoints of {each:.1f} ms in {run.train_seconds:.1f} s of steps: {shares[-1]:.3%}")
    print(f"median {statistics.median(shares):.3%}, {min(shares):.3%} to {max(shares):.3%}")
    sys.exit(statistics.median(shares) > 0.02)


if __name__ == "__main__":
    main()
