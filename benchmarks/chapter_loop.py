"""Claim: `mz.train` gives the chapter's figures for model 0 at least 60 times as fast as the chapter's own loop.

Both sides alternate in this process (`modelzero.bench.chapter_loop`: a Dataset that turns every image into a PIL image
and a tensor, a DataLoader with its default collate, evaluation after each epoch). Their figures are compared.

    python benchmarks/chapter_loop.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import resource
import tempfile

import numpy as np
import torch

import modelzero as mz
from modelzero.bench import chapter_loop, same_training
from pairs import in_turn, table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    data = mz.load("fashion-mnist")
    figures = {}

    def side(name, function):
        def run():
            figures[name], seconds = function()
            return seconds

        return name, run

    with tempfile.TemporaryDirectory() as runs_dir:
        sides = [
            side(f"the chapter's loop, {torch.get_num_threads()} threads", lambda: chapter_loop(data)),
            side("mz.train, 1 thread, recorded", lambda: same_training(data, runs_dir)),
        ]
        seconds = in_turn(sides, repeats)
    expected, found = figures.values()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    for epoch, (train_loss, test_loss, test_acc) in enumerate(found, 1):
        print(f"epoch {epoch}: train loss {train_loss:.4f}, test loss {test_loss:.4f}, test accuracy {test_acc:.4f} %")
    print("the figures of both agree to 1e-5")
    table(seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of the process, both sides: {peak:.0f} MB; torch {torch.__version__}")


if __name__ == "__main__":
    main()
