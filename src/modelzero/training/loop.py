"""The training loop, top to bottom: batch, forward, loss, backward, step, count; then the test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from modelzero.data.batches import batches, epoch_order
from modelzero.data.dataset import ImageData, Split
from modelzero.errors import RunError, TrainingError
from modelzero.models.asking import layout_of, predict_logits
from modelzero.models.recipe import Recipe
from modelzero.runs.record import Epoch
from modelzero.training.bars import Progress
from modelzero.training.checkpoint import Checkpoints
from modelzero.training.device import Stopwatch, in_precision, seed_device
from modelzero.training.early import Best
from modelzero.training.objective import (
    limit_gradients,
    objective_of,
    optimizer_of,
    put_back_state,
    relative_rates,
    smaller,
    state_of,
    transformed,
)

# Steps between two checks of the losses: each check waits for the device.
_LOOK_EVERY = 64


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite.

    Args:
        message: the error message.
        epoch: counted from 1.
        step: counted from 1 within the epoch.
        tested: 1 if the test split was evaluated in this epoch, otherwise 0.
    """

    def __init__(self, message: str, epoch: int, step: int, tested: int = 0) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.tested = tested


def train_epochs(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    progress: Progress,
    checkpoints: Checkpoints,
    held_out: Split | None = None,
) -> Iterator[tuple[Epoch, Tensor]]:
    """Train the model in place; yield the figures and the test logits [N, classes] of each epoch as it ends.

    This is the loop of the chapter, with everything random a function of (seed, epoch, step): the order of the batches
    (see `epoch_order`), which images are mirrored, and, through torch's default generator, what the transform and the
    model itself draw, such as dropout. So it can resume from any step, identical to the bit. The state of the default
    generator is not restored.

    With held-out images it ends early, see `Recipe`. The model then has the weights of the best epoch, and the test
    logits that come last are theirs.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite; detected at most 64 steps later.
        RunError: a checkpoint could not be written.
        Interruption: a signal stopped it; a checkpoint is written.
    """
    model.to(device)
    train, test = (Split(split.images.to(device), split.labels.to(device)) for split in (data.train, data.test))
    optimizer = optimizer_of(recipe, model, device)
    relative = relative_rates(optimizer)
    objective = objective_of(recipe, train.labels, len(data.classes))
    steps = recipe.steps_per_epoch(len(train))
    lay_out = layout_of(model)
    start = checkpoints.start
    if start is not None:
        _put_back(start.tensors, model, optimizer)
    best = None
    if held_out is not None:
        best = Best(Split(held_out.images.to(device), held_out.labels.to(device)), objective, start)
    for epoch in range(1 if start is None else start.epoch, recipe.epochs + 1):
        progress.begin_epoch(epoch)
        tally = _Tally(epoch, steps, recipe.learning_rate)
        seconds_before = 0.0
        if start is not None and epoch == start.epoch:
            tally.put_back(start.losses, start.rights)
            seconds_before = start.train_seconds
            progress.step(min(start.step * recipe.batch_size, len(train)))
        elif epoch > 1 and checkpoints.due(epoch_ended=True):
            checkpoints.save(epoch, 0, _state(model, optimizer, best), *tally.arrays(), 0.0)
        first = tally.steps_done
        training_time = Stopwatch(device)
        model.train()
        order = epoch_order(seed, epoch - 1, len(train)).to(device)
        step_seeds = _step_seeds(seed, epoch, steps)
        for step, (images, labels) in enumerate(batches(train, recipe.batch_size, order, first), first):
            seed_device(step_seeds[step], device)
            seen = mirror_half(images, seed, epoch, step) if recipe.flip else images
            seen = shift_each(seen, recipe.shift, seed, epoch, step) if recipe.shift else seen
            seen = transformed(recipe, seen)
            if (epoch - 1) * steps + step < recipe.reduced * recipe.epochs * steps:
                seen = smaller(seen)
            rate = recipe.learning_rate_at((epoch - 1) * steps + step, recipe.epochs * steps)
            for group, share in zip(optimizer.param_groups, relative, strict=True):
                group["lr"] = rate * share
            with in_precision(recipe, device):
                logits = model(lay_out(seen))
            logits = logits.float()
            loss = objective(logits, labels)
            model.zero_grad()  # also what an optimizer of the user's own leaves out: it counts for `clip_norm`
            loss.backward()
            limit_gradients(recipe, model)
            optimizer.step()
            tally.add(loss, logits, labels)
            progress.step(len(labels))
            if checkpoints.due():
                seconds_before += training_time.seconds()
                checkpoints.save(epoch, step + 1, _state(model, optimizer, best), *tally.arrays(), seconds_before)
                training_time = Stopwatch(device)
        means = tally.means(len(train), recipe.batch_size)
        validation_loss = None
        if best is not None:
            seed_device(step_seeds[steps], device)
            validation_loss = best.look(epoch, model)
            _check_evaluation("loss on the held-out images", validation_loss, epoch, steps, recipe)
        train_seconds = seconds_before + training_time.seconds()

        test_time = Stopwatch(device)
        seed_device(step_seeds[steps], device)  # for models that also draw random numbers in evaluation
        figures, test_logits = finished_epoch(
            epoch, steps, means, predict_logits(model, test.images), data, recipe, train_seconds, test_time
        )
        is_last = epoch == recipe.epochs or (best is not None and epoch - best.epoch >= recipe.patience)
        if best is not None and is_last and best.epoch != epoch:
            _load(best.weights(), model)
            seed_device(_step_seeds(seed, best.epoch, steps)[steps], device)
            test_logits = predict_logits(model, test.images)
        yield replace(figures, validation_loss=validation_loss), test_logits
        if is_last:
            return


