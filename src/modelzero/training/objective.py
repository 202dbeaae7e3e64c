"""What a step of a training does besides the model: images changed, loss, gradients limited, weights changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from modelzero.data.batches import to_float
from modelzero.data.dataset import ImageData
from modelzero.errors import RunError, SettingError
from modelzero.models.build import describe
from modelzero.models.recipe import Recipe
from modelzero.models.summary import evaluating
from modelzero.training.sgd import SGD, AdamW

Objective = Callable[[Tensor, Tensor], Tensor]
# Height and width of the images in the steps that are `reduced`.
_REDUCED_TO = 0.75
# Beginnings of the names of tensors in a checkpoint: the state of each weight, as tensors and as numbers, and numbers
# of the groups of weights.
_MOMENTUM, _STATE, _NUMBER, _GROUP = "momentum", "optimizer", "number", "group"


def optimizer_of(recipe: Recipe, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """Create the optimizer of a recipe for a model.

    Raises:
        SettingError: a function of the user's own does not return an optimizer of the model's parameters that has a
            learning rate and a step without a closure.
    """
    # On a CPU, gathering the tensors into lists costs more time than it saves.
    settings: dict[str, Any] = {
        "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay, "foreach": device.type != "cpu",
    }  # fmt: skip
    if recipe.optimizer == "sgd":
        return SGD(model.parameters(), momentum=recipe.momentum, nesterov=recipe.nesterov, **settings)
    if isinstance(recipe.optimizer, str):
        return AdamW(model.parameters(), **settings)
    name = f"optimizer {recipe.recipe()['optimizer']!r}"
    try:
        made = recipe.optimizer(list(model.parameters()))
    except Exception as error:
        raise SettingError(f"{name} cannot be created: {describe(error)}") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise SettingError(f"{name} returned a {type(made).__name__}: expected a torch.optim.Optimizer")
    if not all(float(group.get("lr") or 0) > 0 for group in made.param_groups):  # None: it finds its own steps
        raise SettingError(f"{name} has no learning rate: expected one above 0 in each of its groups")
    if any(each.default is each.empty for each in _named(inspect.signature(made.step))):
        raise SettingError(f"{name} has a step that needs a closure: expected one that is called without, as Adam's is")
    return made


def _named(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [each for each in signature.parameters.values() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def relative_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """Return the learning rate of each group of an optimizer as a multiple of that of the first.

    >>> weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    >>> relative_rates(torch.optim.SGD([{"params": weights[0]}, {"params": weights[1], "lr": 0.5}], lr=0.25))
    [1.0, 2.0]
    """
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    return [rate / rates[0] for rate in rates]


def objective_of(recipe: Recipe, labels: Tensor, classes: int) -> Objective:
    """Return the loss of a recipe, as a function of logits [B, classes] and labels [B].

    Args:
        recipe: the recipe.
        labels: the labels of all training images, on the device of the training.
        classes: number of classes.
    """
    if recipe.loss is not None:
        return recipe.loss
    weights, smoothing = class_weights(recipe, labels.cpu().numpy(), classes), recipe.label_smoothing
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=labels.device)
    return lambda logits, labels: cross_entropy(logits, labels, weight=weight, label_smoothing=smoothing)


def class_weights(recipe: Recipe, labels: NDArray[np.int64], classes: int) -> list[float] | None:
    """Return the weight of each class; None if all count equally. A class without training images has 0.

    >>> class_weights(Recipe(class_weights="balanced"), np.array([0, 0, 0, 1]), 2)
    [0.666..., 2.0]
    """
    if recipe.class_weights != "balanced":
        return None if recipe.class_weights is None else [float(each) for each in recipe.class_weights]
    counts = np.bincount(labels, minlength=classes)
    present = int(np.count_nonzero(counts))
    return [len(labels) / (present * count) if count else 0.0 for count in counts.tolist()]


def transformed(recipe: Recipe, images: Tensor) -> Tensor:
    """Change a training batch, float32 [B, C, H, W] in [0, 1], as the recipe's `transform` does.

    Raises:
        SettingError: the batch that comes back has another shape or type.
    """
    if recipe.transform is None:
        return images
    shape = images.shape  # it may be changed in place
    after = recipe.transform(images)
    found = f"{after.dtype} {list(after.shape)}" if isinstance(after, Tensor) else f"a {type(after).__name__}"
    if not isinstance(after, Tensor) or after.shape != shape or after.dtype != torch.float32:
        raise SettingError(
            f"transform {recipe.recipe()['transform']!r} returned {found}: expected torch.float32 {list(shape)}, the "
            "shape of its batch"
        )
    return after


def smaller(images: Tensor) -> Tensor:
    """Reduce images [B, C, H, W] to three quarters of their height and width, by bilinear interpolation.

    >>> smaller(torch.zeros(2, 3, 32, 28)).shape
    torch.Size([2, 3, 24, 21])
    """
    size = [max(1, round(_REDUCED_TO * side)) for side in images.shape[2:]]
    return interpolate(images, size=size, mode="bilinear", align_corners=False)


def limit_gradients(recipe: Recipe, model: nn.Module) -> None:
    """Scale the gradients down if their norm is above the recipe's `clip_norm`."""
    if recipe.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), recipe.clip_norm)


