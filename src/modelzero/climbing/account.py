"""The account of one rung: how good it is over its seeds, with intervals, and what it costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelzero.runs.record import Run
from modelzero.statistics.accuracy import mean_accuracy
from modelzero.statistics.classification import ClassScore, averages_of, confusion, count, scores_of

# Classes up to which a confusion matrix is made.
MOST_CONFUSED = 1000


@dataclass(frozen=True)
class Account:
    """What the runs of one rung say together. Accuracies are fractions; times and memory are means over the runs.

    Args:
        name: of the rung.
        adds: what it adds to the rung below.
        accuracy: mean over the seeds.
        low: lower end of its 95 % interval on new pictures and new seeds; of this trained model for a single run.
        high: its upper end.
        low_here: lower end of the interval on this very test set, for new seeds.
        high_here: its upper end.
        seeds: how many runs.
        sd: standard deviation between the seeds' accuracies; NaN for one.
        sd_expected: what the noise of a finite test set alone would give.
        random: whether another seed gives another model.
        train_seconds: time of the training steps.
        test_seconds: time of one evaluation.
        train_images_per_second: pictures learned from, each as often as there are epochs.
        test_images_per_second: pictures predicted.
        parameters: numbers that the model has learned; for `knn` those of the training pictures; None if unknown.
        model_bytes: size of the stored model; None where it is not stored.
        peak_memory_bytes: most memory of the process that trained it.
        confusion: [classes][classes], pictures of each class (row) taken for each class (column), over all seeds;
            None where there are more than 1,000 classes, for 10,000 of them make a gigabyte of zeros.
        per_class: precision, recall and F1 of each class, over all seeds.
        averages: of these over the classes (macro), and over the pictures (micro).
        runs: the ids of the runs.
    """

    name: str
    adds: str
    accuracy: float
    low: float
    high: float
    low_here: float
    high_here: float
    seeds: int
    sd: float
    sd_expected: float
    random: bool
    train_seconds: float
    test_seconds: float
    train_images_per_second: float
    test_images_per_second: float
    parameters: int | None
    model_bytes: int | None
    peak_memory_bytes: int | None
    confusion: list[list[int]] | None
    per_class: list[ClassScore]
    averages: dict[str, float]
    runs: list[str]
    right: NDArray[np.bool_] = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it but `right`, which is a picture-by-picture matrix."""
        # `asdict` would copy the confusion matrix number by number, which of 10,000 classes has 100 million.
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "right"}
        return values | {"per_class": [asdict(score) for score in self.per_class]}


def account(name: str, adds: str, runs: Sequence[Run]) -> Account:
    """Sum up the finished runs of one rung, one for each seed.

    >>> import tempfile, modelzero as mz
    >>> runs = [mz.train("digits", "model0", epochs=1, seed=seed, runs_dir=tempfile.mkdtemp()) for seed in (1, 2)]
    >>> account("model0", "", runs).seeds
    2
    """
    labels = runs[0].test_labels.numpy()
    predictions = [run.test_predictions.numpy() for run in runs]
    right = np.stack([predicted == labels for predicted in predictions])
    random = bool(runs[0].record["random"])
    accuracy = mean_accuracy(right, deterministic=not random)
    data = runs[0].record["data"]
    classes = len(data["classes"])
    counts = np.sum([count(labels, predicted, classes) for predicted in predictions], axis=0)
    matrix = None
    if classes <= MOST_CONFUSED:
        matrix = np.sum([confusion(labels, predicted, classes) for predicted in predictions], axis=0).tolist()
    train_seconds = statistics.mean(run.train_seconds for run in runs)
    test_seconds = statistics.mean(epoch.test_seconds for run in runs for epoch in run.history)
    learned = data["train_images"] * len(runs[0].history)
    memory = [run.record["peak_memory_bytes"] for run in runs if run.record["peak_memory_bytes"]]
    return Account(
        name=name,
        adds=adds,
        accuracy=accuracy.mean,
        low=accuracy.low,
        high=accuracy.high,
        low_here=accuracy.low_here,
        high_here=accuracy.high_here,
        seeds=len(runs),
        sd=accuracy.sd,
        sd_expected=accuracy.sd_expected,
        random=random,
        train_seconds=train_seconds,
        test_seconds=test_seconds,
        train_images_per_second=learned / train_seconds if train_seconds else math.inf,
        test_images_per_second=len(labels) / test_seconds if test_seconds else math.inf,
        parameters=runs[0].record["parameters"],
        model_bytes=runs[0].record.get("model_bytes"),
        peak_memory_bytes=max(memory, default=None),
        confusion=matrix,
        per_class=scores_of(counts),
        averages=averages_of(counts),
        runs=[run.id for run in runs],
        right=right,
    )