def _step_seeds(seed: int, epoch: int, steps: int) -> list[int]:
    """Return the seed of torch's default generator in each step of an epoch, and at last in the evaluation."""
    seeds: list[int] = np.random.SeedSequence([seed, epoch]).generate_state(steps + 1, np.uint64).tolist()
    return seeds


def _state(model: nn.Module, optimizer: torch.optim.Optimizer, best: Best | None) -> dict[str, Tensor]:
    """Return what changes with each step: weights and buffers, state of the optimizer, and the best weights so far."""
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    return {**weights, **state_of(optimizer, model), **({} if best is None else best.state())}


def _put_back(state: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    _load({name.removeprefix("model."): each for name, each in state.items() if name.startswith("model.")}, model)
    put_back_state(state, optimizer, model)


def _load(weights: Mapping[str, Tensor], model: nn.Module) -> None:
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if any(size > 1 and not stride for size, stride in zip(buffer.shape, buffer.stride(), strict=True)):
                setattr(module, name, buffer.contiguous())  # an expanded buffer cannot be copied into
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"the checkpoint belongs to another model: {' '.join(str(error).split())[:200]}") from None


def finished_epoch(
    epoch: int,
    steps: int,
    train_means: tuple[float, float, float],
    test_logits: Tensor,
    data: ImageData,
    recipe: Recipe,
    train_seconds: float,
    test_time: Stopwatch,
) -> tuple[Epoch, Tensor]:
    """Collect the figures of an epoch.

    Raises:
        NonFiniteLossError: the test loss is NaN or infinite.
    """
    figures = score(test_logits, data.test.labels, recipe.batch_size)
    train_loss, train_accuracy, train_accuracy_batch_mean = train_means
    result = Epoch(
        epoch=epoch,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        train_accuracy_batch_mean=train_accuracy_batch_mean,
        **figures,
        train_seconds=train_seconds,
        test_seconds=test_time.seconds(),
    )
    _check_evaluation("test loss", result.test_loss, epoch, steps, recipe, tested=1)
    return result, test_logits


def _check_evaluation(what: str, loss: float, epoch: int, steps: int, recipe: Recipe, tested: int = 0) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the {what} is {loss} after epoch {epoch}: expected a finite loss; "
            f"try a learning rate of {_smaller(recipe.learning_rate):g}",
            epoch,
            steps,
            tested,
        )


