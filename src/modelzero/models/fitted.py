"""Models that are fitted in one go instead of trained by gradient steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from modelzero.data.dataset import Split
from modelzero.errors import ModelError


class Fitted(nn.Module):
    """A model without parameters: `fit` learns everything from the training split, and buffers hold it.

    A subclass registers empty buffers, fills them in `fit` and turns images into logits in `_logits`.

    >>> from modelzero.models.trivial import Majority
    >>> model = Majority((1, 2, 2), classes=3)
    >>> model.fit(Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 2, 2, 2])), seed=0)
    >>> model(torch.zeros(5, 1, 2, 2)).argmax(1)
    tensor([2, 2, 2, 2, 2])

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
    """

    random: bool = False  # whether fitting draws random numbers, so that another seed gives another model
    is_light: bool = False  # whether fitting and predicting take less time than starting a process, on any images
    guesses: bool = False  # whether it ignores the images on purpose: then not learning is no failure

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.classes = classes

    def fit(self, split: Split, seed: int) -> None:
        """Learn from the training split; the same split and seed give the same bits."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the settings by name, as stored in the record."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the `state_dict` of a fitted model; `load_state_dict` cannot, as the shapes before fitting differ.

        Raises:
            ModelError: the names of the tensors are not those of this model's buffers.
        """
        own = dict(self.named_buffers())
        if own.keys() != tensors.keys():
            raise ModelError(
                f"stored tensors {', '.join(sorted(tensors)) or 'none'}: expected {', '.join(sorted(own))} of a fitted "
                f"{type(self).__name__}; load the file of the same model"
            )
        for name, buffer in own.items():
            setattr(self, name, tensors[name].to(buffer.device))

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits [B, classes] for images [B, C, H, W] in [0, 1], each pixel a uint8 / 255.

        Raises:
            ModelError: the model is neither fitted nor loaded yet.
        """
        if any(buffer.numel() == 0 for buffer in self.buffers()):
            raise ModelError(f"this {type(self).__name__} is not fitted yet: call fit or load first")
        return self._logits(images)

    def _learned(self, *names: str) -> None:
        for name in names:
            self.register_buffer(name, torch.empty(0))

    def _logits(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def to_pixels(images: Tensor) -> Tensor:
    """Turn images [B, C, H, W] in [0, 1] back into whole numbers from 0 to 255, float32 [B, C * H * W]."""
    return images.flatten(1).mul(255).round_()
