"""Multilayer perceptrons: linear layers with a non-linearity between them."""

from __future__ import annotations

import math

from torch import nn

from modelzero.models.defaults import HIDDEN_UNITS


def model1(image_shape: tuple[int, int, int], classes: int, hidden_units: int = HIDDEN_UNITS) -> nn.Sequential:
    """Build the chapter's Model 1: Model 0 with a ReLU after each of its two layers.

    The last ReLU clips every negative logit to zero, which is why it does worse than Model 0. It is kept as in
    the chapter: "more complex" is not "better".

    >>> model1((1, 28, 28), 10)[-1]
    ReLU()

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
        hidden_units: width between the two layers.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(image_shape), hidden_units),
        nn.ReLU(),
        nn.Linear(hidden_units, classes),
        nn.ReLU(),
    )


def mlp(image_shape: tuple[int, int, int], classes: int, width: int = 256) -> nn.Sequential:
    """Build a multilayer perceptron as one would today: two wide hidden layers, a ReLU after each, none at the end.

    >>> mlp((1, 28, 28), 10)[-1]
    Linear(in_features=256, out_features=10, bias=True)

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
        width: units in each hidden layer.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(image_shape), width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )
