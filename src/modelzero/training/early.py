"""Early stopping: hold out a share of the training images, and keep the weights with the lowest loss on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from modelzero.data.dataset import ImageData, Split
from modelzero.data.splits import draw_test, draw_test_groups
from modelzero.errors import SettingError
from modelzero.models.asking import predict_logits
from modelzero.runs.record import Epoch, kept_of
from modelzero.training.checkpoint import Checkpoint
from modelzero.training.objective import Objective

_BEST = "best."


def hold_out(data: ImageData, share: float, seed: int) -> tuple[ImageData, Split]:
    """Divide the training split: return the data with the rest of it, and the images that are held out.

    Each class is divided, or whole groups if the training split has groups, as a test split is drawn.

    >>> import modelzero as mz
    >>> data = mz.load("digits")
    >>> rest, held_out = hold_out(data, share=0.1, seed=42)
    >>> len(data.train), len(rest.train), len(held_out)
    (1437, 1292, 145)

    Args:
        data: the images.
        share: fraction of the training split.
        seed: determines the draw.

    Raises:
        SettingError: there are too few images or groups to hold out any, or no image of a class would be left.
    """
    labels, groups = data.train.labels.numpy(), data.train.groups
    if groups is None:
        chosen = draw_test(labels, test_share=share, seed=seed)
    else:
        chosen = draw_test_groups(labels, [str(each) for each in groups.tolist()], test_share=share, seed=seed)
    held = torch.from_numpy(chosen)
    if not held.any() or len(data.train.labels[~held].unique()) < 2:
        raise SettingError(
            f"early stopping {share:g}: {len(data.train):,} training images are too few, or in too few groups, to hold "
            "some out and train on at least two classes; leave it out"
        )
    gone = sorted(set(labels.tolist()) - set(labels[~chosen].tolist()))
    if gone:
        raise SettingError(
            f"early stopping {share:g}: all training images of class {data.classes[gone[0]]!r} would be held out: "
            "expected some of each class to train on; choose another share or seed, or leave it out"
        )
    return replace(data, train=_part(data.train, ~held)), _part(data.train, held)


def _part(split: Split, chosen: Tensor) -> Split:
    names = None
    if split.names is not None:
        names = tuple(name for name, kept in zip(split.names, chosen.tolist(), strict=True) if kept)
    groups = None if split.groups is None else split.groups[chosen]
    return Split(split.images[chosen], split.labels[chosen], names, groups)


class Best:
    """The weights of the epoch with the lowest loss on the held-out images.

    Args:
        held_out: the images, on the device of the training.
        objective: the loss of the training.
        start: the checkpoint from which the training resumes.
    """

    def __init__(self, held_out: Split, objective: Objective, start: Checkpoint | None = None) -> None:
        self._held_out, self._objective = held_out, objective
        self.epoch, self.loss = 0, math.inf
        stored = {} if start is None else start.tensors
        self._weights = {name.removeprefix(_BEST): each for name, each in stored.items() if name.startswith(_BEST)}
        kept = None if start is None else kept_of(start.history)
        if kept is not None and kept.validation_loss is not None:
            self.epoch, self.loss = kept.epoch, kept.validation_loss

    def look(self, epoch: int, model: nn.Module) -> float:
        """Return the loss on the held-out images after an epoch; remember the weights if it is the lowest so far."""
        images, labels = self._held_out.images, self._held_out.labels
        with torch.no_grad():
            loss = float(self._objective(predict_logits(model, images).to(labels.device), labels))
        if loss < self.loss:
            self.epoch, self.loss = epoch, loss
            self._weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        return loss

    def state(self) -> dict[str, Tensor]:
        """Return the weights for a checkpoint, by name."""
        return {_BEST + name: tensor for name, tensor in self._weights.items()}

    def weights(self) -> Mapping[str, Tensor]:
        """Return the weights of the best epoch, by name."""
        return self._weights


def described(history: Sequence[Epoch], epochs: int, patience: int, held_out: int, images: int) -> str:
    """Say what early stopping did, from the history of a finished training.

    >>> losses = [0.5, 0.4, 0.6, 0.7]
    >>> history = [Epoch(n, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, loss) for n, loss in enumerate(losses, 1)]
    >>> described(history, epochs=9, patience=2, held_out=144, images=1437)
    'weights of epoch 2, with the lowest loss on the 144 of 1,437 training images that were held out; stopped after ...'
    """
    kept = kept_of(history)
    assert kept is not None
    end = f"all {epochs} epochs were trained"
    if len(history) < epochs:
        waited = "1 epoch" if patience == 1 else f"{patience} epochs"
        end = f"stopped after epoch {len(history)} of {epochs}, because {waited} brought no lower loss"
    return (
        f"weights of epoch {kept.epoch}, with the lowest loss on the {held_out:,} of {images:,} training images that "
        f"were held out; {end}"
    )
