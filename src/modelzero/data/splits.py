"""Draw the test split class by class with a seed, keeping groups whole, and nested shares of the training split.

A draw depends only on the labels in their order and the seed. It uses the raw bits of PCG64, which numpy keeps
identical across versions, unlike its shuffles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from modelzero.errors import DataError, SettingError, some

_TEST, _SHARE, _GROUPS = 1, 2, 3  # purposes of draws: draws with the same seed are independent
_PASSES = 3  # how often each group may change sides after the first assignment
_MOST_ATTEMPTS, _MOST_VISITS = 20, 20_000  # number of orders that are tried: more if there are few groups


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names: by number if all are whole numbers, otherwise by characters.

    >>> class_order(["10", "9", "9"]), class_order(["dog", "10", "Cat"])
    (('9', '10'), ('10', 'Cat', 'dog'))
    """
    unique = set(names)
    if all(re.fullmatch("0|[1-9][0-9]*", name) for name in unique):
        return tuple(sorted(unique, key=lambda name: (len(name), name)))
    return tuple(sorted(unique))


def draw_test(labels: NDArray[np.int64], *, test_share: float, seed: int) -> NDArray[np.bool_]:
    """Draw a test split class by class: the share of each class, rounded, but at least one image on each side.

    >>> draw_test(np.array([0, 0, 0, 0, 1, 1, 1, 1]), test_share=0.25, seed=0).sum()
    np.int64(2)

    Args:
        labels: [N], each class at least twice.
        test_share: fraction between 0 and 1.
        seed: determines the draw, together with the labels.

    Returns:
        [N], True for the test images.
    """
    test = np.zeros(len(labels), bool)
    for label, places in _by_class(labels):
        count = min(max(_rounded(len(places) * test_share), 1), len(places) - 1)
        test[places[_random_order(len(places), seed, _TEST, label)[:count]]] = True
    return test


def draw_share(labels: NDArray[np.int64], *, share: float, seed: int) -> NDArray[np.int64]:
    """Draw the share of each class, rounded, but at least one image; a smaller share is a subset of a larger one.

    >>> few, more = (draw_share(np.arange(100) % 5, share=share, seed=1) for share in (0.1, 0.2))
    >>> len(few), len(more), set(few) < set(more)
    (10, 20, True)

    Returns:
        The positions of the images in `labels`, ascending.
    """
    kept = [
        places[_random_order(len(places), seed, _SHARE, label)[: max(_rounded(len(places) * share), 1)]]
        for label, places in _by_class(labels)
    ]
    return np.sort(np.concatenate(kept))


