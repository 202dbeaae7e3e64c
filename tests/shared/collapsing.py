"""Trainings that really collapse: images so bright that steps are too large, and rungs that die always or once."""

import torch
from torch import nn

import modelzero as mz

# Of these seeds, `ONE_DIES` starts dead with exactly one.
SEEDS, THE_ONE = (42, 43, 44, 45, 46), 43


def bright_images(train=400, test=300, seed=0):
    """Ten classes of 16 x 16 images: a bright background, strong noise, and fifty pixels that are a little brighter."""
    generator = torch.Generator().manual_seed(seed)
    spots = torch.rand(10, 1, 16, 16, generator=generator) < 0.2

    def split(count):
        labels = torch.arange(count) % 10
        noise = torch.randint(-40, 41, (count, 1, 16, 16), generator=generator)
        return mz.Split((190 + noise + 25 * spots[labels]).clamp(0, 255).to(torch.uint8), labels)

    return mz.ImageData("bright", split(train), split(test), tuple(f"spots {number}" for number in range(10)))


def _with_relu():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))


def _without_relu():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.Linear(32, 10))


class SometimesDead(nn.Module):
    """Learns well, but the generator that its weights are drawn from also decides whether its ReLUs ever open."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(256, 32), nn.Linear(32, 10)
        if torch.rand(()) < 0.15:
            nn.init.constant_(self.first.bias, -1e4)

    def forward(self, images):
        return self.last(torch.relu(self.first(8 * (images.flatten(1) - 0.76))))


# Whatever the seed: the first steps throw all ReLUs to where they are closed for every image.
COLLAPSES = mz.Rung("collapses", _with_relu, learning_rate=1.0, epochs=3, second_chance=False)
ONE_DIES = mz.Rung("one dies", SometimesDead, learning_rate=0.05, epochs=3, second_chance=False)
BECOMES_NAN = mz.Rung("becomes nan", _without_relu, learning_rate=3.0, epochs=3, second_chance=False)
