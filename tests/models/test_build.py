"""From a factory to a checked module."""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from modelzero.errors import ModelError
from modelzero.models.build import build
from modelzero.models.linear import model0
from modelzero.models.perceptron import model1
from modelzero.models.tinyvgg import tinyvgg

SHAPE = (1, 8, 8)


class Linear(nn.Module):
    """A user's own model, without arguments."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, images):
        return self.layer(images.flatten(1))


class FailsInForward(Linear):
    """A user's own model with a bug."""

    def forward(self, images):
        return self.layer(images)


class ReturnsTuple(Linear):
    """A model with a second output."""

    def forward(self, images):
        return super().forward(images), images


class TakesShape(Linear):
    """A model that asks for what build knows."""

    def __init__(self, classes, *, image_shape, hidden_units=3, slope=0.5):
        super().__init__()
        self.given = (classes, image_shape, hidden_units, slope)


def raises_error():
    raise ZeroDivisionError("two\nlines")


def flat(*layers):
    return nn.Sequential(nn.Flatten(), *layers)


def message_of(make, **settings):
    with pytest.raises(ModelError) as caught:
        build(make, SHAPE, 10, **settings)
    return str(caught.value)


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1])
@pytest.mark.parametrize("make", [model0, model1, tinyvgg])
def test_weights_are_those_after_manual_seed(make, seed):
    """The weights equal, to the bit, those of a module made by hand after torch.manual_seed(seed)."""
    built = build(make, SHAPE, 10, seed=seed, hidden_units=6)
    torch.manual_seed(seed)
    by_hand = make(SHAPE, 10, 6)
    assert all(torch.equal(a, b) for a, b in zip(built.parameters(), by_hand.parameters(), strict=True))


def test_default_generator_is_left_alone():
    """Whoever builds a model keeps the random numbers that he would have drawn without it."""
    before = torch.get_rng_state()
    build(tinyvgg, SHAPE, 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_default_generator_is_left_alone_by_a_factory_that_fails():
    """Also when the factory draws numbers and raises then."""
    before = torch.get_rng_state()
    message_of(lambda: raises_error() if torch.rand(1) < 2 else None)
    assert torch.equal(torch.get_rng_state(), before)


def test_check_leaves_batch_statistics_alone():
    """The two black images of the check do not enter a BatchNorm's running mean."""
    model = build(lambda: flat(nn.BatchNorm1d(64), nn.Linear(64, 10)), SHAPE, 10)
    assert (model[1].num_batches_tracked, model[1].running_var.min()) == (0, 1)


@pytest.mark.parametrize("training", [True, False])
def test_check_leaves_the_mode_alone(training):
    """A model comes back in the mode in which the factory made it."""
    assert build(lambda: Linear().train(training), SHAPE, 10).training is training


@pytest.mark.parametrize("make", [Linear, lambda: Linear(), functools.partial(Linear)])
def test_class_lambda_and_partial_are_factories(make):
    """Whatever can be called without arguments and returns a module will do."""
    assert isinstance(build(make, SHAPE, 10), Linear)


def test_factory_gets_what_its_signature_names():
    """Shape, classes and hidden units go in by name, whatever their order; the rest keeps its default."""
    assert build(TakesShape, SHAPE, 10, hidden_units=5).given == (10, SHAPE, 5, 0.5)


def test_factory_may_name_some_of_them_only():
    """A factory that names only classes is given only classes."""
    assert build(lambda classes: flat(nn.Linear(64, classes)), SHAPE, 4)[1].out_features == 4


def test_lazy_module_gets_its_shapes_from_the_check():
    """torch's lazy layers are complete when build returns."""
    assert build(lambda: flat(nn.LazyLinear(10)), SHAPE, 10)[1].weight.shape == (10, 64)


def test_unknown_required_argument():
    """The error names the argument, what a factory can be given, and the way out."""
    assert message_of(nn.Linear) == (
        "the factory needs an argument 'in_features': only image_shape, classes, hidden_units are passed; "
        "wrap it: lambda: MyModule(...)"
    )


def test_required_keyword_argument():
    """A keyword-only argument without a default is refused likewise."""

    def make(*, width):
        return flat(nn.Linear(width, 10))

    assert "needs an argument 'width'" in message_of(make)


@pytest.mark.parametrize("make", [5, None, ["model0"], "model0", np.zeros((2, 2))])
def test_not_callable(make):
    """Something that cannot be called is named, in one line."""
    message = message_of(make)
    assert "cannot be called: expected a model name or a function that returns a module" in message
    assert "\n" not in message


@pytest.mark.parametrize(("returned", "kind"), [(None, "NoneType"), (5, "int"), (Linear, "type"), ([], "list")])
def test_factory_that_returns_no_module(returned, kind):
    """The error names the type that came back."""
    assert (
        message_of(lambda: returned)
        == f"the factory returned {kind}: expected a torch.nn.Module or a scikit-learn classifier"
    )


def test_factory_that_raises():
    """The error gives type, message and the line of the user's code, in one line."""
    line = raises_error.__code__.co_firstlineno + 1
    assert message_of(raises_error) == (
        f"the model cannot be built: ZeroDivisionError: two lines ({__file__}, line {line})"
    )


def test_cause_is_kept():
    """Whoever catches the error in Python can still look at what happened."""
    with pytest.raises(ModelError) as caught:
        build(raises_error, SHAPE, 10)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_forward_that_raises():
    """The error gives the shape of the images, torch's message and the user's line, not torch's."""
    line = FailsInForward.forward.__code__.co_firstlineno + 1
    message = message_of(FailsInForward)
    assert message.startswith("the model fails on images of shape [2, 1, 8, 8]: RuntimeError: mat1 and mat2")
    assert message.endswith(f"({__file__}, line {line})")
    assert "\n" not in message


@pytest.mark.parametrize("outputs", [1, 9, 11, 1000])
def test_wrong_number_of_logits(outputs):
    """Found and needed shape are both in the message."""
    assert message_of(lambda: flat(nn.Linear(64, outputs))) == (
        f"for 2 images the model returned shape [2, {outputs}]: expected logits of shape [2, 10], one for each class"
    )


def test_logits_of_another_rank():
    """Logits for each pixel are no logits for each image."""
    assert "returned shape [2, 10, 8, 8]" in message_of(lambda: nn.Conv2d(1, 10, 3, padding=1))


def test_model_that_returns_a_tuple():
    """The error names the type."""
    assert "returned a tuple: expected logits" in message_of(ReturnsTuple)


@pytest.mark.parametrize("make", [lambda: Linear().requires_grad_(False), lambda: flat(nn.AdaptiveAvgPool1d(10))])
def test_nothing_to_train(make):
    """A frozen model, or one without parameters, is refused before the training."""
    assert message_of(make) == "the model has no trainable parameter: expected at least one"


class FunctionalSoftmax(Linear):
    """A softmax in the code, not in a layer."""

    def forward(self, images):
        return super().forward(images)[:, :, None].softmax(1).squeeze(2)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: flat(nn.Linear(64, 10), nn.Softmax(1)), "softmax"),
        (lambda: nn.Sequential(flat(nn.Linear(64, 10), nn.Sequential(nn.Sigmoid()))), "sigmoid"),
        (FunctionalSoftmax, "softmax"),
    ],
)
def test_model_that_returns_probabilities(make, what):
    """The error names the last step and says how to mend it."""
    assert message_of(make, needs_logits="the loss applies a softmax itself") == (
        f"the model ends in a {what}, so it returns probabilities: expected logits, as the loss applies a softmax "
        "itself; leave out the last layer"
    )