def check_loss(loss: float, epoch: int, step: int, steps: int, learning_rate: float) -> None:
    """Check that the loss of a step, counted from 1, is finite.

    Raises:
        NonFiniteLossError: it is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the loss became {loss} in epoch {epoch}, step {step} of {steps}: expected a finite loss; "
            f"try a learning rate of {_smaller(learning_rate):g}",
            epoch,
            step,
        )


def mirror_half(images: Tensor, seed: int, epoch: int, step: int) -> Tensor:
    """Mirror a random half of the images left to right, chosen by seed, epoch and step."""
    draws = np.random.default_rng([seed, epoch, step]).random(len(images)) < 0.5
    chosen = torch.from_numpy(draws).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def shift_each(images: Tensor, share: float, seed: int, epoch: int, step: int) -> Tensor:
    """Move each image by up to a share of its height and width, chosen by seed, epoch and step.

    >>> images = torch.arange(4.0).view(1, 1, 1, 4)
    >>> shift_each(images, 0.25, seed=0, epoch=1, step=3)
    tensor([[[[0., 0., 1., 2.]]]])
    """
    count, _, height, width = images.shape
    most = round(share * height), round(share * width)
    draws = np.random.default_rng([seed, epoch, step, 1]).integers(-np.array(most), np.array(most) + 1, (count, 2))
    by = torch.from_numpy(draws).to(images.device)
    rows = (torch.arange(height, device=images.device) + by[:, :1]).clamp_(0, height - 1)
    columns = (torch.arange(width, device=images.device) + by[:, 1:]).clamp_(0, width - 1)
    image = torch.arange(count, device=images.device)
    return images[image[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def score(logits: Tensor, labels: Tensor, batch_size: int) -> dict[str, Any]:
    """Compute the test figures of an `Epoch`: exact over the images, and as means over batches as in the chapter."""
    losses = cross_entropy(logits, labels, reduction="none")
    right = (logits.argmax(1) == labels).numpy()
    starts = np.arange(0, len(right), batch_size)
    shares = np.add.reduceat(right, starts, dtype=np.float64) / np.diff(starts, append=len(right))
    return {
        "test_loss": losses.double().mean().item(),
        "test_accuracy": float(right.mean()),
        "test_correct": int(right.sum()),
        "test_loss_batch_mean": chapter_mean(losses, batch_size),
        "test_accuracy_batch_mean": torch.from_numpy(shares).mean().item(),
    }


def chapter_mean(losses: Tensor, batch_size: int) -> float:
    """Average the mean losses of the batches as the chapter does: summed one after the other in float32.

    The rounding of that sum shows in the fifth decimal: Model 1's first test loss is 0.95636 this way, as printed,
    and 0.95637 when averaged in float64.
    """
    whole = len(losses) // batch_size * batch_size
    means = [losses[:whole].view(-1, batch_size).mean(1)]  # identical to averaging each batch by itself
    if whole < len(losses):
        means.append(losses[whole:].mean().view(1))
    batch_losses = torch.cat(means).cpu().numpy()
    return float(np.add.accumulate(batch_losses)[-1] / np.float32(len(batch_losses)))


def _smaller(learning_rate: float) -> float:
    return min(learning_rate / 10, 0.1)


class _Tally:
    """Loss and correct images of each step of an epoch, read from the device only now and then."""

    def __init__(self, epoch: int, steps: int, learning_rate: float) -> None:
        self.epoch, self.steps, self.learning_rate = epoch, steps, learning_rate
        self._losses: list[float] = []
        self._rights: list[int] = []
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def put_back(self, losses: np.ndarray[Any, Any], rights: np.ndarray[Any, Any]) -> None:
        self._losses, self._rights = losses.tolist(), rights.tolist()

    @property
    def steps_done(self) -> int:
        return len(self._losses)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self._waiting.append((loss.detach(), logits.detach(), labels))
        if len(self._waiting) == _LOOK_EVERY:
            self._look()

    def arrays(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return loss and number of correct images of each step so far, float64 and int64."""
        self._look()
        return np.array(self._losses, np.float64), np.array(self._rights, np.int64)

    def means(self, images: int, batch_size: int) -> tuple[float, float, float]:
        """Return mean batch loss, accuracy over the images, and mean batch accuracy."""
        losses, rights = self.arrays()
        sizes = np.full(self.steps, batch_size)
        sizes[-1] = images - (self.steps - 1) * batch_size
        return float(losses.mean()), float(rights.sum() / images), float((rights / sizes).mean())

    def _look(self) -> None:
        if not self._waiting:
            return
        losses, logits, labels = zip(*self._waiting, strict=True)
        self._waiting.clear()
        sizes = [len(batch) for batch in labels]
        right = (torch.cat(logits).argmax(1) == torch.cat(labels)).float().split(sizes)
        self._rights += map(int, torch.stack([batch.sum() for batch in right]).tolist())
        for loss in torch.stack(losses).tolist():
            self._losses.append(loss)
            check_loss(loss, self.epoch, len(self._losses), self.steps, self.learning_rate)
