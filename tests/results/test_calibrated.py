"""The calibration of a run, from its stored predictions."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

import modelzero as mz
from modelzero.results.calibrated import calibrated, temperature_of
from modelzero.statistics.calibration import calibration_cut, softmax


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    return mz.train(digits, "softmax", runs_dir=tmp_path_factory.mktemp("runs"))


def test_temperature_is_fitted_on_one_half_and_judged_on_the_other(run):
    """What is reported does not change when the logits of the fitted half do, if the temperature stays."""
    found = calibrated(run)
    logits, labels = run.test_logits.numpy(), run.test_labels.numpy()
    cut = calibration_cut(labels)
    assert (found.fitted_on, found.scaled.n, found.as_trained.n) == (
        int(cut.sum()),
        int((~cut).sum()),
        int((~cut).sum()),
    )
    theirs = log_loss(labels[~cut], softmax(logits[~cut], found.temperature), labels=range(10))
    assert found.scaled.nll == pytest.approx(theirs)
    assert found.as_trained.nll == pytest.approx(log_loss(labels[~cut], softmax(logits[~cut]), labels=range(10)))
    assert found.as_trained.accuracy == found.scaled.accuracy == np.mean(logits[~cut].argmax(1) == labels[~cut])


def test_temperature_of_other_seeds_is_found_alike(run):
    """The short way gives the same number."""
    assert temperature_of(run) == calibrated(run).temperature
    assert calibrated(run) == calibrated(mz.Run.read(run.path))
