"""The calibration of a run's probabilities, from its stored test predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzero.runs.run import Run
from modelzero.statistics.calibration import (
    Calibration,
    Temperature,
    calibration,
    calibration_cut,
    fit_temperature,
)


@dataclass(frozen=True)
class Calibrated:
    """The calibration of one trained model, before and after one temperature.

    The test predictions are split into two halves, class by class or by whole groups: the temperature is fitted on one,
    and both calibrations are measured on the other.

    Args:
        run: id of the run.
        seed: seed of its training.
        temperature: divisor of the logits; above 1 if the model was overconfident. It stays 1 if the fitted one does
            not clearly differ from 1.
        temperature_fitted: the best-fitting temperature.
        temperature_low: lower end of its 95 % interval.
        temperature_high: its upper end.
        fitted_on: number of test images that the temperature was fitted on.
        as_trained: calibration of the model's own probabilities.
        scaled: calibration with the temperature.
    """

    run: str
    seed: int
    temperature: float
    temperature_fitted: float
    temperature_low: float
    temperature_high: float
    fitted_on: int
    as_trained: Calibration
    scaled: Calibration


def calibrated(run: Run) -> Calibrated | None:
    """Fit the temperature of a run and measure its calibration; None if no test image is left to measure it on.

    >>> import tempfile, modelzero as mz
    >>> found = calibrated(mz.train("digits", "softmax", runs_dir=tempfile.mkdtemp()))
    >>> found.fitted_on + found.scaled.n, found.scaled.nll < found.as_trained.nll
    (360, True)

    Raises:
        RunError: the run has no predictions.
    """
    logits, labels, groups = _of(run)
    cut = calibration_cut(labels, groups=groups)
    if cut.all():
        return None
    temperature = _fitted(logits, labels, groups, cut)
    left, left_groups = logits[~cut], None if groups is None else groups[~cut]
    return Calibrated(
        run=run.id,
        seed=run.seed,
        temperature=temperature.value,
        temperature_fitted=temperature.fitted,
        temperature_low=temperature.low,
        temperature_high=temperature.high,
        fitted_on=int(np.count_nonzero(cut)),
        as_trained=calibration(left, labels[~cut], groups=left_groups),
        scaled=calibration(left, labels[~cut], temperature=temperature.value, groups=left_groups),
    )


def temperature_of(run: Run) -> float:
    """Fit the temperature of a run on its half of the test predictions, without measuring the calibration."""
    logits, labels, groups = _of(run)
    return _fitted(logits, labels, groups, calibration_cut(labels, groups=groups)).value


def _of(run: Run) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64] | None]:
    """Return logits, labels and groups of the test images of a run."""
    groups = run.test_groups
    return run.test_logits.numpy(), run.test_labels.numpy(), None if groups is None else groups.numpy()


def _fitted(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    cut: NDArray[np.bool_],
) -> Temperature:
    return fit_temperature(logits[cut], labels[cut], groups=None if groups is None else groups[cut])
