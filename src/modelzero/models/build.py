"""Build a model from a factory, with weights that follow from the seed, and check that it fits the data."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from modelzero.errors import InputError, ModelError
from modelzero.models.classifier import Classifier, give_seed, is_classifier
from modelzero.models.defaults import HIDDEN_UNITS
from modelzero.models.fitted import Fitted
from modelzero.models.seeding import seeded
from modelzero.models.summary import evaluating

_LONGEST_MESSAGE = 300


def build(
    make: Callable[..., Any],
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    hidden_units: int = HIDDEN_UNITS,
    seed: int = 42,
) -> nn.Module | Classifier:
    """Build the model, with the weights that it gets after `torch.manual_seed(seed)`.

    A scikit-learn classifier gets the seed as its `random_state`. The global generators of numpy and Python are seeded
    too; the state of all three is restored.

    >>> from modelzero.models.linear import model0
    >>> build(model0, (1, 28, 28), 10)[1].weight[0, :3].tolist()
    [0.0273..., 0.0296..., -0.0083...]

    Args:
        make: the factory; see `Rung`.
        image_shape: channels, height and width of the images.
        classes: the expected number of logits.
        hidden_units: width, for factories with this parameter.
        seed: of the generators.

    Raises:
        ModelError: the factory cannot be called or returns no model, or the module fails on an image or returns
            another number of logits.
    """
    arguments = _arguments(make, {"image_shape": image_shape, "classes": classes, "hidden_units": hidden_units})
    with seeded(seed):
        try:
            model = make(**arguments)
        except InputError:
            raise
        except Exception as error:
            raise ModelError(f"the model cannot be built: {describe(error)}") from error
        if is_classifier(model):
            give_seed(model, seed)
        elif not isinstance(model, nn.Module):
            raise ModelError(
                f"the factory returned {type(model).__name__}: expected a torch.nn.Module or a scikit-learn classifier"
            )
        elif not isinstance(model, Fitted):  # which runs only after fitting
            _check_fits(model, image_shape, classes)
    made: nn.Module | Classifier = model
    return made


def describe(error: BaseException) -> str:
    """Describe an error of other code: its type, its message and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/site-packages/" not in frame.filename.replace("\\", "/")]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    message = " ".join(str(error).split())
    # torch's errors may end with a C++ backtrace; the beginning says what is wrong.
    message = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "..."
    return f"{type(error).__name__}: {message}{where}"


def _arguments(make: Callable[..., Any], known: dict[str, Any]) -> dict[str, Any]:
    """Pick the known arguments that the factory's signature names."""
    if isinstance(make, nn.Module) or is_classifier(make):
        raise ModelError(
            f"the model is an existing {type(make).__name__}: expected a function or class that builds it, so that its "
            f"weights follow from the seed; wrap the call, as in lambda: {type(make).__name__}()"
        )
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # not callable, or without a signature
        if callable(make):
            return {}
        raise ModelError(
            f"a {type(make).__name__} cannot be called: expected a model name or a function that returns a module"
        ) from None
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for p in parameters:
        needed = p.default is p.empty and p.kind in (
            p.POSITIONAL_ONLY,
            p.POSITIONAL_OR_KEYWORD,
            p.KEYWORD_ONLY,
        )
        if needed and p.name not in known:
            raise ModelError(
                f"the factory needs an argument {p.name!r}: only {', '.join(known)} are passed; wrap it: "
                "lambda: MyModule(...)"
            )
    return {name: value for name, value in known.items() if name in by_name}


def _check_fits(model: nn.Module, image_shape: tuple[int, int, int], classes: int) -> None:
    """Run two black images through the model, in evaluation mode so that nothing in it changes."""
    try:
        with torch.no_grad(), evaluating(model):
            logits = model(torch.zeros(2, *image_shape))
    except Exception as error:
        raise ModelError(f"the model fails on images of shape [2, {_shape(image_shape)}]: {describe(error)}") from error
    found = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, classes):
        raise ModelError(
            f"for 2 images the model returned {found}: expected logits of shape [2, {classes}], one for each class"
        )
    odd = [name for name, value in model.state_dict().items() if not isinstance(value, Tensor)]
    if odd:
        raise ModelError(f"the model's state has {', '.join(odd)}, not a tensor: only tensors can be stored with a run")
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError("the model has no trainable parameter: expected at least one")


def _shape(image_shape: tuple[int, int, int]) -> str:
    return ", ".join(map(str, image_shape))
