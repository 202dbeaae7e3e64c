"""Claim: TinyVGG, three epochs of the chapter's recipe, takes at most half the time of the chapter's loop.

Both sides use torch's own choice of threads; both accuracies are shown.

    python benchmarks/tinyvgg.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace

import torch
from torch import nn

import modelzero as mz
from modelzero.bench import chapter_loop, same_training
from modelzero.models.rungs import rung_named
from pairs import in_turn, table


class FashionMNISTModelV2(nn.Module):
    """The chapter's TinyVGG."""

    def __init__(self, hidden_units=10):
        super().__init__()
        self.block_1 = self.block(1, hidden_units)
        self.block_2 = self.block(hidden_units, hidden_units)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(hidden_units * 7 * 7, 10))

    @staticmethod
    def block(inputs, hidden_units):
        return nn.Sequential(
            nn.Conv2d(inputs, hidden_units, kernel_size=3, stride=1, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden_units, hidden_units, kernel_size=3, stride=1, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        )

    def forward(self, x):
        return self.classifier(self.block_2(self.block_1(x)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    data = mz.load("fashion-mnist")
    rung = replace(rung_named("tinyvgg"), schedule="constant", least_steps=1)
    accuracies = {"chapter": [], "modelzero": []}

    def chapter():
        figures, seconds = chapter_loop(data, FashionMNISTModelV2)
        accuracies["chapter"].append(figures[-1][2])
        return seconds

    def ours():
        figures, seconds = same_training(data, runs_dir, rung, threads=torch.get_num_threads())
        accuracies["modelzero"].append(figures[-1][2])
        return seconds

    with tempfile.TemporaryDirectory() as runs_dir:
        sides = [(f"the chapter's loop, {torch.get_num_threads()} threads", chapter), ("mz.train, recorded", ours)]
        seconds = in_turn(sides, repeats, warm_up=0)
    for name, values in accuracies.items():
        print(f"accuracy after three epochs, {name}: {min(values):.2f} to {max(values):.2f} %")
    table(seconds)


if __name__ == "__main__":
    main()
