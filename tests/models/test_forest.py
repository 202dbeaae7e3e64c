"""The forest, against scikit-learn's own predictions."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier

import modelzero as mz
from modelzero.models.asking import predict_logits
from modelzero.models.forest import Forest


def flat(split):
    return split.images.flatten(1).numpy().astype(np.float32)


def both(split, seed=0, classes=10, **settings):
    """The forest, and scikit-learn's with the same settings and seed."""
    model = Forest(tuple(split.images.shape[1:]), classes, **settings)
    model.fit(split, seed)
    names = {"n_estimators" if name == "trees" else name: value for name, value in model.settings().items()}
    return model, ExtraTreesClassifier(**names, random_state=seed % 2**32).fit(flat(split), split.labels.numpy())


@pytest.mark.parametrize("leaf", [1, 3])
@pytest.mark.parametrize("name", ["digits", "fashion_mnist"])
def test_probabilities_are_scikit_learns(request, name, leaf):
    """predict_proba to the bit, far inside 1e-6, and the same predictions."""
    data = request.getfixturevalue(name)
    train, test = (mz.Split(s.images[:2000], s.labels[:2000]) for s in (data.train, data.test))
    model, reference = both(train, trees=20, min_samples_leaf=leaf)
    assert np.array_equal(model.probabilities(test.images / 255), reference.predict_proba(flat(test)))
    assert np.array_equal(predict_logits(model, test.images).argmax(1), reference.predict(flat(test)))


def test_logits_are_clamped_logarithms(digits):
    """exp(logits) is the probability, or half a tree's vote where that is more."""
    model, reference = both(digits.train, trees=20)
    expected = np.maximum(reference.predict_proba(flat(digits.test)), 0.5 / 20)
    assert np.allclose(predict_logits(model, digits.test.images).exp(), expected, atol=1e-6)


def test_few_trees_for_many_classes_keep_the_winner():
    """One tree and ten classes: the clamp stays below the winner's probability, which may be 1 / classes."""
    split = mz.Split(torch.zeros(20, 1, 1, 1, dtype=torch.uint8), torch.arange(20) % 10)
    model, _ = both(split, trees=1)
    assert torch.allclose(model(torch.zeros(1, 1, 1, 1)).exp(), torch.full((1, 10), 0.1))


def test_missing_class_has_no_probability(digits):
    """The columns of the other classes stay in their places."""
    kept = digits.train.labels != 3
    model, reference = both(mz.Split(digits.train.images[kept], digits.train.labels[kept]), trees=10)
    found = model.probabilities(digits.test.images / 255)
    assert np.array_equal(found[:, [0, 1, 2, 4, 5, 6, 7, 8, 9]], reference.predict_proba(flat(digits.test)))
    assert (found[:, 3] == 0).all()


def test_every_grey_level_is_split_where_scikit_learn_splits_it():
    """Images of one pixel, all 256 values, labels at random: each value ends in the same leaf."""
    labels = torch.randint(2, (256,), generator=torch.Generator().manual_seed(0))
    split = mz.Split(torch.arange(256).byte().view(256, 1, 1, 1), labels)
    model, reference = both(split, classes=2, trees=30, min_samples_leaf=1)
    assert np.array_equal(model.probabilities(split.images / 255), reference.predict_proba(flat(split)))


def test_tried_pixels_are_the_square_root_unless_given():
    """28 of 784, as scikit-learn has it; a number larger than there are means all."""
    shape = (1, 28, 28)
    found = [Forest(shape, 10, max_features=n).settings()["max_features"] for n in (None, 5, 1000)]
    assert found == [28, 5, 784]


def test_more_pixels_than_int16_can_count():
    """Where images have more than 32,767 numbers, their positions take four bytes."""
    images = torch.zeros(4, 3, 110, 110, dtype=torch.uint8)
    images[2:, -1, -1, -1] = 255
    model, _ = both(mz.Split(images, torch.tensor([0, 0, 1, 1])), classes=2, trees=3, max_features=36300)
    assert (model.pixel.dtype, model(images / 255).argmax(1).tolist()) == (torch.int32, [0, 0, 1, 1])


def test_a_node_takes_seven_bytes(digits):
    """int16, uint8 and int32; the leaves' shares are stored once for each combination, not for each leaf."""
    model, _ = both(digits.train)
    assert model.pixel.element_size() + model.bound.element_size() + model.right.element_size() == 7
    assert len(model.shares) < len(model.pixel) / 20


@pytest.mark.parametrize("seed", [2**32, 2**63 - 1])
def test_large_seeds_are_taken_modulo_two_to_the_32(digits, seed):
    """scikit-learn takes 32 bits."""
    one, two = Forest((1, 8, 8), 10, trees=2), Forest((1, 8, 8), 10, trees=2)
    one.fit(digits.train, seed)
    two.fit(digits.train, seed % 2**32)
    assert torch.equal(one.bound, two.bound)
