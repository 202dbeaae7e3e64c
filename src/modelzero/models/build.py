"""Build a model from a factory, with weights that follow from the seed, and check that it fits the data."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from modelzero.errors import InputError, ModelError
from modelzero.models.classifier import Classifier, give_seed, is_classifier, is_regressor
from modelzero.models.defaults import HIDDEN_UNITS
from modelzero.models.fitted import Fitted
from modelzero.models.seeding import seeded
from modelzero.models.summary import evaluating

_LONGEST_MESSAGE = 300
# Packages of models that this one cannot train, by the first part of a module's name.
_OTHER_PACKAGES = {"keras": "Keras", "tf_keras": "Keras", "tensorflow": "TensorFlow", "flax": "Flax"}
# The last operation of a model whose outputs are no logits, by the name that autograd gives it.
_NO_LOGITS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
# Operations that leave every number as it is.
_SHAPING = ("View", "Reshape", "ReshapeAlias", "UnsafeView", "Squeeze", "Unsqueeze", "Clone", "Alias", "T", "Transpose",
            "Permute", "Slice", "Select", "Expand", "ToCopy")  # fmt: skip


def build(
    make: Callable[..., Any],
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    hidden_units: int = HIDDEN_UNITS,
    seed: int = 42,
    needs_logits: str | None = None,
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
        needs_logits: why a network that ends in a softmax or sigmoid is refused, as a clause. None allows it: what was
            trained once can always be built again.

    Raises:
        ModelError: the factory cannot be called or returns no model that can be trained here, or the module fails on
            an image, returns another number of logits or something else, also in training mode.
    """
    _check_package(make)
    arguments = _arguments(make, {"image_shape": image_shape, "classes": classes, "hidden_units": hidden_units})
    with seeded(seed):
        try:
            model = make(**arguments)
        except InputError:
            raise
        except Exception as error:
            raise ModelError(f"the model cannot be built: {describe(error)}") from error
        _check_package(model)
        if is_classifier(model):
            if is_regressor(model):
                raise ModelError(
                    f"the factory returned {type(model).__name__}, a regressor of scikit-learn, which predicts numbers:"
                    " expected a classifier, such as LogisticRegression"
                )
            give_seed(model, seed)
        elif not isinstance(model, nn.Module):
            raise ModelError(
                f"the factory returned {type(model).__name__}: expected a torch.nn.Module or a scikit-learn classifier"
            )
        elif not isinstance(model, Fitted):  # which runs only after fitting
            _check_fits(model, image_shape, classes, needs_logits)
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


def _check_fits(model: nn.Module, image_shape: tuple[int, int, int], classes: int, needs_logits: str | None) -> None:
    """Run two black images through the model, in evaluation mode so that nothing in it changes."""
    try:
        with torch.enable_grad(), evaluating(model):
            logits = model(torch.zeros(2, *image_shape))
    except Exception as error:
        raise ModelError(f"the model fails on images of shape [2, {_shape(image_shape)}]: {describe(error)}") from error
    _check_logits(logits, classes, "")
    last = None if needs_logits is None else _last_operation(logits)
    if last is not None:
        raise ModelError(
            f"the model ends in a {last}, so it returns probabilities: expected logits, as {needs_logits}; leave out "
            "the last layer"
        )
    odd = [name for name, value in model.state_dict().items() if not isinstance(value, Tensor)]
    if odd:
        raise ModelError(f"the model's state has {', '.join(odd)}, not a tensor: only tensors can be stored with a run")
    if not any(p.requires_grad for p in model.parameters()):
        raise ModelError("the model has no trainable parameter: expected at least one")
    _check_logits(_in_training(model, image_shape, logits), classes, " in training mode")


def _check_logits(logits: object, classes: int, when: str) -> None:
    found = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    if isinstance(logits, Tensor) and tuple(logits.shape) == (2, classes):
        return
    mend = ""
    if isinstance(logits, tuple | list | Mapping):
        mend = "; return the main output alone: torchvision's models with auxiliary outputs take aux_logits=False"
    raise ModelError(
        f"for 2 images{when} the model returned {found}: expected logits of shape [2, {classes}], one for each class"
        f"{mend}"
    )


def _in_training(model: nn.Module, image_shape: tuple[int, int, int], otherwise: Tensor) -> object:
    """Return what a copy of the model returns for two images in training mode, `otherwise` if that fails.

    A copy, because this changes statistics and whatever else a model counts. A failure says little: some models can be
    trained but not copied, or take more than two images.
    """
    try:
        trial = copy.deepcopy(model).train()
        with torch.no_grad():
            return trial(torch.zeros(2, *image_shape))
    except Exception:
        return otherwise


def _last_operation(logits: Tensor) -> str | None:
    """Return `softmax` or `sigmoid` if a model ends in that, whether in a layer or in its code; otherwise None.

    A log softmax at the end changes nothing: the one of the loss leaves logarithms of probabilities as they are.

    >>> weight = torch.ones(1, 2, requires_grad=True)
    >>> _last_operation(weight.softmax(1).view(2)), _last_operation(weight.log_softmax(1))
    ('softmax', None)
    """
    operation = logits.grad_fn
    while operation is not None:
        name = operation.name().partition("Backward")[0]  # as in SqueezeBackward1
        if name not in _SHAPING:
            return _NO_LOGITS.get(name)
        operation = operation.next_functions[0][0]
    return None


def _check_package(model: object) -> None:
    """Raise ModelError for a model, or a class of models, of another package; nothing of it is imported."""
    kind = model if isinstance(model, type) else type(model)
    if issubclass(kind, nn.Module):  # Keras can use torch's modules
        return
    for each in kind.__mro__:
        package = each.__module__.partition(".")[0]
        if package in _OTHER_PACKAGES:
            raise ModelError(
                f"{kind.__name__} is a model of {_OTHER_PACKAGES[package]}: expected a torch.nn.Module or a "
                "scikit-learn classifier; write it with PyTorch"
            )


def _shape(image_shape: tuple[int, int, int]) -> str:
    return ", ".join(map(str, image_shape))
