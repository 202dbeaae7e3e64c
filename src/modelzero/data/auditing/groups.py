"""Suggest groups from the names of images.

A name suggests a group if it is a stem and a running part, `video1_0007.png`, and if many images share each of many
stems. Stems must have a number of their own: `cat_0007.png` belongs to a class, not to a group. Dates and times, as
written by cameras, do not count, nor do the numbers of batches, folds and classes.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzero.data.splits import groups_by_pattern
from modelzero.errors import DataError

_LEAST_GROUPED = 0.5  # of the images must be in groups of at least two
_LEAST_MEAN = 2.0  # images for each group, those of one image included
_LEAST_MEAN_TELLING = 1.5  # the same if the running part itself says what it is
_LEAST_GROUPS = 3  # in more than half of the classes: a single stem for a class is not a group
_LEAST_PURITY = 0.8  # of the images have the most frequent label of their group
_LEAST_NAMED = 0.9  # of the grouped images are in groups whose stem has a number of its own
_LEAST_REPEATED = 0.1  # of the names are also among the others if numbering restarts in each split
_LOOKED_AT = 1000  # names that show whether a pattern is worth trying


@dataclass(frozen=True)
class Suggestion:
    """A pattern that divides names into groups.

    Args:
        pattern: for `--group`; it matches each of the names.
        groups: the number of groups of at least two images.
        images: the number of images in them.
        example: two names of one group.
    """

    pattern: str
    groups: int
    images: int
    example: tuple[str, ...]


@dataclass(frozen=True)
class _Kind:
    """A naming scheme.

    Args:
        running: the part that differs within a group, as a pattern; empty if a folder is the group.
        above: the number of folder levels above the image, including that of the group.
        telling: whether the running part says what it is, so that stems may be repeated from class to class.
        any_stem: whether the stem may lack a number of its own.
    """

    running: str = ""
    above: int = 0
    telling: bool = False
    any_stem: bool = False

    def patterns(self, stem: str, *, roboflow: bool) -> list[str]:
        """Return a pattern for names that all have the running part, and one for names of which some have it."""
        if self.above:
            return [f"{stem.replace('?', '')}{'/[^/]+' * self.above}$"]
        if roboflow:
            return [f"{stem}{self.running}{_ROBOFLOW_ENDING}"]
        return [rf"{stem}{self.running}\.\w+$", rf"{stem}(?:{self.running})?(?:\.[^./]*)?$"]

    def is_likely(self, sample: Sequence[str], stem: str, *, roboflow: bool) -> bool:
        """Return whether a sample of the names suggests that searching all of them is worthwhile."""
        looked_at = sample if self.above else _files(sample)
        if _share_of(looked_at, "/" if self.above else self.running) < _LEAST_GROUPED / 2:
            return False
        _, groups = _divided(self.patterns(stem, roboflow=roboflow), sample)
        return self.any_stem or sum(map(_has_number, groups)) >= _LEAST_GROUPED / 2 * len(sample)


_GAP = r"[-_.\s]+"
_NUMBER = _Kind(rf"{_GAP}[A-Za-z]*[-_.\s]*\d{{1,6}}")
# Folders first: images in one folder belong together at least as closely as images with one stem.
_FOLDERS = (_Kind(above=2), _Kind(above=1))
_KINDS = (
    *_FOLDERS,
    _Kind(rf"{_GAP}[A-Za-z]+_?\d+{_GAP}[A-Za-z]+_?\d+"),  # such as tiles, slide7_x0_y3.png
    _NUMBER,
    _Kind(rf"{_GAP}(?i:frame|slice|patch|tile)[-_.\s]*\d+", telling=True, any_stem=True),
    _Kind(rf"{_GAP}[hv]?\d*(?i:aug|blur|bright|copy|deg|flip|mirror|nois|rot)[^/]*", telling=True),
    _Kind(r"\s?\(\d+\)", telling=True),
    _Kind(rf"{_GAP}(?i:left|right|front|back|top|bottom|side)", telling=True),
)
# Roboflow's exports: all names end like this, `video1-0001_jpg.rf.<hash>.jpg`.
_ROBOFLOW_ENDING = r"(?:_[A-Za-z]+)?\.rf\."
_ROBOFLOW = (*_FOLDERS, _NUMBER, _Kind(telling=True, any_stem=True))

_STEM, _PATH = "([^/]+?)", "(.+?)"
_STEM_OF_ROW = "([^]/]+?)"  # a row of a Parquet file is called "train[7] video1_0007.png"
# Patterns that are easier to read, preferred if they divide the names in the same way.
_SIMPLE = (r"([^/]+)\.rf\.", "([^/]+)_", "([^/]+)-", r"(.+)\.rf\.", "(.+)_", "(.+)-")
# Things whose numbering may restart in each class, so that the class must be part of the group.
_REPEATED = re.compile(
    r"(?:animal|case|cell|clip|loc(?:ation)?|movie|patient|pat|person|plant|plot|pt|scan|scene|seq(?:uence)?|series|"
    r"session|site|slide|specimen|stack|sub(?:j(?:ect)?)?|track|vid(?:eo)?|vol(?:ume)?|well)[-_.\s]*\d",
    re.IGNORECASE,
)
# Things that are numbered but are not groups.
_PORTION = re.compile(
    r"(?:^|[^a-z])(?:age|batch|category|chunk|class|cls|dataset|epoch|fold|grade|label|level|part|score|set|shard|split|"
    r"stage|step|test|train|val|version)[-_.\s]*\d+$|^n\d{8}(?!\d)",  # the latter are ImageNet's classes
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])|\d\d?[-_.]\d\d?[-_.](?:19|20)\d\d|"
    r"[12]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d))(?:T|\sat\s)?[\d\W_]*|(?<!\d)(?:19|20)\d\d(?!\d)"
)
_CAMERA_FOLDER = re.compile(r"1\d\d(?:[A-Z_]{5})?$")  # 100CANON/, 101_0042.JPG


def suggest_groups(
    names: Sequence[str], labels: Sequence[int] | NDArray[np.int64], *, others: Sequence[str] = ()
) -> Suggestion | None:
    r"""Find a pattern that divides names into groups; return None if there is no plausible one.

    A pattern is accepted if at least half of the images are in groups of two or more, groups have two images or more on
    average, most classes have at least three groups, and most images of a group have one label.

    >>> pets, labels = ["cat"] * 45 + ["dog"] * 45, [0] * 45 + [1] * 45
    >>> names = [f"{pet}/{pet}{k // 9 % 5}_{k % 9:04}.png" for k, pet in enumerate(pets)]
    >>> found = suggest_groups(names, labels)
    >>> found.groups, found.images, found.example
    (10, 90, ('cat/cat0_0000.png', 'cat/cat0_0001.png'))
    >>> groups_by_pattern(names, found.pattern)[::20]
    ['cat0', 'cat2', 'cat4', 'dog1', 'dog3']
    >>> suggest_groups([f"{pet}/{pet}_{k}.png" for k, pet in enumerate(pets)], labels)

    Args:
        names: the names of the images, such as their paths.
        labels: the label of each.
        others: more names from the same source, which the pattern must match too. If these repeat the
            file names, as `train/cat/video1_1.png` and `test/cat/video1_1.png` do, folders are part of the group.
    """
    order = np.random.default_rng(0).permutation(len(names))  # not every k-th: that may be the first of each group
    sample = [names[place] for place in order[:_LOOKED_AT]]
    roboflow = _share_of(sample, _ROBOFLOW_ENDING) > _LEAST_GROUPED
    stem = _STEM_OF_ROW if _share_of(sample, r"\[\d+\] ") > _LEAST_GROUPED else _STEM
    numbers = np.asarray(labels)
    for kind in _ROBOFLOW if roboflow else _KINDS:
        if not kind.is_likely(sample, stem, roboflow=roboflow):
            continue
        for start in (stem, _PATH):
            short = start == stem and not kind.above  # searching file names alone is faster
            looked_at, others_too = (_files(names), _files(others)) if short else (names, others)
            pattern, groups = _divided(kind.patterns(start, roboflow=roboflow), looked_at, others_too)
            if groups and _accepted(groups, numbers, kind, with_path=start == _PATH):
                if _repeat(names, others, kind.above):
                    pattern, _ = _divided(kind.patterns(_PATH, roboflow=roboflow), names, others)
                if not kind.above:
                    pattern = _simplest(pattern, sample, [*names, *others])
                return _suggestion(pattern, names, others)
    return None


def _files(names: Sequence[str]) -> list[str]:
    """Return the names without the folders."""
    return [name.rpartition("/")[2] for name in names]


def _share_of(names: Sequence[str], pattern: str) -> float:
    """Return the fraction of names that a pattern matches."""
    compiled = re.compile(pattern)
    return sum(compiled.search(name) is not None for name in names) / max(1, len(names))


def _divided(patterns: Iterable[str], names: Sequence[str], others: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Return the first pattern that matches every name, and the groups; no groups if none does."""
    for pattern in patterns:
        with contextlib.suppress(DataError):
            groups_by_pattern(others, pattern)
            return pattern, groups_by_pattern(names, pattern)
    return "", []


