"""scikit-learn's classifiers on the ladder, against what they say themselves."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from modelzero.models.classifier import give_seed, guesses, rows_of, scores, settings


@pytest.fixture(scope="module")
def rows(digits):
    """Some digits as rows."""
    return rows_of(digits.train.images[:300]), digits.train.labels[:300].numpy()


def test_rows_are_the_pictures_between_0_and_1(digits):
    """The same numbers as float32 division gives."""
    expected = (digits.test.images.flatten(1).float() / 255).numpy()
    np.testing.assert_array_equal(rows_of(digits.test.images), expected)


@pytest.mark.parametrize(
    "classifier",
    [
        GaussianNB(),
        LinearSVC(random_state=0),
        RidgeClassifier(),
        SVC(),
        SVC(decision_function_shape="ovr", break_ties=True),
        KNeighborsClassifier(2),
        RandomForestClassifier(3, random_state=0),
        DummyClassifier(strategy="stratified", random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=lambda classifier: type(classifier).__name__,
)
def test_the_largest_score_is_what_it_predicts(rows, classifier):
    """Whatever kind of scores it has, also where they tie."""
    classifier.fit(*rows)
    logits = scores(classifier, rows[0], 10)
    assert logits.dtype == torch.float32
    np.testing.assert_array_equal(logits.argmax(1).numpy(), classifier.predict(rows[0]))


def test_two_classes_with_one_number_between_them(rows):
    """The sign of a decision function decides, and its size is the distance of the logits."""
    few, labels = rows[0], (rows[1] > 4).astype(np.int64)
    classifier = RidgeClassifier().fit(few, labels)
    logits = scores(classifier, few, 2)
    np.testing.assert_array_equal(logits.argmax(1).numpy(), classifier.predict(few))
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], classifier.decision_function(few), rtol=1e-4, atol=1e-6)


def test_probabilities_come_back_from_the_logits(rows):
    """Softmax of log probabilities is the probabilities."""
    classifier = LogisticRegression().fit(*rows)
    found = scores(classifier, rows[0], 10).softmax(1).numpy()
    np.testing.assert_allclose(found, classifier.predict_proba(rows[0]), atol=1e-5)


def test_a_class_that_it_never_saw_is_the_last_choice(rows):
    """Fitted without class 3, it never answers 3, and the numbers of the others do not shift."""
    kept = rows[1] != 3
    classifier = GaussianNB().fit(rows[0][kept], rows[1][kept])
    logits = scores(classifier, rows[0], 10)
    assert (logits.argmin(1) == 3).all()
    np.testing.assert_array_equal(logits.argmax(1).numpy(), classifier.predict(rows[0]))


def test_predictions_alone_are_enough(rows):
    """A class of one's own with fit and predict, nothing else."""

    class Threes:
        def fit(self, rows, labels):
            return self

        def predict(self, rows):
            return np.full(len(rows), 3)

    assert (scores(Threes(), rows[0], 10).argmax(1) == 3).all()


def test_seeds_reach_every_part():
    """A pipeline's forest gets the seed; what is set already is replaced."""
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(random_state=7))
    give_seed(pipeline, 5)
    assert pipeline[-1].random_state == 5
    give_seed(GaussianNB(), 5)


def test_a_classifier_that_is_meant_to_guess_is_known():
    """Also at the end of a pipeline; one that learns is none, whatever comes before."""
    assert guesses(make_pipeline(StandardScaler(), DummyClassifier()))
    assert not guesses(make_pipeline(StandardScaler(), GaussianNB()))


def test_seeds_larger_than_scikit_learns_are_folded():
    """It takes 32 bits."""
    forest = RandomForestClassifier()
    give_seed(forest, 2**32 + 9)
    assert forest.random_state == 9


def test_settings_say_everything_but_the_seed():
    """Two seeds of a method have the same settings, two methods have others."""
    one, two = RandomForestClassifier(3, random_state=1), RandomForestClassifier(3, random_state=2)
    assert settings(one) == settings(two) != settings(RandomForestClassifier(4))
    assert one.random_state == 1
    assert "random_state" not in settings(one)
