"""Models without gradient steps leave the same records as the others."""

import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import modelzero as mz
from drawing import LikeSkorch
from modelzero.models.classifier import rows_of


def test_a_classifier_is_fitted_as_one_would_by_hand(digits):
    """The same forest, the same seed, the same answers and the same loss."""
    run = mz.train(digits, mz.Rung("trees", lambda: ExtraTreesClassifier(20)), seed=3)
    plain = ExtraTreesClassifier(20, random_state=3).fit(rows_of(digits.train.images), digits.train.labels.numpy())
    expected = plain.predict(rows_of(digits.test.images))
    np.testing.assert_array_equal(run.test_logits.argmax(1).numpy(), expected)
    assert run.history[-1].test_correct == (expected == digits.test.labels.numpy()).sum()
    soft = run.test_logits.double().softmax(1).numpy()
    assert run.history[-1].test_loss == pytest.approx(log_loss(digits.test.labels, soft), rel=1e-4)


@pytest.mark.parametrize("name", ["majority", "centroid", "knn", "forest"])
def test_a_fitted_model_comes_back_from_its_record(digits, name):
    """What is read from disk answers as it did after training."""
    run = mz.train(digits, name, seed=1)
    back = mz.Run.read(run.path)
    assert back.model(digits.test.images / 255).equal(run.test_logits)
    assert load_file(run.path / "predictions.safetensors")["labels"].equal(digits.test.labels)
    assert run.record.random is (name == "forest")


@pytest.mark.parametrize("model", ["knn", "forest", LikeSkorch])
def test_fitting_leaves_the_callers_random_numbers_alone(digits, model):
    """Those of numpy, Python and torch: what follows draws what it would have drawn."""

    def draws():
        return np.random.rand(), random.random(), torch.rand(1).item()  # noqa: NPY002

    def reset():
        np.random.seed(1), random.seed(1), torch.manual_seed(1)  # noqa: NPY002

    reset()
    expected = draws()
    reset()
    mz.train(digits, model)
    assert draws() == expected


def test_a_classifier_without_a_random_state_follows_from_the_seed(digits):
    """It draws from torch's generator: other seeds give other models, the same seed the same."""
    first, again, other = (mz.train(digits, LikeSkorch, seed=seed) for seed in (1, 1, 2))
    assert first.test_logits.equal(again.test_logits)
    assert not first.test_logits.equal(other.test_logits)
    assert (first.record.random, first.record.randomness) == (True, "assumed")


def test_what_a_classifier_warns_of_is_recorded(digits):
    """A fit that did not converge says so in the record, not only on a screen."""
    run = mz.train(digits, mz.Rung("hasty", lambda: LogisticRegression(max_iter=1)))
    assert any("ConvergenceWarning" in warning for warning in run.record.warnings)


def test_a_classifier_that_fails_is_named(digits, refuses):
    """Its own message, without a traceback."""

    class Broken(LogisticRegression):
        def fit(self, rows, labels):
            raise RuntimeError("no luck today")

    with refuses(mz.TrainingError, "no luck today"):
        mz.train(digits, mz.Rung("broken", Broken))
