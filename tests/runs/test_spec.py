"""All that decides a run, from a record and back."""

import pickle

import cloudpickle
import pytest
from torch import nn

import modelzero as mz
from modelzero.errors import ModelError
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


def test_a_spec_travels(runs):
    """To a worker, with a function of a notebook in it."""
    spec = Spec.of(runs["mine"].record, mz.Rung("mine", lambda: linear(), epochs=9))
    assert pickle.loads(cloudpickle.dumps(spec)).rung.recipe() == spec.rung.recipe()
