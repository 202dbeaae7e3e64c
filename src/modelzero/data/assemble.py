"""From decoded images to `ImageData`: splits as the source has them or drawn, and a share of the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelzero.data.dataset import ImageData, Split
from modelzero.data.splits import (
    Rule,
    check_divisible,
    check_sides,
    draw_share,
    draw_test,
    draw_test_groups,
)
from modelzero.errors import DataError, SettingError, counted, some

_SHARE_OFF = 0.01  # a test split that misses its share by more is worth a sentence


@dataclass(frozen=True)
class Sides:
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

    def take(self, places: NDArray[np.int64]) -> Sides:
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


def check(sides: Sides, rule: Rule) -> None:
    """Refuse what cannot be split, before images are decoded.

    Raises:
        SettingError: a share for a test split that is there already, or a seed where nothing is drawn.
        DataError: fewer than two classes, no training images, a class that is or would be on one side only.
    """
    present = len(np.unique(sides.labels))
    if present < 2:
        raise DataError(
            f"images of {counted(present, 'class', 'classes')} ({some(sides.classes)}): at least two classes are "
            "needed, each in a folder of its own or under a label of its own"
        )
    train, test = sides.of("train"), sides.of("test")
    if not len(train):
        raise DataError("no training images: needed are some; check the split column, or the folder train/")
    if len(test):
        if rule.test_share != Rule.test_share:
            raise SettingError(
                f"test share {rule.test_share}: the source has a test split of its own, of {len(test):,} images; "
                "leave it out"
            )
        if rule.seed != Rule.seed and rule.share == Rule.share:
            raise SettingError(
                f"split seed {rule.seed}: the source has a test split of its own, and all of it is used, so nothing is "
                "drawn; leave it out"
            )
        check_sides(sides.classes, sides.labels[train], sides.labels[test])
    else:
        check_divisible(sides.classes, sides.labels[train], sides.groups_of(train))


def assemble(
    name: str,
    source: str,
    sides: Sides,
    pick: Callable[[NDArray[np.int64]], torch.Tensor],
    rule: Rule,
    *,
    notes: Sequence[str] = (),
    left_out: tuple[tuple[str, str], ...] = (),
) -> ImageData:
    """Make `ImageData` of images that were read.

    Args:
        name: what tables and records call the set.
        source: where it comes from, in words.
        sides: labels, splits, groups and names of the images.
        pick: gives the images of some places, uint8 [k, C, H, W].
        rule: how to draw the test split where there is none, and the share of the training split.
        notes: what was decided before.
        left_out: images that could not be read, with reasons.

    Raises:
        DataError: a class on one side only, or what `ImageData` refuses.
    """
    check(sides, rule)
    notes = list(notes)
    train, test = sides.of("train"), sides.of("test")
    how = None
    if len(test):
        _check_groups(sides, train, test, notes)
    else:
        train, test, how = _drawn(sides, train, rule, notes)

    absent = [each for each, n in zip(sides.classes, _counts(sides), strict=True) if n == 0]
    if absent:
        notes.append(f"without any image: {len(absent)} of {len(sides.classes)} classes: {some(absent)}")
    validation = sides.of("validation")
    groups = _numbers(sides, (train, test, validation))  # before the share: it keeps the numbers as they are
    share = None
    if rule.share < 1:
        share = (rule.share, rule.seed)
        train = train[draw_share(sides.labels[train], share=rule.share, seed=rule.seed)]

    def split(places: NDArray[np.int64]) -> Split:
        names = None if sides.names is None else tuple(sides.names[place] for place in places)
        numbers = None if groups[places[0]] < 0 else torch.from_numpy(groups[places])
        return Split(pick(places), torch.from_numpy(sides.labels[places]), names, numbers)

    return ImageData(
        name,
        train=split(train),
        test=split(test),
        classes=sides.classes,
        source=source,
        validation=split(validation) if len(validation) else None,
        left_out=left_out,
        notes=tuple(notes),
        split=how,
        share=share,
        grouped_by=None if sides.groups is None else sides.grouped_by,
    )


def take_share(data: ImageData, rule: Rule) -> ImageData:
    """Keep the rule's share of the training split: of each class, with the rule's seed.

    >>> import modelzero as mz
    >>> len(take_share(mz.load("digits"), Rule(share=0.1)).train)
    145
    """
    if rule.share == 1:
        return data
    places = draw_share(data.train.labels.numpy(), share=rule.share, seed=rule.seed)
    names, groups = data.train.names, data.train.groups
    kept = torch.from_numpy(places)
    train = Split(
        data.train.images[kept],
        data.train.labels[kept],
        None if names is None else tuple(names[place] for place in places),
        None if groups is None else groups[kept],
    )
    return replace(data, train=train, share=(rule.share, rule.seed))


def _drawn(
    sides: Sides, pool: NDArray[np.int64], rule: Rule, notes: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, Any]]:
    """Draw the test split from the images that the source does not set apart; return also how, for the record."""
    labels = sides.labels[pool]
    how: dict[str, Any] = {"rule": "stratified", "test_share": rule.test_share, "seed": rule.seed, "group": None}
    groups = sides.groups_of(pool)
    if groups is None:
        mask = draw_test(labels, test_share=rule.test_share, seed=rule.seed)
        what = f"{mask.mean():.1%} of each class were drawn as the test split"
    else:
        mask = draw_test_groups(labels, groups, test_share=rule.test_share, seed=rule.seed)
        check_sides(sides.classes, labels[~mask], labels[mask])
        tested = {group for group, is_test in zip(groups, mask, strict=True) if is_test}
        how |= {"rule": "stratified, groups kept whole", "group": sides.grouped_by, "groups": len(set(groups))}
        totals = np.bincount(labels)
        shares = np.bincount(labels[mask], minlength=len(totals))[totals > 0] / totals[totals > 0]
        what = (
            f"{len(tested)} of {len(set(groups))} groups (by {sides.grouped_by}) were drawn as the test split, "
            f"{mask.mean():.1%} of the images and {min(shares):.1%} to {max(shares):.1%} of each class"
        )
    asked = "" if abs(mask.mean() - rule.test_share) <= _SHARE_OFF else f"; {rule.test_share:.0%} was asked for"
    notes.append(f"the source has no test split: {what}, seed {rule.seed}{asked}")
    return pool[~mask], pool[mask], how | {"reached": float(mask.mean())}


def _check_groups(sides: Sides, train: NDArray[np.int64], test: NDArray[np.int64], notes: list[str]) -> None:
    if sides.groups is None:
        return
    groups = sides.groups
    first, second = ({group for place in side if (group := groups[place]) is not None} for side in (train, test))
    both = sorted(first & second)
    if not both:
        return
    found = (
        f"on both sides of the source's own split: {counted(len(both), 'group')} (by {sides.grouped_by}): {some(both)}"
    )
    if sides.strict:
        raise DataError(f"{found}; move the images of each to one side, or take the split of the source away")
    notes.append(found)


def _numbers(sides: Sides, splits: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Give each image the number of its group, [n], -1 where none is known; numbers rise in the order of the splits."""
    numbers = np.full(len(sides.labels), -1, np.int64)
    first: dict[str, int] = {}
    for places in splits:
        groups = sides.groups_of(places)
        if groups is not None:
            numbers[places] = [first.setdefault(group, len(first)) for group in groups]
    return numbers


def _counts(sides: Sides) -> NDArray[np.int64]:
    return np.bincount(sides.labels, minlength=len(sides.classes))
