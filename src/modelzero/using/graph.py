"""A run as one graph: raw uint8 images in, calibrated probabilities out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Graph(nn.Module):
    """The model with scaling before it, and temperature and softmax after it.

    >>> graph = Graph(nn.Flatten(), temperature=1.0)
    >>> graph(torch.tensor([[[[0, 255]]]], dtype=torch.uint8))
    tensor([[0.2689, 0.7311]])

    Args:
        model: maps float32 [N, C, H, W] in [0, 1] to logits [N, classes].
        temperature: divides the logits.
    """

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities, float32 [N, classes], of images uint8 [N, C, H, W]."""
        logits = self.model(images.to(torch.float32) / 255)
        # Shift the largest logit to 0 before dividing: large logits would lose digits.
        return torch.softmax((logits - logits.amax(1, keepdim=True)) / self.temperature, 1)
