"""A fixed convolution that whitens small patches, with figures of the training split."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from modelzero.data.dataset import Split

# Pixels in all patches from which the figures are computed, about, and how many of them at a time.
_PIXELS, _BLOCK = 12_000_000, 2_400_000
# Added to the variance of each direction, as a share of the mean variance of the pixels, so that noise does not become
# as large as a signal; and the least mean, because images may have one colour.
_LEAST_VARIANCE, _LEAST_MEAN = 5e-4, 1e-4


class Whiten(nn.Module):
    """Return uncorrelated features of the patches of an image, and their negatives: [B, C, H, W] to [B, N, H', W'].

    The filters are the strongest principal components of the patches, each divided by its standard deviation, and are
    not trained: it saves the training of a first convolution, and the layers after it need fewer epochs (Jordan,
    "94 % on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.2).

    >>> layer = Whiten(channels=1)
    >>> images = torch.randint(256, (50, 1, 8, 8), dtype=torch.uint8)
    >>> layer.measure(Split(images, torch.zeros(50).long()))
    >>> features = layer(images / 255)
    >>> features.shape, bool((features[:, 0].std() - 1).abs() < 0.05)
    (torch.Size([50, 8, 7, 7]), True)

    Args:
        channels: of the images.
        side: height and width of a patch.
        stride: pixels from one patch to the next: H' = (H - side) // stride + 1.
        most: largest number of principal components; N is twice their number.
    """

    weight: Tensor  # float32 [N, C, side, side]
    bias: Tensor  # float32 [N]

    def __init__(self, channels: int, side: int = 2, stride: int = 1, most: int = 12) -> None:
        super().__init__()
        self.stride = stride
        some = torch.eye(channels * side * side)[:most]
        self.register_buffer("weight", torch.cat([some, -some]).view(-1, channels, side, side))
        self.register_buffer("bias", torch.zeros(len(self.weight)))

    def measure(self, split: Split) -> None:
        """Take the principal components of the patches of images that are spread over the split."""
        channels, side = self.weight.shape[1:3]
        every = max(1, len(split) * _pixels(split.images, side, self.stride) // _PIXELS)
        mean, covariance = patch_figures(split.images[::every], side, self.stride)
        least = _LEAST_VARIANCE * covariance.diagonal().mean().clamp_min(_LEAST_MEAN)
        variances, directions = torch.linalg.eigh(covariance)
        strongest = slice(-(len(self.bias) // 2), None)
        filters = (directions / (variances.clamp_min(0) + least).sqrt())[:, strongest].T.flip(0)
        offsets = -(filters @ mean)
        self.weight.copy_(torch.cat([filters, -filters]).view(-1, channels, side, side))
        self.bias.copy_(torch.cat([offsets, -offsets]))

    def forward(self, images: Tensor) -> Tensor:
        """Whiten images [B, C, H, W] in [0, 1]."""
        return conv2d(images, self.weight, self.bias, self.stride)

    def extra_repr(self) -> str:
        """Show the channels and the side of a patch in the module's text."""
        features, channels, side, _ = self.weight.shape
        return f"{channels}, {features}, kernel_size=({side}, {side}), stride={self.stride}"


def patch_figures(images: Tensor, side: int, stride: int = 1) -> tuple[Tensor, Tensor]:
    """Return mean [C * side**2] and covariance of the patches of images uint8 [N, C, H, W], scaled to [0, 1]; float64.

    >>> patch_figures(torch.tensor([0, 255]).byte().view(2, 1, 1, 1), side=1)
    (tensor([0.5000], dtype=torch.float64), tensor([[0.2500]], dtype=torch.float64))
    """
    inputs = images.shape[1] * side * side
    count, sums = 0, torch.zeros(inputs, dtype=torch.float64)
    products = torch.outer(sums, sums)
    for block in images.split(max(1, _BLOCK // _pixels(images, side, stride))):
        # The order is that of a filter: channel, row, column.
        patches = block.unfold(2, side, stride).unfold(3, side, stride).permute(1, 4, 5, 0, 2, 3)
        patches = patches.reshape(inputs, -1).double()
        count += patches.shape[1]
        # Sums of whole numbers, so that the figures depend neither on their order nor on the number of threads.
        sums += patches.sum(1)
        products += patches @ patches.T
    mean = sums / count
    return mean / 255, (products / count - torch.outer(mean, mean)) / 255**2


def _pixels(images: Tensor, side: int, stride: int) -> int:
    """Count the pixels in all patches of one image, about; each channel counts."""
    _, channels, height, width = images.shape
    return channels * side * side * -(-height // stride) * -(-width // stride)
