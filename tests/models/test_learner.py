"""Three kinds of models behind one protocol: trained, asked and stored alike."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import modelzero as mz
from modelzero.errors import ModelError
from modelzero.models import skops_file
from modelzero.models.learner import learner_of
from modelzero.models.rungs import LADDER, as_rung

SHAPE = (1, 8, 8)


def shared():
    """Two layers with one weight, and a buffer."""
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, nn.BatchNorm1d(64), layer, nn.Linear(64, 10))


class Trainer:
    """Remembers which way a learner chose."""

    def by_steps(self, module):
        yield "by steps", module

    def in_one_go(self, learner):
        yield "in one go", learner.model


@pytest.mark.parametrize(
    ("model", "way", "random"),
    [
        ("softmax", "by steps", True),
        ("knn", "in one go", False),
        ("forest", "in one go", True),
        (LogisticRegression, "in one go", None),
    ],
)
def test_a_learner_knows_how_it_is_trained(model, way, random):
    """And gives the model itself to what trains it."""
    learner = learner_of(as_rung(model), SHAPE, 10)
    assert list(learner.train(Trainer())) == [(way, learner.model)]
    assert (learner.by_steps, learner.random) == (way == "by steps", random)


@pytest.mark.parametrize("name", [rung.name for rung in LADDER])
def test_what_is_stored_gives_the_same_logits(digits, name):
    """To the bit, for every rung of the ladder."""
    learner = learner_of(as_rung(name), SHAPE, 10, seed=3)
    if not learner.by_steps:
        learner.fit(digits.train)
    other = learner_of(as_rung(name), SHAPE, 10, seed=4)
    other.load(learner.tensors())
    images = digits.test.images[:50]
    assert torch.equal(other.logits(images), learner.logits(images))


def test_shared_weights_are_stored_once():
    """Under the first of their names, and come back under all."""
    learner, other = (learner_of(as_rung(shared), SHAPE, 10, seed=seed) for seed in (1, 2))
    tensors = learner.tensors()
    assert "3.weight" not in tensors
    other.load(tensors)
    assert torch.equal(other.model[3].weight, learner.model[1].weight)
    assert other.model[3].weight is other.model[1].weight


def test_tensors_of_another_model_are_refused(refuses):
    """Missing ones, and ones too many."""
    learner = learner_of(as_rung("softmax"), SHAPE, 10)
    tensors = learner.tensors()
    with refuses(ModelError, "stored tensors more", "expected those of a Sequential"):
        learner.load({"more": torch.zeros(1)})
    with refuses(ModelError, "stored tensors", "more"):
        learner.load({**tensors, "more": torch.zeros(1)})


def test_a_classifier_has_no_tensors(monkeypatch):
    """Only a file of skops can hold it, if that is installed; no other model needs one."""
    learner = learner_of(as_rung(LogisticRegression), SHAPE, 10)
    assert learner.tensors() is None
    monkeypatch.setattr(skops_file, "is_installed", lambda: False)
    assert learner.as_file() is None
    assert all(learner_of(as_rung(name), SHAPE, 10).as_file() is None for name in ("softmax", "majority"))
    with pytest.raises(ModelError, match="scikit-learn"):
        learner.as_graph()


def test_building_follows_from_the_seed():
    """As the plain module after `torch.manual_seed`."""
    learner = learner_of(mz.Rung("mine", shared), SHAPE, 10, seed=5)
    torch.manual_seed(5)
    expected = shared()
    assert all(torch.equal(a, b) for a, b in zip(learner.model.parameters(), expected.parameters(), strict=True))
