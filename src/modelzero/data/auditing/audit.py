"""Audit a dataset: find what could make a result wrong before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from modelzero.data.auditing.hints import GroupHint, clusters_of, hint_of
from modelzero.data.auditing.near import NearPair
from modelzero.data.auditing.searched import Place, searched
from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, counted

# Accuracy alone misleads if the largest class has more than this many times the images of the smallest.
IMBALANCED = 10.0
# `as_dict` cuts lists to this length, but not the counts beside them.
MOST_LISTED = 100


@dataclass(frozen=True)
class Audit:
    """The findings of an audit.

    Args:
        data: the dataset.
        constant: images of one colour.
        faint: images of nearly one colour; they are not searched for near duplicates.
        same: groups of images with equal pixels, over all splits.
        near: test images that are nearly a training image; None if the search was skipped.
        test_clusters: positions of test images that are equal or nearly equal to one another, directly or through
            others; None if the search was skipped.
        grouping: test images that seem to belong together; None if there are none, or if groups were given.
        seconds: the duration of the audit.
    """

    data: ImageData = field(repr=False)
    constant: tuple[Place, ...]
    faint: tuple[Place, ...]
    same: tuple[tuple[Place, ...], ...]
    near: tuple[NearPair, ...] | None
    test_clusters: tuple[tuple[int, ...], ...] | None
    grouping: GroupHint | None
    seconds: float = field(compare=False)

    @cached_property
    def counts(self) -> dict[str, list[int]]:
        """Images of each class in each split, in label order."""
        n = len(self.data.classes)
        return {name: split.labels.bincount(minlength=n).tolist() for name, split in self.data.splits.items()}

    @property
    def imbalance(self) -> float:
        """Training images of the largest class for each one of the smallest class that has any."""
        present = [count for count in self.counts["train"] if count]
        return max(present) / min(present)

    def within(self, split: str) -> list[tuple[Place, ...]]:
        """Return the groups of two or more equal images within one split."""
        groups = (tuple(place for place in group if place[0] == split) for group in self.same)
        return [group for group in groups if len(group) > 1]

    def across(self, first: str, second: str) -> list[tuple[Place, Place]]:
        """Pair each image of the second split with the first equal one of the first split."""
        pairs = []
        for group in self.same:
            original = next((place for place in group if place[0] == first), None)
            if original is not None:
                pairs += [(original, place) for place in group if place[0] == second]
        return sorted(pairs, key=lambda pair: pair[1][1])

    @cached_property
    def contradictions(self) -> list[tuple[Place, ...]]:
        """Groups of equal images whose labels differ."""
        return [group for group in self.same if len({self.label(place) for place in group}) > 1]

    @cached_property
    def leaked(self) -> list[int]:
        """Positions of the test images that equal, or nearly equal, a training image."""
        exact = {place[1] for _, place in self.across("train", "test")}
        return sorted(exact | {pair.test for pair in self.near or ()})

    @property
    def grouping_hint(self) -> dict[str, Any] | None:
        """The hint at groups as stored in a record; None if there is none."""
        return None if self.grouping is None else asdict(self.grouping)

    def label(self, place: Place) -> int:
        """Return the label of an image."""
        return int(self.data.splits[place[0]].labels[place[1]])

    def name(self, place: Place) -> str:
        """Return the name of an image, or else its split and position, counted from 0."""
        names = self.data.splits[place[0]].names
        return f"{place[0]} {place[1]}" if names is None else names[place[1]]

    def leaked_pairs(self) -> list[tuple[Place, Place]]:
        """Pair training and test images: the equal ones first, then the near ones that agree best."""
        near = sorted(self.near or (), key=lambda pair: -pair.cosine)
        return self.across("train", "test") + [(("train", pair.train), ("test", pair.test)) for pair in near]

    def sentences(self, *, beyond_records: bool = False) -> list[str]:
        """Describe the findings, one sentence each; empty if there are none.

        Args:
            beyond_records: leave out what the record of a run on this data says anyway.
        """
        said = [] if beyond_records else list(self.data.notes)
        if self.data.left_out and not beyond_records:
            said.append(f"{counted(len(self.data.left_out), 'unreadable file')} skipped.")
        missing = [name for name, count in zip(self.data.classes, self.counts["train"], strict=True) if not count]
        if missing:
            said.append(f"{_count(len(missing), 'class', 'classes')} without a training image, such as {missing[0]!r}.")
        unseen = [
            name
            for name, count, train in zip(self.data.classes, self.counts["test"], self.counts["train"], strict=True)
            if train and not count
        ]
        if unseen:
            said.append(f"{_count(len(unseen), 'class', 'classes')} without a test image, such as {unseen[0]!r}.")
        if self.imbalance > IMBALANCED:
            said.append(
                f"Imbalanced: the largest class has {self.imbalance:,.0f} times the training images of the smallest; "
                "compare accuracies with that of the rung 'majority', and check each class."
            )
        for kind, places in (("of one colour", self.constant), ("nearly of one colour", self.faint)):
            if places:
                said.append(f"{_count(len(places), 'image')} {kind}{self._such_as(places)}.")
        for split in self.data.splits:
            groups = self.within(split)
            if groups:
                again = sum(len(group) - 1 for group in groups)
                said.append(f"{_count(again, f'{split} image')} repeated within that split{self._such_as(groups[0])}.")
        for first, second in combinations(self.data.splits, 2):
            pairs = self.across(first, second)
            if pairs:
                said.append(f"{_count(len(pairs), f'{second} image')} also in {first}{self._such_as(pairs[0])}.")
        if self.contradictions:
            said.append(
                f"{_count(len(self.contradictions), 'image')} found under different labels"
                f"{self._such_as(self.contradictions[0])}."
            )
        if self.near:
            one = self.near[0]
            such_as = self._such_as((("test", one.test), ("train", one.train)))
            count = _count(len({pair.test for pair in self.near}), "test image")
            said.append(f"{count} nearly the same as a training image{such_as}.")
        if self.grouping is not None:
            said.append(self.grouping.sentence())
        if self.near is None and not beyond_records:
            said.append("Near duplicates were not searched for.")
        if self.leaked:
            said.append(
                f"{len(self.leaked):,} of {len(self.data.test):,} test images were seen in training: "
                "a climb also scores each rung without them."
            )
        return said

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as a dict for JSON; lists are cut to 100 items, the counts beside them are not."""
        splits = list(self.data.splits)
        near = self.near or ()
        return {
            "counts": self.counts,
            "imbalance": self.imbalance,
            "notes": list(self.data.notes),
            "left_out": _capped([{"name": name, "reason": reason} for name, reason in self.data.left_out]),
            "constant": _capped(self._described(self.constant)),
            "nearly_constant": _capped(self._described(self.faint)),
            "duplicates": {split: _capped([self._described(g) for g in self.within(split)]) for split in splits},
            "duplicates_across": {
                f"{first}-{second}": _capped([self._described(pair) for pair in self.across(first, second)])
                for first, second in combinations(splits, 2)
            },
            "contradictions": _capped([self._described(group) for group in self.contradictions]),
            "near_duplicates": None
            if self.near is None
            else {
                **_capped([self._described_near(pair) for pair in near]),
                "test_pictures": len({pair.test for pair in near}),
            },
            "leaked_test_pictures": len(self.leaked),
            "test_clusters": None
            if self.test_clusters is None
            else _capped([self._described(("test", place) for place in cluster) for cluster in self.test_clusters]),
            "grouping": self.grouping_hint,
            "seconds": self.seconds,
            "sentences": self.sentences(),
        }

    def _described_near(self, pair: NearPair) -> dict[str, Any]:
        train, test = self._described([("train", pair.train), ("test", pair.test)])
        return {**asdict(pair), "train": train, "test": test}

    def _described(self, places: Iterable[Place]) -> list[dict[str, Any]]:
        return [
            {
                "split": place[0],
                "position": place[1],
                "name": self.name(place),
                "class": self.data.classes[self.label(place)],
            }
            for place in places
        ]

    def _such_as(self, places: Sequence[Place]) -> str:
        return ", such as " + " and ".join(self.name(place) for place in places[:2])


