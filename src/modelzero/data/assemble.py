"""From decoded images to `ImageData`: splits as the source has them or drawn, and a share of the training."""

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
    check_divisible,
    check_sides,
    draw_share,
    draw_test,
    draw_test_groups,
)
from modelzero.errors import DataError, SettingError, counted, some

_SHARE_OFF = 0.01  # a test split that misses its share by more is worth a sentence


@dataclass(frozen=True)
class Samples:
    """What is known of images before they are split.

    Args:
        classes: names in label order.
        labels: int64 [n].
        splits: `train`, `test`, `validation` or None for each, [n].
        groups: what each belongs to, [n], None for those of which nobody said; None where nothing must stay together.
        names: what each is called, [n]; None where they have no names.
        grouped_by: what the groups come from, in words; given by the user where `strict`.
        strict: whether a group on both sides of the source's own split is an error and not only a note.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: Sequence[str | None]
    groups: Sequence[str | None] | None = None
    names: Sequence[str] | None = None
    grouped_by: str | None = None
    strict: bool = False

    def of(self, split: str) -> NDArray[np.int64]:
        """Return the places of a split's images; those that the source does not assign are to be trained on."""
        return np.flatnonzero([(each or "train") == split for each in self.splits])

    def groups_of(self, places: NDArray[np.int64]) -> list[str] | None:
        """Return what the images of some places belong to; None unless that is known of each."""
        found = [] if self.groups is None else [self.groups[place] for place in places]
        known = [group for group in found if group is not None]
        return known if known and len(known) == len(places) else None

    def take(self, places: NDArray[np.int64]) -> Samples:
        """Return what is known of some of the images."""

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
    """Refuse what cannot be split, before images are decoded.

    Raises:
        SettingError: a share for a test split that is there already, or a seed where nothing is drawn.
        DataError: fewer than two classes, no training images, a class that is or would be on one side only.
    """
    present = len(np.unique(samples.labels))
    if present < 2:
        raise DataError(
            f"images of {counted(present, 'class', 'classes')} ({some(samples.classes)}): "
            "expected at least two classes, "
            "each in a folder or under a label of its own"
        )
    train, test = samples.of("train"), samples.of("test")
    if not len(train):
        raise DataError("no training images: check the split column, or the folder train/")
    if len(test):
        if options.test_share != LoadOptions.test_share:
            raise SettingError(
                f"test share {options.test_share}: the source has a test split of its own, of {len(test):,} images; "
                "leave it out"
            )
        if options.seed != LoadOptions.seed and options.share == LoadOptions.share:
            raise SettingError(
                f"split seed {options.seed}: the source has a test split of its own, and all of it is used: nothing "
                "is drawn; leave it out"
            )
        check_sides(samples.classes, samples.labels[train], samples.labels[test])
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
    """Make `ImageData` of images that were read.

    Args:
        name: what tables and records call the set.
        source: where it comes from, in words.
        samples: labels, splits, groups and names of the images.
        pick: gives the images of some places, uint8 [k, C, H, W].
        options: how to draw the test split where there is none, and the share of the training split.
        notes: what was decided before.
        left_out: images that could not be read, with reasons.

    Raises:
        DataError: a class on one side only, or what `ImageData` refuses.
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
        notes.append(f"without any image: {len(absent)} of {len(samples.classes)} classes: {some(absent)}")
    validation = samples.of("validation")
    groups = _numbers(samples, (train, test, validation))  # before the share: it keeps the numbers as they are
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
    """Keep a share of the training split, of each class.

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
    """Draw the test split from the images that the source does not set apart; return also how, for the record."""
    labels = samples.labels[pool]
    groups = samples.groups_of(pool)
    if groups is None:
        rule, count = "stratified", None
        mask = draw_test(labels, test_share=options.test_share, seed=options.seed)
        what = f"{mask.mean():.1%} of each class were drawn as the test split"
    else:
        mask = draw_test_groups(labels, groups, test_share=options.test_share, seed=options.seed)
        check_sides(samples.classes, labels[~mask], labels[mask])
        tested = {group for group, is_test in zip(groups, mask, strict=True) if is_test}
        rule, count = "stratified, groups kept whole", len(set(groups))
        totals = np.bincount(labels)
        shares = np.bincount(labels[mask], minlength=len(totals))[totals > 0] / totals[totals > 0]
        what = (
            f"{len(tested)} of {len(set(groups))} groups (by {samples.grouped_by}) were drawn as the test split, "
            f"{mask.mean():.1%} of the images and {min(shares):.1%} to {max(shares):.1%} of each class"
        )
    asked = "" if abs(mask.mean() - options.test_share) <= _SHARE_OFF else f"; {options.test_share:.0%} was asked for"
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
        raise DataError(f"{found}; move the images of each to one side, or take the split of the source away")
    notes.append(found)


def _numbers(samples: Samples, splits: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Give each image the number of its group, [n], -1 where none is known; numbers rise in the order of the splits."""
    numbers = np.full(len(samples.labels), -1, np.int64)
    first: dict[str, int] = {}
    for places in splits:
        groups = samples.groups_of(places)
        if groups is not None:
            numbers[places] = [first.setdefault(group, len(first)) for group in groups]
    return numbers


def _counts(samples: Samples) -> NDArray[np.int64]:
    return np.bincount(samples.labels, minlength=len(samples.classes))
