"""All that decides a run, from a record and back."""

import pickle

import cloudpickle
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

import modelzero as mz
from modelzero.errors import ModelError
from modelzero.reporting.content import gather
from modelzero.runs.spec import Spec


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    rung = mz.Rung("mine", linear, epochs=2, momentum=0.5)
    return {
        "softmax": mz.train(digits, "softmax", epochs=2, threads=1, runs_dir=folder),
        "model0": mz.train(digits, "model0", epochs=1, hidden_units=7, engine="torch", runs_dir=folder),
        "knn": mz.train(digits, "knn", runs_dir=folder),
        "mine": mz.train(digits, rung, runs_dir=folder),
    }


@pytest.mark.parametrize("name", ["softmax", "model0", "knn"])
def test_a_record_gives_back_its_spec(digits, runs, name):
    """The record that this spec would begin with says the same as the one that it came from."""
    record = mz.Run.read(runs[name].path).record
    spec = Spec.of(record)
    again = spec.record(digits, spec.learner(digits.image_shape, 10))
    settled = ("model", "seed", "data", "epochs", "batch_size", "learning_rate", "engine", "recipe", "random",
               "randomness", "derived", "ladder")  # fmt: skip
    assert {key: again.as_dict().get(key) for key in settled} == {key: record.as_dict().get(key) for key in settled}


def test_a_model_of_ones_own_has_to_be_given(runs, refuses):
    """With the function that takes it; and it has to be the one of the record, whose recipe counts."""
    record = runs["mine"].record
    with refuses(ModelError, "a model of your own", "mz.replay(", "model="):
        Spec.of(record, by="mz.replay")
    assert Spec.of(record, mz.Rung("mine", linear, epochs=9)).rung.epochs == 2
    with refuses(ModelError, "'softmax'", "expected the same model"):
        Spec.of(record, "softmax")


class Named(BaseEstimator, ClassifierMixin):
    """A classifier whose parameters have the names of fields of the recipe."""

    def __init__(self, model="tree", kind=None, hidden_units=(3, 4), optimizer="lbfgs"):
        self.model, self.kind, self.hidden_units, self.optimizer = model, kind, hidden_units, optimizer

    def fit(self, rows, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict(self, rows):
        return np.full(len(rows), self.classes_[0])


def test_parameters_of_a_classifier_replace_nothing(digits):
    run = mz.train(digits, Named)
    recipe = run.record.recipe
    assert (recipe["model"], recipe["kind"]) == (None, "classifier")
    assert (recipe["its model"], recipe["its hidden_units"], recipe["optimizer"]) == ("'tree'", "10", "'lbfgs'")
    assert Spec.of(mz.Run.read(run.path).record, Named).hidden_units == 10
    page = gather([run], images=False).as_dict()
    assert page["repeat"][1:] == [{"words": "Named needs your code."}]


class Certain(nn.Module):
    """Returns probabilities only if told so."""

    on = False

    def __init__(self):
        super().__init__()
        self.layers = linear()

    def forward(self, images):
        logits = self.layers(images)
        return logits.softmax(1) if Certain.on else logits


def test_a_model_of_probabilities_is_refused_only_when_a_training_begins(digits, monkeypatch, refuses):
    """What was trained before that was checked can still be used."""

    def loss(outputs, labels):
        return nn.functional.nll_loss(outputs, labels)

    run = mz.train(digits, Certain, epochs=1)
    monkeypatch.setattr(Certain, "on", True)
    assert mz.predict(mz.Run.read(run.path, model=Certain), digits.test.images[:3]).shape == (3, 10)
    with refuses(ModelError, "ends in a softmax", "the loss applies a softmax itself"):
        mz.train(digits, Certain, epochs=1)
    with refuses(ModelError, "ends in a softmax", "test loss and probabilities need them"):
        mz.train(digits, Certain, epochs=1, loss=loss)


def test_a_spec_travels(runs):
    """To a worker, with a function of a notebook in it."""
    spec = Spec.of(runs["mine"].record, mz.Rung("mine", lambda: linear(), epochs=9))
    assert pickle.loads(cloudpickle.dumps(spec)).rung.recipe() == spec.rung.recipe()
