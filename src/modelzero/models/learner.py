"""One interface to train, run and store every kind of model.

There are three kinds: a module trained by gradient steps, a module fitted in one go, and a scikit-learn classifier.
Nothing outside of `models` distinguishes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from modelzero.data.dataset import Split
from modelzero.errors import ModelError
from modelzero.models import skops_file
from modelzero.models.asking import predict_logits
from modelzero.models.build import build
from modelzero.models.classifier import Classifier, guesses, is_classifier, rows_of, scores, settings
from modelzero.models.defaults import HIDDEN_UNITS
from modelzero.models.fitted import Fitted
from modelzero.models.graphs import exportable
from modelzero.models.rungs import Rung
from modelzero.models.standardise import Standardise, standardised
from modelzero.models.summary import Layer, layers, parameters
from modelzero.models.whiten import Whiten

Epoch = TypeVar("Epoch", covariant=True)


class Trainer(Protocol[Epoch]):
    """Trains a learner; yields the figures and the test logits [N, classes] of each epoch."""

    def by_steps(self, module: nn.Module) -> Iterator[tuple[Epoch, Tensor]]:
        """Train a module by gradient steps."""

    def in_one_go(self, learner: Learner) -> Iterator[tuple[Epoch, Tensor]]:
        """Fit a learner once, and evaluate it once."""


class Learner:
    """A model that can be trained, run and stored; `learner_of` builds one.

    >>> import torch
    >>> from modelzero.models.rungs import rung_named
    >>> learner = learner_of(rung_named("majority"), (1, 1, 2), classes=3)
    >>> learner.by_steps, learner.random, learner.settings()
    (False, False, {})
    >>> learner.fit(Split(torch.zeros(3, 1, 1, 2, dtype=torch.uint8), torch.tensor([0, 2, 2])))
    >>> learner.logits(torch.zeros(1, 1, 1, 2, dtype=torch.uint8)).argmax(1)
    tensor([2])

    Args:
        model: the module or classifier.
        classes: number of logits.
        seed: seed of a fit.
    """

    kind = "stepped"  # its name in the recipe of a record
    by_steps = False  # whether it is trained by gradient steps: with epochs, batches and a learning rate
    random: bool | None = None  # whether another seed gives another model; None if only trainings can tell

    def __init__(self, model: Any, classes: int, seed: int) -> None:
        self.model, self.classes, self.seed = model, classes, seed

    def settings(self) -> dict[str, Any]:
        """Return the settings by name, as stored in the record."""
        return {}

    def train(self, trainer: Trainer[Epoch]) -> Iterator[tuple[Epoch, Tensor]]:
        """Train the model; yield the figures and the test logits [N, classes] of each epoch."""
        return trainer.in_one_go(self)

    def fit(self, split: Split) -> None:
        """Fit a model without gradient steps to the training split."""
        raise NotImplementedError

    def measure(self, split: Split) -> None:
        """Take from the training split what a model needs before its gradient steps; repeating it changes nothing."""

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits, float32 [N, classes], of images uint8 [N, C, H, W], on the CPU."""
        return predict_logits(self.model, images)

    def tensors(self) -> dict[str, Tensor] | None:
        """Return the learned tensors by name; None if a model has none.

        Shared weights are returned once, under the first of their names. (`safetensors.torch.save_model` keeps an
        arbitrary one.)
        """
        tensors, seen = {}, set()
        for name, tensor in self.model.state_dict().items():
            where = _place(tensor)
            if where not in seen or not tensor.numel():
                tensors[name] = tensor.detach().clone()
            seen.add(where)
        return tensors

    def as_file(self) -> bytes | None:
        """Return the content of a file of skops; None if `tensors` returns all, or skops is not installed.

        Raises:
            ModelError: skops cannot store the model.
        """
        return None

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned, and switch to evaluation mode.

        Raises:
            ModelError: the tensors are of another model.
        """
        raise NotImplementedError

    def parameters(self) -> int | None:
        """Count the learned numbers; None if unknown, as for some kinds before a fit."""
        return None

    def guesses(self) -> bool:
        """Return whether the model ignores the images on purpose."""
        return False

    def trained(self) -> Learner:
        """Return the learner in evaluation mode."""
        self.model.eval()
        return self

    def layers(self, image_shape: tuple[int, int, int]) -> list[Layer]:  # noqa: ARG002 - the other kinds use it
        """List the layers in execution order; empty for models without layers."""
        return []

    def as_graph(self) -> nn.Module:
        """Return a module that torch can export, which maps images in [0, 1] to logits, on the CPU.

        Raises:
            ModelError: the model cannot be exported.
        """
        return exportable(self.model)


class _Stepped(Learner):
    """A module that is trained by gradient steps."""

    by_steps = True
    random = True  # weights and batches are drawn

    def train(self, trainer: Trainer[Epoch]) -> Iterator[tuple[Epoch, Tensor]]:
        return trainer.by_steps(self.model)

    def measure(self, split: Split) -> None:
        for layer in self.model.modules():
            if isinstance(layer, Standardise | Whiten):
                layer.measure(split)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        first: dict[Any, Tensor] = {}
        whole = {}
        for name, own in self.model.state_dict().items():
            if name in tensors:
                first.setdefault(_place(own), tensors[name])
            whole[name] = tensors.get(name, first.get(_place(own)))
        if tensors.keys() - whole.keys() or any(each is None for each in whole.values()):
            raise ModelError(
                f"stored tensors {', '.join(sorted(tensors))}: expected those of a {type(self.model).__name__}, "
                f"{', '.join(whole)}"
            )
        self.model.load_state_dict(whole)
        self.model.eval()

    def parameters(self) -> int | None:
        return parameters(self.model)

    def layers(self, image_shape: tuple[int, int, int]) -> list[Layer]:
        return layers(self.model, image_shape)


class _Fitted(Learner):
    """A module that is fitted in one go."""

    kind = "fitted"

    def __init__(self, model: Fitted, classes: int, seed: int) -> None:
        super().__init__(model, classes, seed)
        self.random = model.random

    def settings(self) -> dict[str, Any]:
        return dict(self.model.settings())

    def fit(self, split: Split) -> None:
        self.model.fit(split, self.seed)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.model.load(tensors)
        self.model.eval()

    def parameters(self) -> int | None:
        return sum(buffer.numel() for buffer in self.model.buffers()) or None

    def guesses(self) -> bool:
        return bool(self.model.guesses)


class _Estimator(Learner):
    """A classifier of scikit-learn, or a similar one."""

    kind = "classifier"
    model: Classifier

    def settings(self) -> dict[str, Any]:
        return settings(self.model)

    def fit(self, split: Split) -> None:
        self.model.fit(rows_of(split.images), split.labels.numpy())

    def logits(self, images: Tensor) -> Tensor:
        return scores(self.model, rows_of(images), self.classes)

    def tensors(self) -> dict[str, Tensor] | None:
        return None

    def as_file(self) -> bytes | None:
        return skops_file.as_file(self.model) if skops_file.is_installed() else None

    def trained(self) -> Learner:
        return self

    def guesses(self) -> bool:
        return guesses(self.model)

    def as_graph(self) -> nn.Module:
        raise ModelError(
            f"a {type(self.model).__name__} is a classifier of scikit-learn: expected a torch module to export; "
            "export the classifier itself, for example with skl2onnx"
        )


def learner_from(content: bytes, classes: int, seed: int, trusted: Sequence[str] = ()) -> Learner:
    """Return the fitted learner of a file that `Learner.as_file` wrote.

    Raises:
        ModelError, ValueError: see `modelzero.models.skops_file.from_file`.
    """
    model = skops_file.from_file(content, trusted)
    if not is_classifier(model):
        raise ValueError(f"it holds a {type(model).__name__}, not a classifier")
    return _Estimator(model, classes, seed)


def learner_of(
    rung: Rung,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    hidden_units: int = HIDDEN_UNITS,
    seed: int = 42,
    is_new: bool = True,
) -> Learner:
    """Build a rung's model, with the weights that follow from the seed.

    Args:
        rung: the rung.
        image_shape: channels, height and width of the images.
        classes: number of classes.
        hidden_units: width of the chapter's models.
        seed: of the weights.
        is_new: whether a training of it may be begun, so that a network that returns probabilities is refused.

    Raises:
        ModelError: see `build`.
    """
    why = "the loss applies a softmax itself"
    if rung.loss is not None:
        why = "modelzero's test loss and probabilities need them, whatever your loss does"
    model = build(
        rung.make,
        image_shape,
        classes,
        hidden_units=hidden_units,
        seed=seed,
        needs_logits=why if is_new else None,
    )
    if rung.standardise and isinstance(model, nn.Module) and not isinstance(model, Fitted):
        model = standardised(model, image_shape[0])
    if isinstance(model, Fitted):
        return _Fitted(model, classes, seed)
    return _Stepped(model, classes, seed) if isinstance(model, nn.Module) else _Estimator(model, classes, seed)


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Identify the memory of a tensor, which shared weights have in common."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype
