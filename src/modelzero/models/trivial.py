"""The baselines of every comparison: one that ignores the images, and one with a mean image for each class."""

from __future__ import annotations

import torch
from torch import Tensor

from modelzero.data.dataset import Split
from modelzero.models.fitted import Fitted

# The logit of a class that must never win; far below any other, and finite so that losses stay finite.
_NEVER = -1e30
# Images that are turned into floats at once.
_BLOCK = 4096
# The variance of rounding to one of 256 grey levels: no class is narrower than that.
_LEAST_VARIANCE = 1 / (12 * 255**2)


class Majority(Fitted):
    """Predict the most frequent class of the training split for every image; of equally frequent ones the first.

    The logits are the logarithms of the classes' shares; a class without an image counts as half an image.

    >>> model = Majority((1, 2, 2), classes=2)
    >>> model.fit(Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1, 1])), seed=0)
    >>> model(torch.zeros(1, 1, 2, 2)).exp()
    tensor([[0.2500, 0.7500]])

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
    """

    is_light = True
    guesses = True

    log_shares: Tensor

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(image_shape, classes)
        self._learned("log_shares")

    def fit(self, split: Split, seed: int) -> None:  # noqa: ARG002 - nothing here is random
        """Count the labels."""
        counts = torch.bincount(split.labels.cpu(), minlength=self.classes)
        self.log_shares = (counts.clamp(min=0.5) / len(split)).log()

    def _logits(self, images: Tensor) -> Tensor:
        return self.log_shares.repeat(len(images), 1)


class Centroid(Fitted):
    """Predict the class with the nearest mean image.

    The logits are those of normal distributions around the means with one variance for all pixels and classes: minus
    half the squared distance over that variance. A class without a training image never wins.

    >>> model = Centroid((1, 1, 1), classes=2)
    >>> model.fit(Split(torch.tensor([0, 20, 200, 220]).byte().view(4, 1, 1, 1), torch.tensor([0, 0, 1, 1])), seed=0)
    >>> model.means.mul(255)
    tensor([[ 10.],
            [210.]])
    >>> model(torch.tensor([[[[0.4]]], [[[0.5]]]])).argmax(1)
    tensor([0, 1])

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
    """

    is_light = True

    means: Tensor  # float32 [classes, C * H * W], in [0, 1]
    variance: Tensor  # float32 [1], of a pixel within its class, averaged over pixels and images
    counts: Tensor  # int64 [classes], training images

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__(image_shape, classes)
        self._learned("means", "variance", "counts")

    def fit(self, split: Split, seed: int) -> None:  # noqa: ARG002 - nothing here is random
        """Average the images of each class, in blocks; sums of pixels are exact in float64."""
        pixels = split.images.cpu().flatten(1)
        labels = split.labels.cpu()
        sums = torch.zeros(self.classes, pixels.shape[1], dtype=torch.float64)
        squares = 0.0
        for block, block_labels in zip(pixels.split(_BLOCK), labels.split(_BLOCK), strict=True):
            values = block.double()
            sums.index_add_(0, block_labels, values)
            squares += values.square_().sum().item()
        counts = torch.bincount(labels, minlength=self.classes)
        means = sums / counts.clamp(min=1)[:, None]
        within = squares - (means * sums).sum().item()
        self.means = (means / 255).float()
        self.variance = torch.tensor([max(within / pixels.numel() / 255**2, _LEAST_VARIANCE)])
        self.counts = counts

    def _logits(self, images: Tensor) -> Tensor:
        # Differences, not a matrix product: with so few means it costs nothing and loses no digits.
        distances = torch.cdist(images.flatten(1), self.means, compute_mode="donot_use_mm_for_euclid_dist")
        return (distances.square() / (-2 * self.variance)).masked_fill(self.counts == 0, _NEVER)