def _simplest(pattern: str, sample: Sequence[str], names: Sequence[str]) -> str:
    """Return a simple pattern that divides the names in the same way, or else the given one."""
    simple = [each for each in _SIMPLE if _alike(each, pattern, sample)]
    return next((each for each in simple if _alike(each, pattern, names)), pattern)


def _alike(first: str, second: str, names: Sequence[str]) -> bool:
    """Return whether two patterns divide the names into the same groups."""
    groups, others = (_divided([pattern], names)[1] for pattern in (first, second))
    return len(groups) == len(others) and len({*zip(groups, others, strict=True)}) == len({*groups}) == len({*others})


def _accepted(groups: Sequence[str], labels: NDArray[np.int64], kind: _Kind, *, with_path: bool) -> bool:
    """Return whether groups are many, of several images each, of one label, and have names like those of groups."""
    first: dict[str, int] = {}
    numbers = np.array([first.setdefault(group, len(first)) for group in groups])
    stems = [group.rpartition("/")[2] for group in first]
    grouped = np.bincount(numbers)[numbers] > 1
    least_mean = _LEAST_MEAN_TELLING if kind.telling else _LEAST_MEAN
    if grouped.mean() < _LEAST_GROUPED or len(groups) < least_mean * len(stems):
        return False
    classes, places = np.unique(labels, return_inverse=True)
    members, labelled = numbers[grouped], places[grouped]
    pairs = np.unique(labelled * len(stems) + members) // len(stems)
    if 2 * np.count_nonzero(np.bincount(pairs, minlength=len(classes)) >= _LEAST_GROUPS) <= len(classes):
        return False
    purity = _purity(members, labelled)
    by_chance = _purity(members, np.random.default_rng(0).permutation(labelled))
    if purity < max(_LEAST_PURITY, (1 + by_chance) / 2):
        return False
    if not kind.any_stem:
        named = np.array([_has_number(stem) for stem in stems])
        if named[members].mean() < _LEAST_NAMED or all(_CAMERA_FOLDER.match(stem) for stem in stems):
            return False
    if not with_path or kind.telling:
        return True
    repeated = np.array([bool(_REPEATED.search(stem)) or (not kind.above and stem.isdigit()) for stem in stems])
    return bool(repeated[members].mean() >= _LEAST_NAMED)


