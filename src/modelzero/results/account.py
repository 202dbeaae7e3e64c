"""The account of one rung: how good it is over its seeds, with intervals, and what it costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.models.randomness import DECLARED
from modelzero.runs.run import Run
from modelzero.statistics.accuracy import mean_accuracy
from modelzero.statistics.classification import ClassScore, averages_of, confusion, count, scores_of

# Classes up to which a confusion matrix is made.
MOST_CONFUSED = 1000
_OF_EACH_IMAGE = ("right", "groups")
_SCORES = 1000  # test images whose scores are looked at


@dataclass(frozen=True)
class Account:
    """What the runs of one rung say together. Accuracies are fractions; times and memory are means over the runs.

    Args:
        name: of the rung.
        adds: what it adds to the rung below.
        accuracy: mean over the seeds.
        low: lower end of its 95 % interval on new images and new seeds; of this trained model for a single run.
        high: its upper end.
        low_here: lower end of the interval on this very test set, for new seeds.
        high_here: its upper end.
        seeds: how many runs count.
        sd: standard deviation between the seeds' accuracies; NaN for one.
        sd_expected: what the noise of a finite test set alone would give.
        unstable: whether the seeds lie farther apart than that noise explains.
        random: whether another seed gives another model, as two trainings showed or the rung says.
        learned: how many trainings learned; only these count, unless there is none.
        not_learned: those that did not, each with its seed, its run (None where it did not finish) and the reason, as
            `kind` and figures.
        train_seconds: time of the training steps.
        test_seconds: time of one evaluation.
        train_images_per_second: images learned from, each as often as there are epochs.
        test_images_per_second: images predicted.
        parameters: numbers that the model has learned; for `knn` those of the training images; None if unknown.
        model_bytes: size of the stored model; None where it is not stored.
        peak_memory_bytes: most memory of the process that trained it.
        confusion: [classes][classes], images of each class (row) taken for each class (column), over all seeds;
            None where there are more than 1,000 classes, for 10,000 of them make a gigabyte of zeros.
        per_class: precision, recall and F1 of each class, over all seeds.
        averages: of these over the classes (macro), and over the images (micro).
        runs: the ids of the runs that count.
        right: bool [seeds, n], which test images each of these got right.
        groups: [n], what each test image belongs to; None where they are independent.
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
    unstable: bool
    random: bool
    learned: int
    not_learned: list[dict[str, Any]]
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
    groups: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)

    @property
    def all_learned(self) -> bool:
        """Whether every training learned: else nothing can be said of the method."""
        return not self.not_learned

    def as_dict(self) -> dict[str, Any]:
        """Return all of it but what is said of each image."""
        # `asdict` would copy the confusion matrix number by number, which of 10,000 classes has 100 million.
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _OF_EACH_IMAGE}
        return values | {"per_class": [asdict(score) for score in self.per_class]}


def account(
    name: str,
    adds: str,
    runs: Sequence[Run],
    *,
    diverged: Sequence[Mapping[str, Any]] = (),
    groups: NDArray[np.int64] | None = None,
) -> Account:
    """Sum up the finished runs of one rung, one for each seed.

    Where the first two runs came out equal to the bit the rung has no randomness, and one of them stands for all.
    Trainings that did not learn are listed and left out of every figure, unless there are no others.

    >>> import tempfile, modelzero as mz
    >>> runs = [mz.train("digits", "model0", epochs=1, seed=seed, runs_dir=tempfile.mkdtemp()) for seed in (1, 2)]
    >>> account("model0", "", runs).seeds
    2

    Args:
        name: of the rung.
        adds: what it adds to the rung below.
        runs: the finished ones, in the order of their seeds.
        diverged: trainings that could not finish because their loss became NaN or infinite, as `not_learned` has them.
        groups: [n], what each test image belongs to, where other runs on the same images know; see `groups_of`.
    """
    random = is_random(runs)
    runs = runs if random else runs[:1]
    not_learned = [
        {"seed": run.seed, "run": run.id, **(run.not_learned or {})} for run in runs if run.learned is False
    ] + [dict(each) for each in diverged]
    runs = [run for run in runs if run.learned is not False] or runs
    labels, groups = runs[0].test_labels.numpy(), groups_of(runs) if groups is None else groups
    predictions = [run.test_predictions.numpy() for run in runs]
    right = np.stack([predicted == labels for predicted in predictions])
    accuracy = mean_accuracy(right, groups=groups, deterministic=not random)
    record = runs[0].record
    classes = len(record.data.classes)
    counts = np.sum([count(labels, predicted, classes) for predicted in predictions], axis=0)
    matrix = None
    if classes <= MOST_CONFUSED:
        matrix = np.sum([confusion(labels, predicted, classes) for predicted in predictions], axis=0).tolist()
    train_seconds = statistics.mean(run.train_seconds for run in runs)
    test_seconds = statistics.mean(epoch.test_seconds for run in runs for epoch in run.history)
    learned = record.data.train_images * len(record.history)
    memory = [run.record.peak_memory_bytes for run in runs if run.record.peak_memory_bytes]
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
        unstable=accuracy.unstable,
        random=random,
        learned=sum(run.learned is not False for run in runs),
        not_learned=not_learned,
        train_seconds=train_seconds,
        test_seconds=test_seconds,
        train_images_per_second=learned / train_seconds if train_seconds else math.inf,
        test_images_per_second=len(labels) / test_seconds if test_seconds else math.inf,
        parameters=record.parameters,
        model_bytes=record.model_bytes,
        peak_memory_bytes=max(memory, default=None),
        confusion=matrix,
        per_class=scores_of(counts),
        averages=averages_of(counts),
        runs=[run.id for run in runs],
        right=right,
        groups=groups,
    )


def is_random(runs: Sequence[Run]) -> bool:
    """Tell whether another seed gives another model: as was declared or is known, or by comparing trainings.

    Args:
        runs: finished ones of one rung, with different seeds.
    """
    first = runs[0].record
    if not first.random or first.randomness == DECLARED:
        return bool(first.random)
    return not are_enough(runs) or not all(came_out_equal(runs[0], other) for other in runs[1:])


def are_enough(runs: Sequence[Run]) -> bool:
    """Tell whether so many equal trainings show that there is no randomness: two, or three that only name classes.

    Scores that are equal to the bit on every test image are no accident; a few equal labels can be.
    """
    return len(runs) >= (2 if len(torch.unique(runs[0].test_logits[:_SCORES])) > 2 else 3)


def came_out_equal(one: Run, other: Run) -> bool:
    """Tell whether two trainings gave the same predictions and, where it is stored, the same model, to the bit."""
    files, others = one.record.files, other.record.files
    if files and others:
        return bool(files == others)
    return bool(torch.equal(one.test_logits, other.test_logits))


def groups_of(runs: Sequence[Run]) -> NDArray[np.int64] | None:
    """Return the group of each test image, from the first run that stored it; None where the images are independent."""
    found = next((run.test_groups for run in runs if run.test_groups is not None), None)
    return None if found is None else found.numpy()