def audit(data: ImageData, *, near: bool = True, progress: bool | None = None) -> Audit:
    """Find what could make a result on these images wrong.

    That is: empty images, equal images within and across splits, equal images under different labels, and test images
    that are nearly a training image (mirrored, moved by a pixel, brightened, recompressed). If no groups were given,
    also test images that seem to belong together, by their names or as near duplicates.

    >>> import modelzero as mz
    >>> found = mz.audit(mz.load("digits"))
    >>> found.constant, found.same, found.imbalance < 1.1
    ((), (), True)

    Args:
        data: the dataset, as returned by `mz.load`.
        near: search for near duplicates. The time is proportional to the number of test images times that of all
            images, some ten seconds for 60,000 + 10,000. The result is kept in the user's cache folder, under the
            fingerprint of the data, so each dataset is searched once.
        progress: show a bar during that search; None means only in a terminal.

    Returns:
        An `Audit`: `sentences()` describes the findings, `as_dict()` returns them for programs.

    Raises:
        DataError: `data` is not an `ImageData`.
    """
    if not isinstance(data, ImageData):
        raise DataError(f"data of type {type(data).__name__}: expected an ImageData, as returned by mz.load")
    began = time.perf_counter()
    found = searched(data, near=near, progress=progress)
    clusters = None if found.within is None else _clusters(found.same, found.within)
    return Audit(
        data=data,
        constant=found.constant,
        faint=found.faint,
        same=found.same,
        near=found.across,
        test_clusters=clusters,
        grouping=hint_of(data, clusters),
        seconds=time.perf_counter() - began,
    )


def _clusters(same: Sequence[Sequence[Place]], near: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Find the clusters of test images, given the groups of equal ones and the pairs of nearly equal ones."""
    equal = [[position for split, position in group if split == "test"] for group in same]
    pairs = [(group[0], position) for group in equal for position in group[1:]]
    return clusters_of([*pairs, *near])


def _count(count: int, one: str, more: str | None = None) -> str:
    """Return a count with its noun and verb.

    >>> _count(1, "image"), _count(1200, "file")
    ('1 image is', '1,200 files are')
    """
    return f"{count:,} {one} is" if count == 1 else f"{count:,} {more or one + 's'} are"


def _capped(items: Sequence[Any]) -> dict[str, Any]:
    return {"count": len(items), "first": list(items[:MOST_LISTED])}