def check_parts(recipe: Recipe, model: nn.Module, data: ImageData) -> None:
    """Try the parts of a recipe that are the user's own, on two images; it may draw random numbers.

    Raises:
        SettingError: one of them fails or returns something else than expected, or the number of class weights is not
            that of the classes.
    """
    weights, classes = recipe.class_weights, len(data.classes)
    if weights is not None and weights != "balanced" and len(weights) != classes:
        raise SettingError(f"{len(weights)} class weights for {classes} classes: expected one for each class")
    optimizer = optimizer_of(recipe, model, torch.device("cpu"))
    if not isinstance(recipe.optimizer, str):
        _check_state(recipe, model, optimizer)
    if recipe.transform is not None:
        try:
            transformed(recipe, to_float(data.train.images[:2]))
        except SettingError:
            raise
        except Exception as error:
            raise SettingError(f"transform {recipe.recipe()['transform']!r} fails: {describe(error)}") from error
    if recipe.reduced:
        images = smaller(to_float(data.train.images[:2]))
        try:
            with torch.no_grad(), evaluating(model):
                model(images)
        except Exception as error:
            raise SettingError(
                f"reduced {recipe.reduced:g}: expected a model that takes images of any size, but on "
                f"{list(images.shape)} it fails: {describe(error)}"
            ) from error
    if recipe.loss is not None:
        name = f"loss {recipe.recipe()['loss']!r}"
        labels = data.train.labels[:2].clone()
        try:
            loss = recipe.loss(torch.zeros(len(labels), classes, requires_grad=True), labels)
        except Exception as error:
            raise SettingError(f"{name} fails on logits [{len(labels)}, {classes}]: {describe(error)}") from error
        found = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
            without = " without gradient" if isinstance(loss, Tensor) and not loss.requires_grad else ""
            raise SettingError(f"{name} returned {found}{without}: expected a scalar tensor with a gradient")


def state_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return what an optimizer remembers from step to step, by name.

    These are the tensors and numbers that it keeps for each weight, and the numbers of each of its groups.

    Raises:
        RunError: it remembers something else, without which a resumed training would differ.
    """
    if lost := _lost(optimizer, set(model.parameters())):
        raise RunError(f"the optimizer keeps {lost}: no checkpoint can hold that; choose another optimizer")
    state = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                state[f"{_MOMENTUM}.{name}" if key == "momentum_buffer" else f"{_STATE}.{key}.{name}"] = value
            elif isinstance(value, int | float):
                state[f"{_NUMBER}.{key}.{name}"] = _as_tensor(value)
    if not isinstance(optimizer, SGD | AdamW):  # whose groups have the settings of the recipe only
        for place, group in enumerate(optimizer.param_groups):
            for key, value in group.items():
                if isinstance(value, int | float):
                    state[f"{_GROUP}.{place}.{key}"] = _as_tensor(value)
    return state


def _check_state(recipe: Recipe, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Try a step of an optimizer of the user's own on copies of the weights, and look at what it remembers then."""
    name = f"optimizer {recipe.recipe()['optimizer']!r}"
    weights = set(model.parameters())
    if any(each not in weights for group in optimizer.param_groups for each in group["params"]):
        raise SettingError(f"{name} changes tensors that are not weights of the model: expected those that it is given")
    copies = nn.ParameterList(nn.Parameter(each.detach().clone(), each.requires_grad) for each in model.parameters())
    for each in copies:
        each.grad = torch.zeros_like(each) if each.requires_grad else None
    trial = optimizer_of(recipe, copies, torch.device("cpu"))
    try:
        trial.step()
    except Exception as error:
        raise SettingError(f"{name} fails in its first step: {describe(error)}") from error
    if lost := _lost(trial, set(copies)):
        raise SettingError(
            f"{name} keeps {lost}: expected tensors and numbers for each weight, as a checkpoint can hold nothing else"
        )


def _lost(optimizer: torch.optim.Optimizer, weights: set[nn.Parameter]) -> str | None:
    """Return what an optimizer remembers that no checkpoint holds, in words; None if nothing."""
    for weight, kept in optimizer.state.items():
        if weight not in weights:
            if isinstance(kept, Mapping) and not kept:  # only looked up
                continue
            return f"state of {weight!r}"[:60] if isinstance(weight, str) else "state of what is no weight of the model"
        for key, value in kept.items():
            if value is not None and not isinstance(value, Tensor | int | float):
                return f"{key!r}, a {type(value).__name__}, for a weight"
    return None


def put_back_state(state: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Restore what `state_of` returned."""
    parameters = dict(model.named_parameters())
    of_group = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    for name, tensor in state.items():
        kind, _, rest = name.partition(".")
        if kind == _MOMENTUM:
            kind, rest = _STATE, f"momentum_buffer.{rest}"
        key, _, where = rest.partition(".")
        if kind == _STATE:
            parameter = parameters[where]
            group = of_group.get(parameter, {})
            # As torch does it: the number of steps stays on the CPU, unless it is counted on the device.
            on_cpu = key == "step" and not (group.get("capturable") or group.get("fused"))
            optimizer.state[parameter][key] = tensor if on_cpu else tensor.to(parameter.device)
        elif kind == _NUMBER:
            optimizer.state[parameters[where]][key] = tensor.item()
        elif kind == _GROUP:
            optimizer.param_groups[int(key)][where] = tensor.item()


def _as_tensor(number: float) -> Tensor:
    return torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None)
