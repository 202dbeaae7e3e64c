"""How far the probabilities of a run can be believed, from its stored test predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelzero.runs.record import Run
from modelzero.statistics.calibration import (
    Calibration,
    calibration,
    calibration_cut,
    fit_temperature,
)


@dataclass(frozen=True)
class Calibrated:
    """The calibration of one trained model, before and after one temperature.

    The test predictions are cut in two halves, class by class: the temperature is fitted on one, and both calibrations
    are measured on the other, which it has not seen.

    Args:
        run: the id of the run.
        seed: of its training.
        temperature: what its logits are divided by; above 1 the model was too sure of itself.
        fitted_on: test pictures that the temperature was fitted on.
        as_trained: calibration of the probabilities as the model gives them.
        scaled: calibration with the temperature.
    """

    run: str
    seed: int
    temperature: float
    fitted_on: int
    as_trained: Calibration
    scaled: Calibration


def calibrated(run: Run) -> Calibrated | None:
    """Fit the temperature of a run and measure its calibration; None where no test picture is left to measure it on.

    >>> import tempfile, modelzero as mz
    >>> found = calibrated(mz.train("digits", "softmax", runs_dir=tempfile.mkdtemp()))
    >>> found.fitted_on + found.scaled.n, found.scaled.nll < found.as_trained.nll
    (360, True)

    Raises:
        RunError: the run has no predictions.
    """
    logits, labels = run.test_logits.numpy(), run.test_labels.numpy()
    cut = calibration_cut(labels)
    if cut.all():
        return None
    temperature = fit_temperature(logits[cut], labels[cut])
    left = logits[~cut]
    return Calibrated(
        run=run.id,
        seed=run.seed,
        temperature=temperature,
        fitted_on=int(np.count_nonzero(cut)),
        as_trained=calibration(left, labels[~cut]),
        scaled=calibration(left, labels[~cut], temperature=temperature),
    )


def temperature_of(run: Run) -> float:
    """Fit the temperature of a run on its half of the test predictions; nothing else is computed."""
    labels = run.test_labels.numpy()
    cut = calibration_cut(labels)
    return fit_temperature(run.test_logits.numpy()[cut], labels[cut])
