"""Claim: the file of every rung gives modelzero's class for each Fashion-MNIST test image, and its probabilities.

Each rung is trained with its recipe and exported both ways. `export` refuses a file if any class differs, or any
probability by more than 1e-5, so every file in the table has passed.

    python benchmarks/export.py [--rungs softmax,convnet]
"""

from __future__ import annotations

import argparse
import tempfile
import time

import modelzero as mz
from modelzero.models.rungs import LADDER
from modelzero.using.export import KINDS, export


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", default=",".join(rung.name for rung in LADDER))
    arguments = parser.parse_args()
    data = mz.load("fashion-mnist")
    print(f"{'rung':10} {'to':6} {'classes':>8} {'ties':>5} {'largest':>9} {'bytes':>11} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.rungs.split(","):
            run = mz.Run.read(mz.train(data, name, runs_dir=temporary, progress=False).path)
            for kind in KINDS:
                start = time.perf_counter()
                done = export(run, to=kind, data=data)
                seconds = time.perf_counter() - start
                parity = done.parity
                print(
                    f"{name:10} {kind:6} {parity.other_classes:8} {parity.ties:5} {parity.largest:9.1e} "
                    f"{done.size_bytes:11,} {seconds:8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
