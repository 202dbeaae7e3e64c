"""Assemble `ImageData` from decoded images: use or draw a test split, and take a share of the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.data.dataset import ImageData, Split
from modelzero.data.description import DrawnSplit
from modelzero.data.options import LoadOptions
from modelzero.data.splits import (
    check_both_splits,
    check_divisible,
    draw_share,
    draw_test,
    draw_test_groups,
)
from modelzero.errors import DataError, SettingError, counted, some

_SHARE_OFF = 0.01  # deviation of a test split from its share that a note mentions


@dataclass(frozen=True)
class Samples:
    """The properties of images before they are split.

    Args:
        classes: class names in label order.
        labels: int64 [n].
        splits: [n], `train`, `test`, `validation` or None for each image.
        groups: [n], the group of each image, None if unknown; None if there are no groups.
        names: [n], the name of each image; None if they have none.
        grouped_by: what the groups come from, in words; given by the user if `strict`.
        strict: whether a group on both sides of the source's split is an error, not only a note.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: Sequence[str | None]
    groups: Sequence[str | None] | None = None
    names: Sequence[str] | None = None
    grouped_by: str | None = None
    strict: bool = False

    def of(self, split: str) -> NDArray[np.int64]:
        """Return the positions of a split's images; unassigned images belong to the training split."""
        return np.flatnonzero([(each or "train") == split for each in self.splits])

    def groups_of(self, places: NDArray[np.int64]) -> list[str] | None:
        """Return the groups of the images at some positions; None unless all are known."""
        found = [] if self.groups is None else [self.groups[place] for place in places]
        known = [group for group in found if group is not None]
        return known if known and len(known) == len(places) else None

    def take(self, places: NDArray[np.int64]) -> Samples:
        """Return the properties of the images at some positions."""

        def some_of(values: Sequence[Any] | None) -> list[Any] | None:
            return None if values is None else [values[place] for place in places]

        return replace(
            self,
            labels=self.labels[places],
            splits=some_of(self.splits) or [],
            groups=some_of(self.groups),
            names=some_of(self.names),
        )


def check(samples: Samples, options: LoadOptions) -> None:
    """Check that the images can be split, before they are decoded.

    Raises:
        SettingError: a test share although there is a test split, or a seed although nothing is drawn.
        DataError: fewer than two classes, no training images, or a class that is or would be only on one side.
    """
    present = len(np.unique(samples.labels))
    if present < 2:
        raise DataError(
            f"images of {counted(present, 'class', 'classes')} ({some(samples.classes)}): "
            "expected at least two classes, each with its own folder or label"
        )
    train, test = samples.of("train"), samples.of("test")
    if not len(train):
        raise DataError("no training images: check the split column, or the folder train/")
    if len(test):
        if options.test_share != LoadOptions.test_share:
            raise SettingError(
                f"test share {options.test_share}: the source has its own test split of {len(test):,} images, so none "
                "is drawn; leave out the test share"
            )
        if options.seed != LoadOptions.seed and options.share == LoadOptions.share:
            raise SettingError(
                f"split seed {options.seed}: the source has its own test split, and without --share nothing is drawn; "
                "leave it out"
            )
        check_both_splits(samples.classes, samples.labels[train], samples.labels[test])
    else:
        check_divisible(samples.classes, samples.labels[train], samples.groups_of(train))


def assemble(
    name: str,
    source: str,
    samples: Samples,
    pick: Callable[[NDArray[np.int64]], torch.Tensor],
    options: LoadOptions,
    *,
    notes: Sequence[str] = (),
    left_out: tuple[tuple[str, str], ...] = (),
) -> ImageData:
    """Create `ImageData` from decoded images.

    Args:
        name: name of the dataset in tables and records.
        source: where it comes from, in words.
        samples: labels, splits, groups and names of the images.
        pick: returns the images at some positions, uint8 [k, C, H, W].
        options: how to draw the test split, if there is none, and the share of the training split.
        notes: decisions made before.
        left_out: unreadable images, with reasons.

    Raises:
        DataError: a class that is only on one side, or an error of `ImageData`.
    """
    check(samples, options)
    notes = list(notes)
    train, test = samples.of("train"), samples.of("test")
    how = None
    if len(test):
        _check_groups(samples, train, test, notes)
    else:
        train, test, how = _drawn(samples, train, options, notes)

    absent = [each for each, n in zip(samples.classes, _counts(samples), strict=True) if n == 0]
    if absent:
        notes.append(f"{len(absent)} of {len(samples.classes)} classes have no image: {some(absent)}")
    validation = samples.of("validation")
    groups = _numbers(samples, (train, test, validation))  # before the share, which keeps these numbers
    share = None
    if options.share < 1:
        share = (options.share, options.seed)
        train = train[draw_share(samples.labels[train], share=options.share, seed=options.seed)]

    def split(places: NDArray[np.int64]) -> Split:
        names = None if samples.names is None else tuple(samples.names[place] for place in places)
        numbers = None if groups[places[0]] < 0 else torch.from_numpy(groups[places])
        return Split(pick(places), torch.from_numpy(samples.labels[places]), names, numbers)

    return ImageData(
        name,
        train=split(train),
        test=split(test),
        classes=samples.classes,
        source=source,
        validation=split(validation) if len(validation) else None,
        left_out=left_out,
        notes=tuple(notes),
        split=how,
        share=share,
        grouped_by=None if samples.groups is None else samples.grouped_by,
    )


