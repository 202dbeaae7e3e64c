"""Claim: `mlp` with 128 hidden units trains at least 4 times as fast as the same recipe in eager torch.

The eager side is the shortest possible loop: all images in memory as floats, batches by indexing, `nn.Sequential`,
`torch.optim.SGD`; with torch's own choice of threads, and with one. Evaluation is excluded on both sides.

    python benchmarks/mlp.py [--width 128] [--repeats 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import modelzero as mz
from modelzero.models.perceptron import mlp
from modelzero.models.rungs import rung_named
from pairs import in_turn, table

EPOCHS = 3


def eager(pictures, labels, recipe, width, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(42)
    model = nn.Sequential(
        nn.Linear(pictures.shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    batch, steps, step = recipe.batch_size, recipe.steps_per_epoch(len(labels)) * EPOCHS, 0
    start = time.perf_counter()
    for _ in range(EPOCHS):
        order = torch.randperm(len(labels))
        for first in range(0, len(labels), batch):
            chosen = order[first : first + batch]
            optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(step, steps)
            loss = cross_entropy(model(pictures[chosen]), labels[chosen], label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    width, cores = arguments.width, torch.get_num_threads()
    data = mz.load("fashion-mnist")
    pictures, labels = data.train.images.flatten(1).float() / 255, data.train.labels
    rung = replace(rung_named("mlp"), make=lambda image_shape, classes: mlp(image_shape, classes, width), epochs=EPOCHS)
    with tempfile.TemporaryDirectory() as runs_dir:

        def fused(threads):
            return mz.train(
                data, rung, threads=threads, engine="fused", runs_dir=runs_dir, progress=False
            ).train_seconds

        for threads in dict.fromkeys((cores, 1)):
            print(f"\nwidth {width}, {EPOCHS} epochs, {threads} threads")
            sides = [
                (f"eager torch, {threads} threads", partial(eager, pictures, labels, rung, width, threads)),
                (f"mz.train, {threads} threads", partial(fused, threads)),
            ]
            table(in_turn(sides, arguments.repeats))


if __name__ == "__main__":
    main()