def _purity(groups: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the fraction of images that have the most frequent label of their group."""
    pairs, counts = np.unique(groups * (labels.max() + 1) + labels, return_counts=True)
    _, starts = np.unique(pairs // (labels.max() + 1), return_index=True)
    return float(np.maximum.reduceat(counts, starts).sum() / len(groups))


def _has_number(stem: str) -> bool:
    """Return whether a stem has a number that is neither a time nor that of a batch, fold or class.

    >>> [_has_number(stem) for stem in ("video1", "IMG_20210101", "fold3", "cat")]
    [True, False, False, False]
    """
    return _PORTION.search(stem) is None and re.search("[0-9]", _DATE.sub("", stem)) is not None


def _repeat(names: Sequence[str], others: Sequence[str], above: int) -> bool:
    """Return whether some names recur among the others, apart from the folders above the group's."""

    def tail(name: str) -> str:
        return "/".join(name.split("/")[-1 - above :])

    known = {tail(name) for name in others}
    return bool(known) and sum(tail(name) in known for name in names) > _LEAST_REPEATED * len(names)


def _suggestion(pattern: str, names: Sequence[str], others: Sequence[str]) -> Suggestion | None:
    _, groups = _divided([pattern], names, others)
    sizes = Counter(groups)
    several = {group: size for group, size in sizes.items() if size > 1}
    if not several:
        return None
    first = next(iter(several))
    example = [name for name, group in zip(names, groups, strict=True) if group == first]
    return Suggestion(pattern, len(several), sum(several.values()), tuple(example[:2]))
