"""Repeat the tutorial chapter step by step, and compare its printed figures with ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modelzero.data.dataset import ImageData
from modelzero.models.build import build
from modelzero.models.linear import model0
from modelzero.models.rungs import Rung, rung_named
from modelzero.runs.record import Epoch
from modelzero.runs.run import Run
from modelzero.training.bars import Silence
from modelzero.training.train import train

SEED, EPOCHS, BATCH_SIZE, LEARNING_RATE = 42, 3, 32, 0.1
_PROGRESS_EVERY_BATCHES = 400
# The chapter ran TinyVGG on a GPU, whose rounding differs from a CPU's from the first step on.
_TINYVGG_POINTS = 1.0


class FashionMNISTModelV0(nn.Module):
    """The chapter's Model 0, made of the layers of ours, so that its text and its tensors have the chapter's names.

    >>> list(FashionMNISTModelV0(model0((1, 28, 28), 10)).state_dict())
    ['layer_stack.1.weight', 'layer_stack.1.bias', 'layer_stack.2.weight', 'layer_stack.2.bias']

    Args:
        layers: our model0.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layer_stack = layers

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, classes] of images [B, C, H, W] in [0, 1]."""
        logits: Tensor = self.layer_stack(images)
        return logits


class FashionMNISTModelV1(FashionMNISTModelV0):
    """The chapter's Model 1, made of the layers of our model1."""


class FashionMNISTModelV2(nn.Module):
    """The chapter's Model 2, made of the layers of our tinyvgg.

    >>> from modelzero.models.tinyvgg import tinyvgg
    >>> list(FashionMNISTModelV2(tinyvgg((1, 28, 28), 10)).state_dict())
    ['block_1.0.weight', 'block_1.0.bias', 'block_1.2.weight', ..., 'classifier.1.weight', 'classifier.1.bias']

    Args:
        layers: our tinyvgg. Its ReLUs no longer write in place afterwards, as in the chapter: the numbers are the same.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.block_1, self.block_2, *last = layers
        self.classifier = nn.Sequential(*last)
        for layer in self.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, classes] of images [B, C, H, W] in [0, 1]."""
        logits: Tensor = self.classifier(self.block_2(self.block_1(images)))
        return logits


# Our names of the chapter's models, and its own.
_CLASSES = {"model0": FashionMNISTModelV0, "model1": FashionMNISTModelV1, "tinyvgg": FashionMNISTModelV2}
_CHAPTER_RUNS = list(_CLASSES)


@dataclass(frozen=True)
class Figure:
    """A figure that the chapter prints, and ours.

    Args:
        name: what it is.
        printed: the chapter's.
        found: ours, rounded as the chapter prints it.
        matches: whether they agree.
        decimals: how many the chapter prints; None for whole numbers.
        rule: how they were compared.
    """

    name: str
    printed: Any
    found: Any
    matches: bool
    decimals: int | None = None
    rule: str = "equal to the printed digits"


@dataclass(frozen=True)
class Section:
    """A step of the chapter: a title (empty if it continues the previous step), its output and its figures."""

    title: str
    lines: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    run: Run | None = None


def printed() -> dict[str, Any]:
    """Return every figure that the chapter prints, from the package's `chapter.json`."""
    content: dict[str, Any] = json.loads(files("modelzero").joinpath("chapter.json").read_text(encoding="utf-8"))
    return content