def draw_test_groups(
    labels: NDArray[np.int64], groups: Sequence[str], *, test_share: float, seed: int
) -> NDArray[np.bool_]:
    """Draw a test split of whole groups that approximates the share in every class.

    Groups are moved to the test split one after the other if that brings the classes closer to their share: the sum
    over classes of (images - wanted)^2 / wanted decreases. Then each may change sides. This is repeated with the
    largest groups first and in several random orders; the best result is kept.

    >>> labels, groups = np.array([0, 1] * 10), [str(k // 4) for k in range(20)]
    >>> test = draw_test_groups(labels, groups, test_share=0.2, seed=0)
    >>> test.sum(), {groups[k] for k in test.nonzero()[0]} & {groups[k] for k in (~test).nonzero()[0]}
    (np.int64(4), set())

    Args:
        labels: [N].
        groups: [N], the group of each image.
        test_share: fraction between 0 and 1.
        seed: determines the draw, together with labels and groups.

    Returns:
        [N], True for the test images. A class whose images all belong to one group is only on one side.
    """
    first: dict[str, int] = {}  # numbered in order of appearance: the names of groups must not matter
    numbers = np.array([first.setdefault(group, len(first)) for group in groups])
    counts = _counts(labels, numbers, len(first))
    totals = np.bincount(labels)
    sizes = np.bincount(numbers)
    best: tuple[float, NDArray[np.bool_]] | None = None
    for attempt in range(max(1, min(_MOST_ATTEMPTS, _MOST_VISITS // len(first)))):
        order = _random_order(len(first), seed, _GROUPS, attempt)
        if attempt == 0:
            order = order[np.argsort(-sizes[order], kind="stable")]
        found = _assign_groups(order, counts, totals, test_share)
        if best is None or found[0] < best[0] - 1e-9:
            best = found
    assert best is not None
    sided: NDArray[np.bool_] = best[1][numbers]
    return sided


def _assign_groups(
    order: NDArray[np.int64],
    counts: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    totals: NDArray[np.int64],
    test_share: float,
) -> tuple[float, NDArray[np.bool_]]:
    """Assign groups to the test split in this order; return the distance of the classes from their share, and sides."""
    wanted = totals * test_share
    sides = np.zeros(len(counts), bool)
    tested = np.zeros(len(totals), np.int64)
    groups_of_class = np.bincount(np.concatenate([classes for classes, _ in counts]), minlength=len(totals))
    for sweep in range(1 + _PASSES):
        changed = False
        for group in order:
            classes, n = counts[group]
            step = -n if sides[group] else n
            after = tested[classes] + step
            # A class with several groups keeps at least one on each side, once it has that.
            several = groups_of_class[classes] > 1
            if np.any(several & ((after == totals[classes]) | ((after == 0) & bool(sides[group])))):
                continue
            gain = (step * (2 * (tested[classes] - wanted[classes]) + step) / wanted[classes]).sum()
            missing = not sides[group] and sweep == _PASSES and np.any(several & (tested[classes] == 0))
            if gain < -1e-9 or missing:
                sides[group] = not sides[group]
                tested[classes] = after
                changed = True
        if not changed and sweep < _PASSES and np.all(tested[groups_of_class > 1] > 0):
            break
    there = wanted > 0
    missing_classes = np.count_nonzero((tested == 0) & there) + np.count_nonzero((tested == totals) & there)
    distance = ((tested - wanted)[there] ** 2 / wanted[there]).sum()
    return float(distance + missing_classes * totals.sum()), sides


def groups_by_pattern(names: Sequence[str], pattern: str) -> list[str]:
    r"""Find the group of each image in its name: the pattern's first parentheses, or the whole match.

    >>> groups_by_pattern(["cat/v1-001.png", "cat/v2-001.png"], r"v(\d+)-")
    ['1', '2']

    Raises:
        SettingError: the pattern is invalid.
        DataError: the pattern does not match a name.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingError(f"group {pattern[:60]!r} is neither a column nor a pattern: {error}") from None
    groups = []
    for name in names:
        found = compiled.search(name)
        group = found and found.group(1 if compiled.groups else 0)
        if not group:
            raise DataError(
                f"group {pattern[:60]!r} is not a column, and as a pattern it does not match the name "
                f"{name[:80]!r}: expected a column, or a pattern that matches each name"
            )
        groups.append(group)
    return groups


def check_both_splits(classes: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
    """Check that each class with images has some on both sides.

    Args:
        classes: class names in label order.
        train: labels of the training split.
        test: labels of the test split.

    Raises:
        DataError: some classes are only on one side; it names them.
    """
    train_counts, test_counts = (np.bincount(labels, minlength=len(classes)) for labels in (train, test))
    present = int(np.count_nonzero(train_counts + test_counts))
    for lacking, other, word in ((test_counts, train_counts, "test"), (train_counts, test_counts, "training")):
        names = [classes[label] for label in np.flatnonzero((lacking == 0) & (other > 0)).tolist()]
        if names:
            raise DataError(
                f"{len(names)} of {present} classes {'have' if len(names) > 1 else 'has'} no {word} image: "
                f"{some(names)}; add {word} images, or remove {'these classes' if len(names) > 1 else 'this class'}"
            )


def check_divisible(classes: Sequence[str], labels: NDArray[np.int64], groups: Sequence[str] | None) -> None:
    """Check that no class has only one image or one group, so that each can be on both sides of a split.

    Raises:
        DataError: some classes have only one; it names them.
    """
    single = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 1).tolist()
    if single:
        names = [classes[label] for label in single]
        raise DataError(
            f"{len(names)} of {len(classes)} classes {'have' if len(names) > 1 else 'has'} a single image: "
            f"{some(names)}; expected at least two, one to train on and one to test on"
        )
    if groups is not None:
        seen: dict[int, set[str]] = {}
        for label, group in zip(labels.tolist(), groups, strict=True):
            seen.setdefault(label, set()).add(group)
        names = [classes[label] for label, found in sorted(seen.items()) if len(found) == 1]
        if names:
            raise DataError(
                f"{len(names)} of {len(classes)} classes {'have' if len(names) > 1 else 'has'} images of one group "
                f"only: {some(names)}; expected at least two groups, one to train on and one to test on"
            )


def _by_class(labels: NDArray[np.int64]) -> Iterable[tuple[int, NDArray[np.int64]]]:
    """Return each label that occurs with its positions, ascending."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    return zip(present.tolist(), np.split(order, starts[1:]), strict=True)


def _random_order(count: int, seed: int, purpose: int, label: int) -> NDArray[np.int64]:
    return np.argsort(np.random.PCG64([seed, purpose, label]).random_raw(count), kind="stable")


def _rounded(number: float) -> int:
    """Round half up. The small addition compensates rounding errors such as 0.3 * 5 = 1.4999999999999998."""
    return int(number + 0.5 + 1e-9)


def _counts(
    labels: NDArray[np.int64], numbers: NDArray[np.int64], groups: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the labels of each group and the number of images of each."""
    width = int(labels.max()) + 1
    pairs, n = np.unique(numbers * width + labels, return_counts=True)
    starts = np.searchsorted(pairs, np.arange(1, groups) * width)
    return list(zip(np.split(pairs % width, starts), np.split(n, starts), strict=True))
