"""Claim: the trial that decides about mirrored training images tells sets with a direction from sets without.

Each set is named, or given by its path; several seeds of the trial's random numbers.

    python benchmarks/mirror.py fashion-mnist digits photos.zip [--seeds 3]
"""

from __future__ import annotations

import argparse
import statistics

import modelzero as mz
from modelzero.training.mirror import MOST_TOLD_APART, tried_out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for source in arguments.data:
        data = mz.load(source, progress=False)
        trials = [tried_out(data.train, seed) for seed in range(arguments.seeds)]
        shape = "x".join(map(str, data.image_shape))
        told_apart = ", ".join(f"{trial.told_apart:.3f}" for trial in trials)
        print(
            f"{data.name:16} {shape:9} {trials[0].pairs:5,} pairs, told apart: {told_apart} (limit {MOST_TOLD_APART}); "
            f"median {statistics.median(trial.seconds for trial in trials):.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
