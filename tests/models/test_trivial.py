"""The two simplest models, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import NearestCentroid

import modelzero as mz
from modelzero.models import trivial
from modelzero.models.asking import predict_logits
from modelzero.models.trivial import Centroid, Majority


def flat(split):
    return split.images.flatten(1).double().numpy() / 255


def fitted(make, split, classes=10):
    model = make(tuple(split.images.shape[1:]), classes)
    model.fit(split, 0)
    return model


@pytest.fixture(params=["digits", "fashion_mnist"])
def data(request):
    """The digits, and 2,000 training and 1,000 test images of Fashion-MNIST."""
    whole = request.getfixturevalue(request.param)
    train, test = (mz.Split(s.images[:n], s.labels[:n]) for s, n in ((whole.train, 2000), (whole.test, 1000)))
    return mz.ImageData(whole.name, train, test, whole.classes)


def test_majority_is_scikit_learns_dummy(data):
    """Probabilities and predictions equal those of DummyClassifier(strategy="prior")."""
    dummy = DummyClassifier(strategy="prior").fit(flat(data.train), data.train.labels)
    logits = predict_logits(fitted(Majority, data.train), data.test.images)
    assert np.allclose(logits.softmax(1), dummy.predict_proba(flat(data.test)), atol=1e-6)
    assert np.array_equal(logits.argmax(1), dummy.predict(flat(data.test)))


def test_majority_of_equal_classes_is_the_first():
    """Classes 1 and 2 have two images each: 1 is said."""
    split = mz.Split(torch.zeros(5, 1, 1, 1, dtype=torch.uint8), torch.tensor([2, 1, 0, 2, 1]))
    assert fitted(Majority, split, 4)(torch.zeros(1, 1, 1, 1)).argmax(1).item() == 1


def test_majority_counts_an_absent_class_as_half_a_picture():
    """Its logit is log(0.5 / 2), below that of a class with one image."""
    split = mz.Split(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1]))
    assert fitted(Majority, split, 3)(torch.zeros(1, 1, 1, 1)).exp().tolist() == [[0.5, 0.5, 0.25]]


@pytest.mark.filterwarnings("ignore:.*zero standard deviation")  # the corners of the images are always black
def test_centroid_is_scikit_learns_nearest_centroid(data):
    """The means are equal to float32's last digits, the predictions are the same."""
    reference = NearestCentroid().fit(flat(data.train), data.train.labels)
    model = fitted(Centroid, data.train)
    assert np.allclose(model.means, reference.centroids_, atol=1e-7)
    assert np.array_equal(predict_logits(model, data.test.images).argmax(1), reference.predict(flat(data.test)))


def test_centroid_logits_are_scaled_squared_distances(data):
    """Minus half the squared distance over the mean squared deviation of a pixel from its class's mean."""
    x, y = flat(data.train), data.train.labels.numpy()
    means = np.stack([x[y == label].mean(0) for label in range(10)])
    variance = ((x - means[y]) ** 2).mean()
    expected = -((flat(data.test)[:, None] - means) ** 2).sum(2) / (2 * variance)
    assert np.allclose(predict_logits(fitted(Centroid, data.train), data.test.images), expected, rtol=1e-5)


def test_centroid_does_not_depend_on_the_blocks(digits, monkeypatch):
    """Sums of whole numbers are exact, so blocks of 7 images give the same bits as one block."""
    whole = fitted(Centroid, digits.train).state_dict()
    monkeypatch.setattr(trivial, "_BLOCK", 7)
    assert all(torch.equal(value, whole[name]) for name, value in fitted(Centroid, digits.train).state_dict().items())


def test_centroid_of_single_pictures_has_finite_logits():
    """Without any spread within the classes the variance is that of rounding; the farthest class stays above none."""
    split = mz.Split(torch.tensor([0, 255]).byte().view(2, 1, 1, 1).repeat(1, 3, 64, 64), torch.tensor([0, 1]))
    logits = fitted(Centroid, split, 3)(torch.stack([torch.zeros(3, 64, 64), torch.ones(3, 64, 64)]))
    assert logits.argmax(1).tolist() == [0, 1]
    assert logits.isfinite().all()
    assert (logits.argmin(1) == 2).all()
