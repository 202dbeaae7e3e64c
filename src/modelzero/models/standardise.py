"""Standardise images as a part of the model, so that whatever uses the model does it too."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace

import torch
from torch import Tensor, nn

from modelzero.data.dataset import Split
from modelzero.models.rungs import Rung

_FEW = 256  # images from which the power of the inputs is estimated
_BLOCK = 4096  # images converted to floats at once
_LEAST = 1 / 255  # a channel of one colour is divided by one grey level, not by zero


class Standardise(nn.Module):
    """Subtract each channel's mean and divide by its standard deviation.

    Until `measure` is called, images stay as they are.

    >>> layer = Standardise(channels=1)
    >>> layer.measure(Split(torch.tensor([0, 255]).byte().view(2, 1, 1, 1), torch.tensor([0, 1])))
    >>> layer(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)).flatten()
    tensor([-1.,  1.])

    Args:
        channels: of the images.
    """

    mean: Tensor  # float32 [C], in [0, 1]
    std: Tensor  # float32 [C]

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def measure(self, split: Split) -> None:
        """Take mean and standard deviation of each channel over all pixels of a split."""
        mean, std = channel_figures(split)
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, images: Tensor) -> Tensor:
        """Standardise images [B, C, H, W] in [0, 1]."""
        return (images - self.mean[:, None, None]) / self.std[:, None, None]

    def extra_repr(self) -> str:
        """Show the number of channels in the module's text."""
        return f"channels={len(self.mean)}"


def channel_figures(split: Split) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, float32 [C], of each channel of images scaled to [0, 1].

    >>> channel_figures(Split(torch.tensor([0, 51, 102]).byte().view(1, 1, 1, 3), torch.tensor([0])))
    (tensor([0.2000]), tensor([0.1633]))
    """
    channels = split.images.shape[1]
    count, sums, squares = 0, [0] * channels, [0] * channels
    for block in split.images.split(_BLOCK):
        pixels = block.transpose(0, 1).flatten(1).int()
        count += pixels.shape[1]
        # Whole numbers, so that the figures depend neither on the order of the sums nor on the number of threads.
        sums = [a + b for a, b in zip(sums, pixels.sum(1).tolist(), strict=True)]
        squares = [a + b for a, b in zip(squares, pixels.square_().sum(1).tolist(), strict=True)]
    mean = [each / count / 255 for each in sums]
    std = [max(_LEAST, math.sqrt(count * b - a * a) / count / 255) for a, b in zip(sums, squares, strict=True)]
    return torch.tensor(mean), torch.tensor(std)


def input_power(split: Split, *, standardised: bool) -> float:
    """Estimate the mean sum of squares of an image's inputs; standardised inputs have a mean square of 1.

    >>> split = Split(torch.full((5, 1, 2, 2), 255).byte(), torch.arange(5))
    >>> input_power(split, standardised=False), input_power(split, standardised=True)
    (4.0, 4.0)
    """
    pixels = split.images[0].numel()
    if standardised:
        return float(pixels)
    few = split.images[:: max(1, len(split) // _FEW)]
    return few.int().square_().sum().item() / len(few) / 255**2


def inputs_settled(rung: Rung, split: Split) -> Rung:
    """Return the rung that standardises its inputs or not, as follows from the images if its recipe leaves it open.

    >>> from modelzero.models.rungs import Rung, rung_named
    >>> rung = Rung("mine", "model0", standardise=None, full_rate_power=200)
    >>> dark, bright = (Split(torch.full((1, 3, 20, 20), grey).byte(), torch.zeros(1).long()) for grey in (50, 250))
    >>> inputs_settled(rung, dark).standardise, inputs_settled(rung, bright).standardise
    (False, True)
    """
    if rung.standardise is not None:
        return rung
    most = rung.full_rate_power
    return replace(rung, standardise=most is not None and input_power(split, standardised=False) > most)


def standardised(model: nn.Module, channels: int) -> nn.Sequential:
    """Put a `Standardise` before a model; the layers of an `nn.Sequential` keep their names.

    >>> standardised(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), channels=1)
    Sequential(
      (standardise): Standardise(channels=1)
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=2, bias=True)
    )
    """
    inside = list(model.named_children()) if type(model) is nn.Sequential else [("model", model)]
    return nn.Sequential(OrderedDict([("standardise", Standardise(channels)), *inside]))