def as_in_chapter(name: str, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build a model as it is before its training, after `torch.manual_seed(42)`, as an instance of the chapter's class.

    >>> as_in_chapter("model0", (1, 28, 28), 10)
    FashionMNISTModelV0(
      (layer_stack): Sequential(
        (0): Flatten(start_dim=1, end_dim=-1)
        (1): Linear(in_features=784, out_features=10, bias=True)
        (2): Linear(in_features=10, out_features=10, bias=True)
      )
    )

    Args:
        name: ours: model0, model1 or tinyvgg.
        image_shape: channels, height and width of the images.
        classes: number of logits.

    Raises:
        ModelError: the images are too small for tinyvgg.
    """
    layers = build(rung_named(name).make, image_shape, classes, seed=SEED)
    return _CLASSES[name](layers)  # type: ignore[arg-type]  # these three are sequences


def walk(data: ImageData, *, runs_dir: str | Path = "runs", say: Callable[[str], None]) -> Iterator[Section]:
    """Run the chapter on Fashion-MNIST; yield each section when it is done.

    Args:
        data: Fashion-MNIST.
        runs_dir: the folder for the runs of the three models.
        say: called with the chapter's progress lines while a model trains.
    """
    figures = printed()
    yield _flatten(data, figures["flatten"])
    yield from _model0(data, figures["model0"])
    runs = []
    epochs_printed = {
        "model0": figures["model0"]["training"]["epochs_printed"],
        "model1": figures["model1"]["epochs_printed"],
        "tinyvgg": figures["tinyvgg"]["epochs_printed_on_a_gpu"],
    }
    for name in _CHAPTER_RUNS:
        lines = []
        if name != "model0":  # which was shown before
            model = as_in_chapter(name, data.image_shape, len(data.classes))
            lines = [*repr(model).splitlines(), *_tensors(model)]
        chapters = _CLASSES[name].__name__
        yield Section(f"Training {chapters} (here {name}): {EPOCHS} epochs, batches of {BATCH_SIZE}", lines)
        run = train(
            data,
            Rung(name, rung_named(name).make),  # with the chapter's recipe, even if the ladder has another
            epochs=EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            seed=SEED,
            device="cpu",
            runs_dir=runs_dir,
            progress=_Lines(say, len(data.train)),
        )
        runs.append(run)
        yield _trained(name, run, epochs_printed[name])
    yield _comparison(runs, figures["comparison_printed"])


def _flatten(data: ImageData, expected: dict[str, Any]) -> Section:
    image = data.train.images[0]
    flat = nn.Flatten()(image)
    before, after = list(image.shape), list(flat.shape)
    return Section(
        "Flattening an image",
        [f"before: {before}  [channels, height, width]", f"after:  {after}  [channels, height * width]"],
        [
            _equal("shape before flattening", expected["before"], before, None),
            _equal("shape after flattening", expected["after"], after, None),
        ],
    )


def _model0(data: ImageData, expected: dict[str, Any]) -> Iterator[Section]:
    classes = len(data.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = FashionMNISTModelV0(model0(data.image_shape, classes))
        sample = torch.rand(1, *data.image_shape)  # drawn right after building, as in the chapter
    with torch.inference_mode():
        logits = model(sample)[0].tolist()
    name = "forward_of_torch_rand_1_1_28_28_drawn_right_after_building"
    yield Section(
        "Model 0 and one forward pass",
        [*repr(model).splitlines(), "logits of torch.rand(1, 1, 28, 28): " + _numbers(logits)],
        [_equal("logits of the drawn sample", expected[name], logits, 4)],
    )
    built = as_in_chapter("model0", data.image_shape, classes)
    tensors = {key: tensor.tolist() for key, tensor in built.state_dict().items()}
    first = tensors["layer_stack.1.weight"]
    rows = expected["first_weight_first_and_last_three_of_row"]
    yield Section(
        "Its state_dict after torch.manual_seed(42): name, shape, first row",
        _tensors(built),
        [
            _equal(
                "first layer's weights",
                list(rows.values()),
                [[*first[int(row)][:3], *first[int(row)][-3:]] for row in rows],
                4,
            ),
            _equal("first layer's bias", expected["first_bias"], tensors["layer_stack.1.bias"], 4),
            _equal("second layer's weights", expected["second_weight"], tensors["layer_stack.2.weight"], 4),
            _equal("second layer's bias", expected["second_bias"], tensors["layer_stack.2.bias"], 4),
        ],
    )


def _trained(name: str, run: Run, epochs_printed: list[dict[str, float]]) -> Section:
    figures = []
    for epoch, expected in zip(run.history, epochs_printed, strict=True):
        found = {
            "train_loss": epoch.train_loss,
            "train_acc": 100 * epoch.train_accuracy_batch_mean,
            "test_loss": epoch.test_loss_batch_mean,
            "test_acc": 100 * epoch.test_accuracy_batch_mean,
        }
        if name == "tinyvgg":
            if epoch is run.history[-1]:
                figures = [_near(f"{name}, epoch {epoch.epoch}: test_acc", expected["test_acc"], found["test_acc"])]
            continue
        # The chapter prints model 0 with four decimals, model 1 with five (losses) and two (accuracies).
        decimals = {"loss": 4, "acc": 4} if name == "model0" else {"loss": 5, "acc": 2}
        figures += [
            _equal(f"{name}, epoch {epoch.epoch}: {key}", value, found[key], decimals[key.rpartition("_")[2]])
            for key, value in expected.items()
        ]
    test_seconds = sum(epoch.test_seconds for epoch in run.history)
    threads = run.record.environment.threads
    line = f"Train time on cpu: {run.train_seconds:.3f} seconds with {threads} thread{'s' * (threads > 1)}"
    lines = [f"{line}, and {test_seconds:.3f} for the evaluations after each epoch"]
    return Section("", lines, figures, run)


def _comparison(runs: list[Run], expected: list[dict[str, Any]]) -> Section:
    lines = [f"{'model':20}{'loss':>10}{'accuracy':>12}{'seconds':>9}   (the chapter: loss, accuracy, seconds)"]
    figures = []
    for run, row in zip(runs, expected, strict=False):
        last = run.history[-1]
        loss, accuracy = last.test_loss_batch_mean, 100 * last.test_accuracy_batch_mean
        seconds = run.train_seconds + sum(epoch.test_seconds for epoch in run.history)
        lines.append(
            f"{_CLASSES[row['model']].__name__:20}{loss:10.6f}{accuracy:10.4f} %{seconds:9.2f}"
            f"   ({row['loss']:.6f}, {row['acc']:.4f} %, {row['train_seconds']:.2f})"
        )
        if row["model"] != "tinyvgg":
            figures += [
                _equal(f"comparison, {row['model']}: loss", row["loss"], loss, 6),
                _equal(f"comparison, {row['model']}: accuracy", row["acc"], accuracy, 6),
            ]
    lines.append("The chapter's seconds are from another machine: they are shown, not compared.")
    return Section("The comparison", lines, figures)


def _equal(name: str, expected: Any, found: Any, decimals: int | None) -> Figure:
    shown = found if decimals is None else _rounded(found, decimals)
    return Figure(name, expected, shown, shown == expected, decimals)


def _near(name: str, expected: float, found: float) -> Figure:
    rule = f"within {_TINYVGG_POINTS:g} point: the chapter ran this model on a GPU"
    return Figure(name, expected, round(found, 2), abs(found - expected) <= _TINYVGG_POINTS, 2, rule)


def _rounded(value: Any, decimals: int) -> Any:
    return [_rounded(item, decimals) for item in value] if isinstance(value, list) else round(value, decimals)


def _tensors(model: nn.Module) -> list[str]:
    """List the tensors of a model: name, shape, and the first row, of a long one the first and last three numbers."""
    lines = []
    for name, tensor in model.state_dict().items():
        row = tensor.reshape(-1, tensor.shape[-1])[0].tolist()
        shown = _numbers(row) if len(row) <= 10 else f"{_numbers(row[:3])} ... {_numbers(row[-3:])}"
        lines.append(f"{name:21}{list(tensor.shape)!s:17}{shown}")
    return lines


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:7.4f}" for value in values)


class _Lines(Silence):
    """The chapter's progress lines: epoch, "Looked at ... samples" every 400 batches, figures at the end."""

    def __init__(self, say: Callable[[str], None], images: int) -> None:
        self._say, self._images = say, images
        self._seen = 0

    def begin_epoch(self, epoch: int) -> None:
        self._seen = 0
        self._say(f"Epoch: {epoch - 1}")

    def step(self, images: int) -> None:
        every = _PROGRESS_EVERY_BATCHES * BATCH_SIZE
        before, self._seen = self._seen, self._seen + images
        for passed in range(-(-before // every) * every, self._seen, every):  # many batches may be done at once
            self._say(f"Looked at {passed}/{self._images} samples")

    def end_epoch(self, epoch: Epoch) -> None:
        self._say(
            f"Train loss: {epoch.train_loss:.5f} | Test loss: {epoch.test_loss_batch_mean:.5f}, "
            f"Test acc: {100 * epoch.test_accuracy_batch_mean:.2f}%"
        )
