"""The account of one rung: accuracy over its seeds with intervals, and its costs."""

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
from modelzero.runs.record import CLASSIFIER
from modelzero.runs.run import Run
from modelzero.statistics.accuracy import mean_accuracy
from modelzero.statistics.classification import ClassScore, averages_of, confusion, count, scores_of

# Largest number of classes with a confusion matrix.
MOST_CONFUSED = 1000
_OF_EACH_IMAGE = ("right", "groups")
_SCORES = 1000  # test images whose scores are inspected


@dataclass(frozen=True)
class Account:
    """The figures of one rung over its runs. Accuracies are fractions; times are means over the runs.

    Args:
        name: name of the rung.
        adds: what it adds to the rung below.
        accuracy: mean over the seeds.
        low: lower end of its 95 % interval for new images and new seeds; for a single run, of this trained model.
        high: its upper end.
        low_here: lower end of the interval on this same test set, for new seeds.
        high_here: its upper end.
        seeds: number of runs that count.
        sd: standard deviation of the accuracies over the seeds; NaN for one seed.
        sd_expected: standard deviation expected from test-set noise alone.
        unstable: whether the seeds spread more than that noise explains.
        random: whether another seed gives another model, as measured or as declared by the rung.
        learned: number of trainings that learned; only these count, unless there is none.
        not_learned: the others, each with its seed, its run (None if it did not finish) and the reason, as `kind` and
            figures.
        train_seconds: time of the training steps, first trainings that did not learn included.
        test_seconds: time of one evaluation.
        train_images_per_second: training images processed per second, counted once per epoch.
        test_images_per_second: test images predicted per second.
        parameters: number of learned parameters; for `knn` the numbers in the training images; None if unknown.
        model_bytes: size of the stored model; None if it is not stored.
        peak_memory_bytes: largest peak memory of the processes that trained it.
        confusion: [classes][classes], images of each class (row) predicted as each class (column), over all seeds;
            None for more than 1,000 classes, because 10,000 of them make a gigabyte of zeros.
        per_class: precision, recall and F1 of each class, over all seeds.
        averages: their averages over the classes (macro), and over the images (micro).
        runs: ids of the runs that count.
        second_chances: number of trainings that repeat one that did not learn, with a third of its rate.
        right: bool [seeds, n], which test images each of these runs classified correctly.
        groups: [n], the group of each test image; None if they are independent.
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
    second_chances: int
    right: NDArray[np.bool_] = field(repr=False, compare=False)
    groups: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)

    @property
    def all_learned(self) -> bool:
        """Whether every training learned; otherwise the method gets no verdict."""
        return not self.not_learned

    def as_dict(self) -> dict[str, Any]:
        """Return all fields except those with a value for each image."""
        # `asdict` would copy the confusion matrix number by number.
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
    """Summarise the finished runs of one rung, one for each seed.

    If the first two runs are identical to the bit, the rung has no randomness, and only one of them counts. Trainings
    that did not learn are listed and excluded from every figure, unless there are no others.

    >>> import tempfile, modelzero as mz
    >>> runs = [mz.train("digits", "model0", epochs=1, seed=seed, runs_dir=tempfile.mkdtemp()) for seed in (1, 2)]
    >>> account("model0", "", runs).seeds
    2

    Args:
        name: name of the rung.
        adds: what it adds to the rung below.
        runs: the finished runs, in the order of their seeds.
        diverged: trainings that failed because their loss became NaN or infinite, in the form of `not_learned`.
        groups: [n], the group of each test image, if known from other runs on the same images; see `groups_of`.
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
    train_seconds = statistics.mean(run.all_train_seconds for run in runs)
    last_seconds = statistics.mean(run.train_seconds for run in runs)
    test_seconds = statistics.mean(epoch.test_seconds for run in runs for epoch in run.history)
    learned = (record.data.train_images - (record.held_out or 0)) * len(record.history)
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
        train_images_per_second=learned / last_seconds if last_seconds else math.inf,
        test_images_per_second=len(labels) / test_seconds if test_seconds else math.inf,
        parameters=record.parameters,
        model_bytes=record.model_bytes,
        peak_memory_bytes=max(memory, default=None),
        confusion=matrix,
        per_class=scores_of(counts),
        averages=averages_of(counts),
        runs=[run.id for run in runs],
        second_chances=sum(run.record.second_of is not None for run in runs),
        right=right,
        groups=groups,
    )


def is_random(runs: Sequence[Run]) -> bool:
    """Return whether another seed gives another model: as declared or known, or by comparing trainings.

    Args:
        runs: finished runs of one rung, with different seeds.
    """
    first = runs[0].record
    if not first.random or first.randomness == DECLARED:
        return bool(first.random)
    return not are_enough(runs) or not all(came_out_equal(runs[0], other) for other in runs[1:])


def are_enough(runs: Sequence[Run]) -> bool:
    """Return whether equal trainings suffice to show that there is no randomness: two, or three without scores.

    Scores that are identical to the bit on every test image are no coincidence; a few equal labels can be.
    """
    return len(runs) >= (2 if len(torch.unique(runs[0].test_logits[:_SCORES])) > 2 else 3)


def came_out_equal(one: Run, other: Run) -> bool:
    """Return whether two trainings gave identical predictions and, if stored as tensors, identical models, to the bit.

    A file of skops also contains the seed and the time at which it was written.
    """
    files, others = (
        {name: file for name, file in (run.record.files or {}).items() if name != CLASSIFIER} for run in (one, other)
    )
    if files and others:
        return bool(files == others)
    return bool(torch.equal(one.test_logits, other.test_logits))


def groups_of(runs: Sequence[Run]) -> NDArray[np.int64] | None:
    """Return the group of each test image, from the first run that stored it; None if the images are independent."""
    found = next((run.test_groups for run in runs if run.test_groups is not None), None)
    return None if found is None else found.numpy()
