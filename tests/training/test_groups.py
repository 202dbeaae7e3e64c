"""The groups of the test images are stored beside their labels."""

from dataclasses import replace

import pytest
import torch

import modelzero as mz
from helpers import Stops


@pytest.fixture(scope="module")
def grouped(digits):
    """The digits, six of each group following each other in the test split."""
    return replace(digits, test=replace(digits.test, groups=torch.arange(360) // 6))


@pytest.mark.parametrize("model", ["model0", "knn", "sklearn.naive_bayes.GaussianNB"])
def test_groups_come_back_from_the_record(grouped, model):
    """For every kind of model, int64 as they were."""
    run = mz.train(grouped, model)
    for each in (run, mz.Run.read(run.path)):
        assert each.test_groups.equal(grouped.test.groups)
        assert each.test_groups.dtype == torch.int64
    assert mz.Run.read(run.path).tensors("predictions.safetensors").keys() == {"logits", "labels", "groups"}


def test_without_groups_there_are_none(digits):
    """The file is as it was before there were groups."""
    run = mz.Run.read(mz.train(digits, "knn").path)
    assert run.test_groups is None
    assert run.tensors("predictions.safetensors").keys() == {"logits", "labels"}


def test_a_resumed_run_has_them_too(grouped):
    """And the same file, to the bit."""
    whole = mz.train(grouped, "model0", threads=1)
    with pytest.raises(KeyboardInterrupt):
        mz.train(grouped, "model0", threads=1, runs_dir="cut", progress=Stops(2000))
    (path,) = whole.path.parent.parent.glob("cut/*")
    assert mz.resume(path, grouped, progress=False).record.files == whole.record.files


def test_groups_are_no_result_of_a_training(grouped, digits):
    """A record of before they were kept is replayed from data that have them, and the other way round."""
    for recorded, given in ((grouped, grouped), (grouped, digits), (digits, grouped)):
        run = mz.train(recorded, "model0", epochs=1)
        assert mz.replay(run.path, given, progress=False).identical


def test_other_groups_are_a_difference(grouped, digits):
    """Where both have them: intervals would be others."""
    run = mz.train(grouped, "model0", epochs=1)
    other = replace(digits, test=replace(digits.test, groups=torch.arange(360) // 5))
    (difference,) = mz.replay(run.path, other, progress=False).differences
    assert str(difference).startswith("predictions, groups (")
