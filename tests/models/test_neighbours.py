"""Nearest neighbours, against scikit-learn's brute force in float64."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

import modelzero as mz
from modelzero.models import neighbours
from modelzero.models.asking import predict_logits
from modelzero.models.neighbours import NearestNeighbours


def fitted(split, k, classes=10):
    model = NearestNeighbours(tuple(split.images.shape[1:]), classes, neighbours=k)
    model.fit(split, 0)
    return model


def reference(split, k):
    flat = split.images.flatten(1).double().numpy()
    return KNeighborsClassifier(k, algorithm="brute").fit(flat, split.labels.numpy())


def first(split, n):
    return mz.Split(split.images[:n], split.labels[:n])


@pytest.mark.parametrize("k", [1, 4, 5, 7])
def test_probabilities_are_scikit_learns_on_digits(digits, k):
    """Votes and predictions are the same for every test image, ties between classes included."""
    other = reference(digits.train, k)
    logits = predict_logits(fitted(digits.train, k), digits.test.images)
    flat = digits.test.images.flatten(1).double().numpy()
    votes = logits.exp() * (k + 10 * neighbours._SMOOTHING) - neighbours._SMOOTHING
    assert np.allclose(votes / k, other.predict_proba(flat), atol=1e-6)
    assert np.array_equal(logits.argmax(1), other.predict(flat))


def test_predictions_are_scikit_learns_on_fashion_mnist(fashion_mnist):
    """Among 5,000 images, which takes more than one block of columns and of rows."""
    train, test = first(fashion_mnist.train, 5000), first(fashion_mnist.test, 600)
    flat = test.images.flatten(1).double().numpy()
    assert np.array_equal(predict_logits(fitted(train, 5), test.images).argmax(1), reference(train, 5).predict(flat))


@pytest.mark.parametrize(("rows", "columns", "size"), [(1, 8192, 1 << 24), (512, 3, 1 << 24), (100, 500, 4000)])
def test_blocks_do_not_change_the_logits(digits, monkeypatch, rows, columns, size):
    """However images are taken together, the same neighbours vote."""
    whole = predict_logits(fitted(digits.train, 5), digits.test.images)
    for name, value in (("_ROWS", rows), ("_COLUMNS", columns), ("_BYTES", size)):
        monkeypatch.setattr(neighbours, name, value)
    assert torch.equal(predict_logits(fitted(digits.train, 5), digits.test.images), whole)


def test_nearest_are_exact_where_float32_cannot_tell():
    """Squared distances of 1 and 2 between images of squared length 4e7 are told apart."""
    base = torch.full((5, 1, 28, 28), 230, dtype=torch.uint8)
    for position, changed in enumerate((3, 2, 1, 0, 4)):
        base[position].view(-1)[:changed] += 1
    model = fitted(mz.Split(base, torch.arange(5)), 1, classes=5)
    assert model(torch.full((1, 1, 28, 28), 230) / 255).argmax(1).item() == 3


def test_earlier_of_equally_near_pictures_counts_as_nearer():
    """0 and 2 are equally far from 1; the one that comes first in the training split is taken."""
    for values, labels in (([0, 2], [0, 1]), ([2, 0], [1, 0]), ([2, 0], [0, 1])):
        split = mz.Split(torch.tensor(values).byte().view(2, 1, 1, 1), torch.tensor(labels))
        assert fitted(split, 1, classes=2)(torch.full((1, 1, 1, 1), 1 / 255)).argmax(1).item() == labels[0]


def test_equal_votes_go_to_the_lowest_label():
    """One vote each for 2 and 1: 1 wins, although 2 is nearer."""
    split = mz.Split(torch.tensor([0, 9]).byte().view(2, 1, 1, 1), torch.tensor([2, 1]))
    assert fitted(split, 2, classes=3)(torch.zeros(1, 1, 1, 1)).argmax(1).item() == 1


def test_all_vote_where_there_are_fewer_pictures_than_neighbours():
    """Five neighbours of three images: two votes of three, smoothed."""
    split = mz.Split(torch.tensor([0, 1, 2]).byte().view(3, 1, 1, 1), torch.tensor([1, 0, 1]))
    s = neighbours._SMOOTHING
    expected = torch.tensor([[1 + s, 2 + s]]) / (3 + 2 * s)
    assert torch.allclose(fitted(split, 5, classes=2)(torch.zeros(1, 1, 1, 1)).exp(), expected)


@pytest.mark.parametrize("width", [5, 300, 511, 512, 700])
def test_grouped_selection_is_topk(width):
    """Values and columns are those of torch.topk, whether or not the groups come out even."""
    scores = torch.stack([torch.randperm(width, generator=torch.Generator().manual_seed(n)) for n in range(50)]).float()
    expected = scores.topk(min(8, width))
    values, columns = neighbours._largest(scores, 8)
    assert torch.equal(values, expected.values)
    assert torch.equal(columns, expected.indices)


def test_pictures_are_kept_as_bytes(digits):
    """The model is no larger than its images, a label and a length for each."""
    assert fitted(digits.train, 5).pictures.dtype == torch.uint8
