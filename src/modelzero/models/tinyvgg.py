"""TinyVGG, the small convolutional network of poloclub's CNN Explainer, as the chapter builds it."""

from __future__ import annotations

from torch import nn

from modelzero.errors import ModelError
from modelzero.models.convnet import channels_last
from modelzero.models.defaults import HIDDEN_UNITS


def tinyvgg(image_shape: tuple[int, int, int], classes: int, hidden_units: int = HIDDEN_UNITS) -> nn.Sequential:
    """Build the chapter's Model 2: two blocks of two 3x3 convolutions and a pooling, then one linear layer.

    >>> tinyvgg((1, 28, 28), 10)[-1]
    Linear(in_features=490, out_features=10, bias=True)

    Args:
        image_shape: channels, height and width of the images, the latter two at least 4.
        classes: how many logits come out.
        hidden_units: channels throughout.

    Raises:
        ModelError: the images are too small for two poolings.
    """
    channels, height, width = image_shape
    if min(height, width) < 4:
        raise ModelError(
            f"images of {height}x{width} pixels are too small for tinyvgg: expected at least 4x4; "
            "use a linear model, such as model0"
        )
    model = nn.Sequential(
        _block(channels, hidden_units),
        _block(hidden_units, hidden_units),
        nn.Flatten(),
        nn.Linear(hidden_units * (height // 4) * (width // 4), classes),
    )
    return channels_last(model)


def _block(channels: int, hidden_units: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, hidden_units, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),  # the same numbers, in memory that is in the cache already
        nn.Conv2d(hidden_units, hidden_units, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
