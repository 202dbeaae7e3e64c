"""Decide by a short trial whether images may be mirrored: shoes all point one way, cats do not."""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from modelzero.data.batches import to_float
from modelzero.data.dataset import Split
from modelzero.models.asking import as_channels_last
from modelzero.models.convnet import convnet
from modelzero.models.recipe import Recipe
from modelzero.models.seeding import seeded
from modelzero.runs.record import MirrorTrial
from modelzero.training.device import use_threads
from modelzero.training.sgd import SGD

# Share of pairs told apart up to which images may be mirrored. Measured (benchmarks/mirror.py): CIFAR-10 and ants and
# bees 0.48 to 0.52; Fashion-MNIST, digits and sign-language digits 0.81 to 1.
MOST_TOLD_APART = 0.6
_FEWEST_IMAGES, _FEWEST_PAIRS = 60, 30
_IMAGES, _SIDE, _CHANNELS = 3000, 24, (16, 32, 64)
_RECIPE = Recipe(batch_size=128, learning_rate=0.1, momentum=0.9, nesterov=True, schedule="triangle", epochs=1)
_STEPS = 100

_known: WeakKeyDictionary[Split, MirrorTrial] = WeakKeyDictionary()


def mirror_trial(split: Split) -> MirrorTrial:
    """Return the trial of a split (see `tried_out`); made once, so that each model and seed gets the same decision."""
    if split not in _known:
        _known[split] = tried_out(split)
    return _known[split]


def tried_out(split: Split, seed: int = 0) -> MirrorTrial:
    """Train a small network to tell images from their mirror images, and ask it about a third that it has not seen.

    If it cannot, both are equally likely, so that mirroring makes new training images of the same kind. Neither labels
    nor test images are used.

    >>> split = Split(torch.arange(99).byte().view(99, 1, 1, 1).expand(99, 1, 8, 8), torch.arange(99) % 2)
    >>> tried_out(split).told_apart
    0.5

    Args:
        split: the training split. Groups are not divided.
        seed: of the cut, of the weights and of the batches.
    """
    began = time.perf_counter()
    with use_threads(1), seeded(seed):
        train, asked = _cut(split)
        told_apart = None
        if len(train) >= _FEWEST_IMAGES and len(asked) >= _FEWEST_PAIRS:
            told_apart = _told_apart(_reduced(split.images[train]), _reduced(split.images[asked]))
    return MirrorTrial(len(train), len(asked), told_apart, time.perf_counter() - began)


def may_mirror(trial: MirrorTrial) -> bool:
    """Return whether a trial allows mirroring; if there were too few images for a trial, it does not.

    >>> may_mirror(MirrorTrial(2000, 1000, 0.51, 5.0)), may_mirror(MirrorTrial(2000, 1000, 0.83, 5.0))
    (True, False)
    """
    return trial.told_apart is not None and trial.told_apart <= MOST_TOLD_APART


def _cut(split: Split) -> tuple[Tensor, Tensor]:
    """Draw positions of training images and, a third, of others to ask about; groups stay together."""
    groups = torch.arange(len(split)) if split.groups is None else split.groups
    names, of_image = groups.unique(return_inverse=True)
    rank = torch.randperm(len(names))[of_image]  # images of a group have the same
    order = rank.argsort(stable=True)[:_IMAGES]
    asked = rank[order] <= rank[order[max(0, len(order) // 3 - 1)]]
    return order[~asked], order[asked]


def _reduced(images: Tensor) -> Tensor:
    """Return images as floats, large ones reduced so that the smaller side has 24 pixels."""
    height, width = images.shape[2:]
    scale = _SIDE / min(height, width)
    floats = to_float(images)
    return floats if scale >= 1 else adaptive_avg_pool2d(floats, (round(height * scale), round(width * scale)))


def _told_apart(train: Tensor, asked: Tensor) -> float:
    """Return the share of pairs in which the network identifies the mirrored image; 0.5 if it guesses."""
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True).clamp_min(1 / 255)
    train, asked = (train - mean) / std, (asked - mean) / std
    _, channels, height, width = train.shape
    model = convnet((channels, height, width), 2, _CHANNELS).train()
    optimizer = SGD(model.parameters(), lr=0.0, momentum=_RECIPE.momentum, nesterov=_RECIPE.nesterov)
    half = _RECIPE.batch_size // 2
    labels = torch.arange(2).repeat_interleave(half)
    for step in range(_STEPS):
        images = train[torch.randint(len(train), (half,))]
        optimizer.param_groups[0]["lr"] = _RECIPE.learning_rate_at(step, _STEPS)
        loss = cross_entropy(model(as_channels_last(torch.cat([images, images.flip(3)]))), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        plain, mirrored = (model(as_channels_last(each)).diff(dim=1).flatten() for each in (asked, asked.flip(3)))
    return float(((mirrored > plain).double() + (mirrored == plain).double() / 2).mean())
