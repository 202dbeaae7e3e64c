"""Claim: one thread is faster for model 0 and two for TinyVGG (as `default_threads` decides).

python benchmarks/threads.py [--repeats 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

import modelzero as mz


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    data = mz.load("fashion-mnist")
    with tempfile.TemporaryDirectory() as runs_dir:
        for model in ("model0", "tinyvgg"):
            seconds = {1: [], 2: []}
            for _ in range(repeats):
                for threads, values in seconds.items():
                    run = mz.train(data, model, epochs=1, threads=threads, device="cpu", runs_dir=runs_dir)
                    values.append(run.train_seconds)
            ratio = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
            print(
                f"{model:8} one epoch: 1 thread {statistics.median(seconds[1]):.2f} s, 2 threads "
                f"{statistics.median(seconds[2]):.2f} s, ratio {statistics.median(ratio):.2f} "
                f"({min(ratio):.2f} to {max(ratio):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
