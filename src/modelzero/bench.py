"""Measure this machine: the chapter's loop against modelzero, seeds per minute, a ladder, images per second.

`chapter_loop` is the chapter's training cell unchanged, with Python code for each image: the slow reference.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from modelzero.climbing.climb import climb
from modelzero.data.dataset import ImageData, Split
from modelzero.errors import DataError, TrainingError
from modelzero.io.cores import available_cores
from modelzero.models.rungs import LADDER
from modelzero.runs.record import Environment
from modelzero.training.train import train

_MANY_SEEDS = 20
# The ladder that is timed: the rungs up to this one, with three seeds each.
_LAST_RUNG, _LADDER_SEEDS = "mlp", 3
_SPEEDS_OF = ("model0", "mlp", "tinyvgg", "convnet")


@dataclass(frozen=True)
class Measure:
    """One timed measure.

    Args:
        what: in words.
        unit: of the values.
        cold: the first value, which includes loading and compiling code; None if there is none.
        warm: the others.
    """

    what: str
    unit: str
    cold: float | None
    warm: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the warm values."""
        return statistics.median(self.warm)

    def as_dict(self) -> dict[str, Any]:
        """Return the values with their median and extremes."""
        return asdict(self) | {"median": self.median, "low": min(self.warm), "high": max(self.warm)}


def bench(
    data: ImageData, *, repeats: int = 5, say: Callable[[str], object] = lambda _: None
) -> tuple[list[Measure], list[Measure]]:
    """Time this machine; compared measures run alternately, and ratios are taken pair by pair.

    >>> Measure("the chapter's loop", "s", cold=3.0, warm=(2.0, 2.5, 2.1)).median
    2.1

    Args:
        data: the images, of 1 or 3 channels.
        repeats: warm measurements of each.
        say: called with the name of the current measurement.

    Returns:
        The measures, and the ratios between them.

    Raises:
        DataError: the images have neither 1 nor 3 channels.
        TrainingError: the two sides disagree, and their times cannot be compared.
    """
    if data.image_shape[0] not in (1, 3):
        raise DataError(f"{data.name} has {data.image_shape[0]} channels: expected 1 or 3, for PIL images")
    with tempfile.TemporaryDirectory() as folder:
        slow, fast, many = [], [], []
        for repeat in range(repeats + 1):
            say(f"the chapter's loop, mz.train and {_MANY_SEEDS} seeds: {repeat + 1} of {repeats + 1}")
            expected, seconds = chapter_loop(data)
            slow.append(seconds)
            found, seconds = same_training(data, folder)
            fast.append(seconds)
            if not np.allclose(found, expected, atol=1e-4, rtol=0):
                raise TrainingError(f"the chapter's loop gives {expected}, mz.train {found}: expected equal figures")
            many.append(_seconds(lambda: climb(data, ["model0"], seeds=_MANY_SEEDS, runs_dir=folder)))
        names = [rung.name for rung in LADDER]
        below = names[: names.index(_LAST_RUNG) + 1]
        ladders = []
        for repeat in range(2):
            say(f"the ladder up to {_LAST_RUNG}, {_LADDER_SEEDS} seeds: {repeat + 1} of 2")
            ladders.append(_seconds(lambda: climb(data, below, seeds=_LADDER_SEEDS, runs_dir=folder)))
        speeds = list(_speeds(data, folder, repeats, say))
    measures = [
        _measure("the chapter's loop: model 0, three epochs with evaluation", "s", slow),
        _measure("mz.train: the same, recorded", "s", fast),
        _measure(f"climb: {_MANY_SEEDS} seeds of it, recorded and compared", "s", many),
        _measure("climb: such seeds per minute", "seeds/min", [60 * _MANY_SEEDS / seconds for seconds in many]),
        _measure(f"climb: the rungs up to {_LAST_RUNG}, {_LADDER_SEEDS} seeds each", "s", ladders),
        *speeds,
    ]
    ratios = [
        _measure(
            "the chapter's loop / mz.train, the same training",
            "times",
            [a / b for a, b in zip(slow, fast, strict=True)],
        ),
        _measure(
            f"{_MANY_SEEDS} seeds by the chapter's loop / by climb",
            "times",
            [_MANY_SEEDS * a / b for a, b in zip(slow, many, strict=True)],
        ),
    ]
    return measures, ratios


