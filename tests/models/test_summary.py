"""Layers, shapes and counts, against numbers calculated by hand."""

import pytest
import torch
from torch import nn

from modelzero.models.linear import model0
from modelzero.models.summary import Layer, layers, multiply_adds, parameters
from modelzero.models.tinyvgg import tinyvgg

FASHION = (1, 28, 28)


class Recycled(nn.Module):
    """Passes one of its layers twice."""

    def __init__(self):
        super().__init__()
        self.first, self.again = nn.Linear(784, 10), nn.Linear(10, 10)

    def forward(self, images):
        return self.again(self.again(self.first(images.flatten(1))))


def test_model0_by_hand():
    """784 x 10 + 10 and 10 x 10 + 10 parameters; a multiply-add for each weight."""
    assert layers(model0(FASHION, 10), FASHION) == [
        Layer("0", "Flatten", (784,), 0, 0),
        Layer("1", "Linear", (10,), 7850, 7840),
        Layer("2", "Linear", (10,), 110, 100),
    ]


def test_model0_in_total():
    """7,960 parameters, 7,940 multiply-adds an image."""
    model = model0(FASHION, 10)
    assert (parameters(model), multiply_adds(model, FASHION)) == (7960, 7940)


def test_tinyvgg_by_hand():
    """A convolution has channels in x out x 9 weights, each used once at each of its 28x28 or 14x14 places."""
    assert layers(tinyvgg(FASHION, 10), FASHION) == [
        Layer("0.0", "Conv2d", (10, 28, 28), 1 * 10 * 9 + 10, 28 * 28 * 90),
        Layer("0.1", "ReLU", (10, 28, 28), 0, 0),
        Layer("0.2", "Conv2d", (10, 28, 28), 10 * 10 * 9 + 10, 28 * 28 * 900),
        Layer("0.3", "ReLU", (10, 28, 28), 0, 0),
        Layer("0.4", "MaxPool2d", (10, 14, 14), 0, 0),
        Layer("1.0", "Conv2d", (10, 14, 14), 910, 14 * 14 * 900),
        Layer("1.1", "ReLU", (10, 14, 14), 0, 0),
        Layer("1.2", "Conv2d", (10, 14, 14), 910, 14 * 14 * 900),
        Layer("1.3", "ReLU", (10, 14, 14), 0, 0),
        Layer("1.4", "MaxPool2d", (10, 7, 7), 0, 0),
        Layer("2", "Flatten", (490,), 0, 0),
        Layer("3", "Linear", (10,), 4910, 4900),
    ]


def test_tinyvgg_in_total():
    """7,740 parameters, 1,133,860 multiply-adds an image."""
    model = tinyvgg(FASHION, 10)
    assert (parameters(model), multiply_adds(model, FASHION)) == (7740, 1_133_860)


def test_frozen_parameters_do_not_count():
    """Parameters are those that training changes."""
    model = model0(FASHION, 10)
    model[1].requires_grad_(False)
    assert parameters(model) == 110


def test_model_that_is_one_layer():
    """A model without children is its own only layer."""
    assert layers(nn.Conv2d(1, 2, 3), (1, 5, 5)) == [Layer("", "Conv2d", (2, 3, 3), 20, 9 * 2 * 9)]


def test_layer_that_is_passed_twice():
    """The layers' multiply-adds add up to the model's, also when one layer is used twice."""
    model = Recycled()
    assert multiply_adds(model, FASHION) == 8040
    assert [layer.multiply_adds for layer in layers(model, FASHION)] == [7840, 100, 100]


@pytest.mark.parametrize("training", [True, False])
def test_model_is_left_as_it_was(training):
    """Mode, weights and BatchNorm's running figures are the same before and after."""
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Dropout(), nn.Linear(784, 10)).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layers(model, FASHION)
    assert model.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_no_hook_is_left():
    """The model is as fast afterwards as before."""
    model = tinyvgg(FASHION, 10)
    layers(model, FASHION)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_no_hook_is_left_when_the_forward_pass_fails():
    """Likewise for images that the model cannot take."""
    model = model0(FASHION, 10)
    with pytest.raises(RuntimeError):
        layers(model, (1, 8, 8))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_random_numbers_are_left_alone():
    """Looking at a model draws nothing."""
    model = tinyvgg(FASHION, 10)
    before = torch.get_rng_state()
    layers(model, FASHION)
    assert torch.equal(torch.get_rng_state(), before)
