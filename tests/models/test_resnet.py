"""The residual network: its sizes, and what it learns from few images."""

import pytest
import torch

import modelzero as mz
from modelzero.errors import ModelError
from modelzero.models.resnet import Residual, resnet


@pytest.mark.parametrize(
    ("shape", "first", "last"),
    [((1, 8, 8), 7, 3), ((1, 28, 28), 27, 3), ((3, 32, 32), 31, 3), ((3, 64, 64), 31, 3), ((3, 224, 224), 31, 3)],
)
def test_the_size_of_the_features_hardly_depends_on_that_of_the_images(shape, first, last):
    """Before the first and after the last pooling."""
    features, sides = torch.zeros(2, *shape), []
    for layer in resnet(shape, 10):
        features = layer(features)
        sides += [features.shape[-1]] if features.ndim == 4 else []
    assert (sides[0], sides[-2], features.shape) == (first, last, (2, 10))


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 2, 90), (4, 5, 3)])
def test_odd_images(shape):
    """As small and as narrow as they may be."""
    assert resnet(shape, 3)(torch.rand(2, *shape)).isfinite().all()


def test_too_small():
    """One row of pixels has no patches."""
    with pytest.raises(ModelError, match="images of 1x9 pixels are too small for resnet: expected at least 2x2"):
        resnet((1, 1, 9), 10)


def test_a_residual_block_adds_to_its_input():
    """With a block that returns zeros, the input remains."""
    block = Residual(4)
    torch.nn.init.zeros_(block.block[1].weight)
    features = torch.rand(2, 4, 5, 5)
    assert block(features).equal(features)


def test_it_learns_digits(digits):
    """With the rung's own recipe and two seeds."""
    for seed in (0, 1):
        run = mz.train(digits, "resnet", seed=seed, threads=1, progress=False)
        assert run.history[-1].test_accuracy > 0.97
        assert run.learned