def machine() -> dict[str, Any]:
    """Describe the machine and the versions that the figures depend on."""
    return Environment.here(available_cores(), "cpu").as_dict() | {"cores": available_cores()}


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """The path of each image through torchvision's FashionMNIST and ToTensor, written out: array, PIL, tensor."""

    def __init__(self, split: Split) -> None:
        self.images = split.images.permute(0, 2, 3, 1).squeeze(3).contiguous()  # [N, H, W], or [N, H, W, 3]
        self.targets = split.labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        opened = Image.fromarray(self.images[index].numpy())
        tensor = torch.from_numpy(np.array(opened, copy=True)).view(*opened.size[::-1], len(opened.getbands()))
        return tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.targets[index])


class ModelV0(nn.Module):
    """The chapter's FashionMNISTModelV0."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.layer_stack = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 10), nn.Linear(10, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.layer_stack(x)  # type: ignore[no-any-return]


def chapter_loop(
    data: ImageData, make: Callable[[], nn.Module] | None = None, epochs: int = 3
) -> tuple[list[tuple[float, float, float]], float]:
    """Run the chapter's training cell unchanged.

    Args:
        data: the images.
        make: builds the model instead of model 0.
        epochs: the chapter's three.

    Returns:
        For each epoch what the chapter prints (means over the batches of training loss, test loss and test accuracy in
        percent), and the seconds in total.
    """
    torch.manual_seed(42)
    model = make() if make else ModelV0(data.train.images[0].numel(), len(data.classes))
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    train_dataloader = DataLoader(ImageDataset(data.train), batch_size=32, shuffle=True)
    test_dataloader = DataLoader(ImageDataset(data.test), batch_size=32, shuffle=False)
    torch.manual_seed(42)
    figures = []
    start = time.perf_counter()
    for _ in range(epochs):
        train_loss: Any = 0
        for x, y in train_dataloader:
            model.train()
            loss = loss_fn(model(x), y)
            train_loss += loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        train_loss /= len(train_dataloader)
        test_loss: Any = 0
        test_acc = 0.0
        model.eval()
        with torch.inference_mode():
            for x, y in test_dataloader:
                test_pred = model(x)
                test_loss += loss_fn(test_pred, y)
                test_acc += torch.eq(y, test_pred.argmax(dim=1)).sum().item() / len(test_pred) * 100
            test_loss /= len(test_dataloader)
            test_acc /= len(test_dataloader)
        figures.append((train_loss.item(), test_loss.item(), test_acc))
    return figures, time.perf_counter() - start


def same_training(
    data: ImageData, runs_dir: str | Path, model: str = "model0", **settings: Any
) -> tuple[list[tuple[float, float, float]], float]:
    """Train the same with `mz.train`; return the same figures, and the seconds including the record."""
    start = time.perf_counter()
    run = train(data, model, **{"epochs": 3, "batch_size": 32, "learning_rate": 0.1, "runs_dir": runs_dir, **settings})
    seconds = time.perf_counter() - start
    return [(e.train_loss, e.test_loss_batch_mean, 100 * e.test_accuracy_batch_mean) for e in run.history], seconds


def _speeds(data: ImageData, folder: str, repeats: int, say: Callable[[str], object]) -> Iterator[Measure]:
    """Measure the images per second of training and of testing."""
    for name in _SPEEDS_OF:
        training, testing = [], []
        for repeat in range(repeats + 1):
            say(f"{name}: {repeat + 1} of {repeats + 1}")
            run = train(data, name, epochs=1, runs_dir=folder, progress=False)
            training.append(len(data.train) / run.history[0].train_seconds)
            testing.append(len(data.test) / run.history[0].test_seconds)
        yield _measure(f"mz.train: {name}, training images", "images/s", training)
        yield _measure(f"mz.train: {name}, test images", "images/s", testing)


def _measure(what: str, unit: str, values: list[float]) -> Measure:
    return Measure(what, unit, values[0], tuple(values[1:]))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