def take_share(data: ImageData, options: LoadOptions) -> ImageData:
    """Keep a share of each class of the training split.

    >>> import modelzero as mz
    >>> len(take_share(mz.load("digits"), LoadOptions(share=0.1)).train)
    145
    """
    if options.share == 1:
        return data
    places = draw_share(data.train.labels.numpy(), share=options.share, seed=options.seed)
    names, groups = data.train.names, data.train.groups
    kept = torch.from_numpy(places)
    train = Split(
        data.train.images[kept],
        data.train.labels[kept],
        None if names is None else tuple(names[place] for place in places),
        None if groups is None else groups[kept],
    )
    return replace(data, train=train, share=(options.share, options.seed))


def _drawn(
    samples: Samples, pool: NDArray[np.int64], options: LoadOptions, notes: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], DrawnSplit]:
    """Draw the test split from the images of the training split; also return how, for the record."""
    labels = samples.labels[pool]
    groups = samples.groups_of(pool)
    if groups is None:
        rule, count = "stratified", None
        mask = draw_test(labels, test_share=options.test_share, seed=options.seed)
        what = f"{mask.mean():.1%} of each class was drawn as the test split"
    else:
        mask = draw_test_groups(labels, groups, test_share=options.test_share, seed=options.seed)
        check_both_splits(samples.classes, labels[~mask], labels[mask])
        tested = {group for group, is_test in zip(groups, mask, strict=True) if is_test}
        rule, count = "stratified, groups kept whole", len(set(groups))
        totals = np.bincount(labels)
        shares = np.bincount(labels[mask], minlength=len(totals))[totals > 0] / totals[totals > 0]
        what = (
            f"{len(tested)} of {len(set(groups))} groups (by {samples.grouped_by}) were drawn as the test split, "
            f"{mask.mean():.1%} of the images and {min(shares):.1%} to {max(shares):.1%} of each class"
        )
    asked = "" if abs(mask.mean() - options.test_share) <= _SHARE_OFF else f"; {options.test_share:.0%} requested"
    notes.append(f"the source has no test split: {what}, seed {options.seed}{asked}")
    by = None if groups is None else samples.grouped_by
    how = DrawnSplit(rule, options.test_share, options.seed, by, float(mask.mean()), count)
    return pool[~mask], pool[mask], how


def _check_groups(samples: Samples, train: NDArray[np.int64], test: NDArray[np.int64], notes: list[str]) -> None:
    if samples.groups is None:
        return
    groups = samples.groups
    first, second = ({group for place in side if (group := groups[place]) is not None} for side in (train, test))
    both = sorted(first & second)
    if not both:
        return
    what = f"{counted(len(both), 'group')} (by {samples.grouped_by}): {some(both)}"
    found = f"on both sides of the source's own split: {what}"
    if samples.strict:
        raise DataError(f"{found}; move the images of each group to one side, or remove the source's split")
    notes.append(found)


def _numbers(samples: Samples, splits: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Assign numbers to groups in the order of the splits; return that of each image, [n], -1 if unknown."""
    numbers = np.full(len(samples.labels), -1, np.int64)
    first: dict[str, int] = {}
    for places in splits:
        groups = samples.groups_of(places)
        if groups is not None:
            numbers[places] = [first.setdefault(group, len(first)) for group in groups]
    return numbers


def _counts(samples: Samples) -> NDArray[np.int64]:
    return np.bincount(samples.labels, minlength=len(samples.classes))
