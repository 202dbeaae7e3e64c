"""A small residual network on whitened patches, which a processor trains in minutes."""

from __future__ import annotations

import math

from torch import Tensor, nn

from modelzero.errors import ModelError
from modelzero.models.convnet import channels_last
from modelzero.models.whiten import Whiten

_CHANNELS = (32, 64, 128)
# About the smaller side of the features before the first and after the last pooling.
_LARGE_SIDE, _SMALL_SIDE = 32, 4


class Residual(nn.Module):
    """A 3x3 convolution, batch normalisation and GELU, added to what goes in: [B, C, H, W] to [B, C, H, W].

    >>> import torch
    >>> Residual(8)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.GELU()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Add the block's output to its input."""
        added: Tensor = features + self.block(features)
        return added


def resnet(image_shape: tuple[int, int, int], classes: int, channels: tuple[int, ...] = _CHANNELS) -> nn.Sequential:
    """Build blocks of 3x3 convolution, pooling, batch normalisation and GELU on whitened patches, then a linear layer.

    A residual block follows each of them but the first. Patches of larger images lie further apart, so that about 32
    are left along the smaller side; poolings halve that number until it is about 4. The linear layer gets the global
    maximum of each channel.

    >>> resnet((3, 32, 32), 10)[-1]
    Linear(in_features=128, out_features=10, bias=True)

    Args:
        image_shape: channels, height and width of the images, the latter two at least 2.
        classes: how many logits come out.
        channels: of the three blocks.

    Raises:
        ModelError: the images are too small.
    """
    before, height, width = image_shape
    if min(height, width) < 2:
        raise ModelError(f"images of {height}x{width} pixels are too small for resnet: expected at least 2x2")
    stride = max(1, round(min(height, width) / _LARGE_SIDE))
    whiten = Whiten(before, stride + 1, stride)
    patches = (min(height, width) - stride - 1) // stride + 1
    halvings = max(0, round(math.log2(patches / _SMALL_SIDE)))
    layers: list[nn.Module] = [whiten, nn.GELU()]
    before = len(whiten.weight)
    for block, wide in enumerate(channels):
        layers.append(nn.Conv2d(before, wide, kernel_size=3, padding=1, bias=False))
        if block < halvings:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(wide), nn.GELU()]
        if block:
            layers.append(Residual(wide))
        before = wide
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return channels_last(nn.Sequential(*layers))
