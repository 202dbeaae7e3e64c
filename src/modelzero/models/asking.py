"""Run a module on batches of images, in the memory layout that is fastest for its convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from modelzero.data.batches import to_float

# Images per batch of an evaluation, independent of the batch size of the training.
_TEST_BATCH = 512


def predict_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits [N, classes] of images uint8 [N, C, H, W], on the CPU, without gradients."""
    model.eval()
    lay_out = layout_of(model)
    held = next(itertools.chain(model.parameters(), model.buffers()), None)
    images = images if held is None else images.to(held.device)
    with torch.inference_mode():
        logits = torch.cat([model(lay_out(to_float(some))) for some in images.split(_TEST_BATCH)]).float().cpu()
    return logits.clone()  # callers cannot compute gradients with a tensor of inference mode


def layout_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function that brings images into the fastest memory layout for a model's convolutions."""
    return as_channels_last if is_channels_last(model) else _unchanged


def is_channels_last(model: nn.Module) -> bool:
    """Return whether a model has convolutions whose weights lie channels-last."""
    weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    return any(w.is_contiguous(memory_format=torch.channels_last) and not w.is_contiguous() for w in weights)


def as_channels_last(images: Tensor) -> Tensor:
    """Lay out images [B, C, H, W] channels-last; with a single channel only the strides change.

    Without these strides torch copies the images: a step of tinyvgg takes 3.0 ms instead of 2.3.

    >>> as_channels_last(torch.zeros(2, 1, 28, 28)).stride()
    (784, 1, 28, 1)
    """
    _, channels, height, width = images.shape
    if channels > 1:
        return images.contiguous(memory_format=torch.channels_last)
    return images.contiguous().as_strided(images.shape, (height * width, 1, width, 1))


def _unchanged(images: Tensor) -> Tensor:
    return images