def test_what_was_trained_with_probabilities_can_be_built_again():
    build(FunctionalSoftmax, SHAPE, 10)


@pytest.mark.parametrize("last", [nn.LogSoftmax(1), nn.Identity(), nn.ReLU(), nn.Flatten()])
def test_model_that_returns_logits(last):
    """A log softmax is unchanged by another one."""
    build(lambda: flat(nn.Linear(64, 10), last), SHAPE, 10, needs_logits="it is to be trained")


class Auxiliary(Linear):
    """As GoogLeNet and Inception: more outputs, but in training mode only; it counts what passes."""

    def __init__(self, kind=lambda first, second: (first, second)):
        super().__init__()
        self.norm, self.kind, self.passed = nn.BatchNorm1d(64), kind, 0

    def forward(self, images):
        self.passed += 1
        logits = self.layer(self.norm(images.flatten(1)))
        return self.kind(logits, logits) if self.training else logits


class Outputs(NamedTuple):
    logits: torch.Tensor
    aux: torch.Tensor


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (lambda a, b: (a, b), "tuple"),
        (lambda a, b: [a, b], "list"),
        (Outputs, "Outputs"),
        (lambda a, b: {"logits": a, "aux": b}, "dict"),
    ],
)
def test_auxiliary_outputs_in_training_mode(kind, name):
    message = message_of(lambda: Auxiliary(kind))
    assert f"for 2 images in training mode the model returned a {name}: expected logits of shape [2, 10]" in message
    assert message.endswith("aux_logits=False")


def test_trial_in_training_mode_leaves_the_model_alone():
    """Its statistics, its counter, and the random numbers that come next."""
    before = torch.get_rng_state()
    model = build(lambda: flat(nn.Dropout(), Auxiliary(lambda a, _: a)), SHAPE, 10)
    assert (model[2].passed, model[2].norm.num_batches_tracked, model[2].norm.running_var.min()) == (1, 0, 1)
    assert all(each.grad is None for each in model.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_model_that_fails_in_training_mode_is_left_to_the_training():
    """Some take more than two images, or cannot be copied."""

    class Picky(Linear):
        def forward(self, images):
            if self.training and len(images) < 3:
                raise ValueError("three at least")
            return super().forward(images)

    build(Picky, SHAPE, 10)


@pytest.mark.parametrize("make", [LinearRegression, lambda: make_pipeline(StandardScaler(), Ridge())])
def test_regressors(make):
    assert "a regressor of scikit-learn, which predicts numbers: expected a classifier" in message_of(make)


@pytest.mark.parametrize(("package", "name"), [("keras.src.models", "Keras"), ("flax.linen.module", "Flax")])
def test_models_of_other_packages(package, name):
    """Recognised by the module of one of their classes: an object, what a factory returns, and a class."""
    base = type("Base", (), {"__module__": package, "fit": lambda *_: None, "predict": lambda *_: None})
    own = type("Own", (base,), {"__module__": "mine"})
    for make in (own(), own, lambda: own()):
        assert message_of(make) == (
            f"Own is a model of {name}: expected a torch.nn.Module or a scikit-learn classifier; write it with PyTorch"
        )
    both = type("Both", (base, Linear), {"__module__": "mine"})
    build(both, SHAPE, 10)
