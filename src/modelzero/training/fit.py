"""Models that are fitted in one go, without gradient steps: the same figures as after an epoch come out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from modelzero.data.dataset import ImageData
from modelzero.models.classifier import Classifier, rows_of, scores
from modelzero.models.fitted import Fitted
from modelzero.models.recipe import Recipe
from modelzero.models.seeding import seeded
from modelzero.runs.record import Epoch
from modelzero.training.device import Stopwatch
from modelzero.training.loop import predict_logits, score


def fit_once(
    model: Fitted | Classifier, data: ImageData, *, seed: int, threads: int, warned: list[str]
) -> Iterator[tuple[Epoch, Tensor]]:
    """Fit the model in place; yield the figures and the test logits [N, classes], once.

    How good it is on the training images is not asked: for some models that takes longer than all the rest.

    Args:
        model: what to fit.
        data: what on.
        seed: what a `Fitted` draws its random numbers from; a classifier has got it already where it has a
            `random_state`, and else draws from the global generators, which are seeded meanwhile.
        threads: for the libraries that the classifier computes with.
        warned: gets what the classifier warned of, such as not having converged.
    """
    cpu = torch.device("cpu")
    with threadpool_limits(limits=threads), seeded(seed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch = Stopwatch(cpu)
        if isinstance(model, Fitted):
            model.fit(data.train, seed)
        else:
            model.fit(rows_of(data.train.images), data.train.labels.numpy())
        train_seconds = watch.seconds()
        watch = Stopwatch(cpu)
        if isinstance(model, Fitted):
            test_logits = predict_logits(model, data.test)
        else:
            test_logits = scores(model, rows_of(data.test.images), len(data.classes))
        test_seconds = watch.seconds()
    warned += sorted({f"{entry.category.__name__}: {' '.join(str(entry.message).split())}" for entry in caught})
    figures = Epoch(
        epoch=1,
        train_loss=math.nan,
        train_accuracy=math.nan,
        train_accuracy_batch_mean=math.nan,
        **score(test_logits, data.test.labels, Recipe.batch_size),
        train_seconds=train_seconds,
        test_seconds=test_seconds,
    )
    yield figures, test_logits
