"""The confusion matrix and its scores, against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics

from modelzero.statistics.classification import averages, class_scores, confusion


@pytest.fixture(params=[(200, 10), (12, 10), (1, 3)], ids=["many", "few", "one"])
def drawn(request):
    """Labels, predictions that are right half the time, and the number of classes, not all of which need occur."""
    n, classes = request.param
    random = np.random.default_rng(n)
    labels = random.integers(classes, size=n)
    return labels, np.where(random.random(n) < 0.5, labels, random.integers(classes, size=n)), classes


def test_confusion_is_scikit_learns(drawn):
    """Rows are the true classes, columns the predicted ones; int64."""
    labels, predictions, classes = drawn
    found = confusion(labels, predictions, classes)
    assert found.dtype == np.int64
    assert np.array_equal(found, metrics.confusion_matrix(labels, predictions, labels=range(classes)))


def test_class_scores_are_scikit_learns(drawn):
    """Precision, recall, F1 and support of each class, with zero_division=0."""
    labels, predictions, classes = drawn
    expected = metrics.precision_recall_fscore_support(labels, predictions, labels=range(classes), zero_division=0)
    scores = class_scores(confusion(labels, predictions, classes))
    assert np.allclose([(s.precision, s.recall, s.f1, s.support) for s in scores], np.transpose(expected))


@pytest.mark.parametrize("kind", ["macro", "micro"])
def test_averages_are_scikit_learns(drawn, kind):
    """Macro averages run over the classes that occur among labels or predictions, as there."""
    labels, predictions, classes = drawn
    found = averages(confusion(labels, predictions, classes))
    expected = metrics.precision_recall_fscore_support(labels, predictions, average=kind, zero_division=0)
    assert np.allclose([found[f"{kind}_{name}"] for name in ("precision", "recall", "f1")], expected[:3])


def test_micro_average_is_the_accuracy(drawn):
    """One label for each image: all three are the share of right predictions."""
    labels, predictions, classes = drawn
    found = averages(confusion(labels, predictions, classes))
    accuracy = (labels == predictions).mean()
    assert [found[f"micro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx([accuracy] * 3)


def test_confusions_of_several_seeds_add_up():
    """The sum is the confusion of all their predictions together."""
    random = np.random.default_rng(0)
    labels, predictions = random.integers(4, size=50), random.integers(4, size=(3, 50))
    summed = sum(confusion(labels, row, 4) for row in predictions)
    assert np.array_equal(summed, confusion(np.tile(labels, 3), predictions.ravel(), 4))


def test_scores_are_plain_numbers():
    """They can be written as JSON."""
    score = class_scores(confusion([0, 1], [0, 1], 2))[0]
    assert [type(value) for value in (score.precision, score.recall, score.f1, score.support)] == [float] * 3 + [int]
