"""Linear models, which weight and add the pixels of an image."""

from __future__ import annotations

import math

from torch import nn

from modelzero.models.defaults import HIDDEN_UNITS


def softmax(image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Build softmax regression: flatten the image, then one linear layer.

    >>> softmax((1, 28, 28), 10)[1]
    Linear(in_features=784, out_features=10, bias=True)

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), classes))


def model0(image_shape: tuple[int, int, int], classes: int, hidden_units: int = HIDDEN_UNITS) -> nn.Sequential:
    """Build the chapter's Model 0: flatten the image, then two linear layers with nothing between them.

    Two linear maps in a row are one linear map of lower rank, so it can do no more than a single layer; the chapter
    begins with it as the simplest model.

    >>> model0((1, 28, 28), 10)[1]
    Linear(in_features=784, out_features=10, bias=True)

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
        hidden_units: width between the two layers.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(image_shape), hidden_units),
        nn.Linear(hidden_units, classes),
    )
