"""Find test images that seem to belong together, by names or pixels, although no groups were given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from modelzero.data.auditing.groups import suggest_groups
from modelzero.data.dataset import ImageData
from modelzero.data.splits import groups_by_pattern
from modelzero.errors import counted, quoted

# The share and number of near duplicates among test images that are worth a hint; a pair or two are not.
LEAST_CLUSTERED, LEAST_CLUSTERED_IMAGES = 0.02, 5


@dataclass(frozen=True)
class GroupHint:
    """Test images that seem to belong together, though no groups were given.

    Args:
        by: "names" or "near duplicates".
        pattern: for `--group`; None for near duplicates.
        groups: the number of groups that these images are in.
        images: the number of test images that seem to share a group with another image.
        test_images: the number of all test images.
        example: the names of two images of one group, or their split and position.
    """

    by: str
    pattern: str | None
    groups: int
    images: int
    test_images: int
    example: tuple[str, ...]

    def sentence(self) -> str:
        """Describe what was found, what it means and what to do.

        >>> GroupHint("near duplicates", None, 40, 120, 500, ("test 3", "test 8")).sentence()[:79]
        '120 of 500 test images are nearly equal to another test image (in 40 clusters, '
        """
        such_as = " and ".join(map(quoted, self.example))
        share = f"{self.images:,} of {self.test_images:,} test images"
        why = "images of one group are not independent, so intervals would be too short"
        if self.by == "names":
            stems = counted(self.groups, "stem")
            return (
                f"File names suggest that images come in groups ({share} share {stems} with other images, such as "
                f"{such_as}): {why}; if that is right, give --group '{self.pattern}'."
            )
        return (
            f"{share} are nearly equal to another test image (in {counted(self.groups, 'cluster')}, such as "
            f"{such_as}): {why}; if they belong together, give --group, or groups= and test_groups= for arrays."
        )


def clusters_of(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Join pairs into clusters of positions that are linked, directly or through others.

    >>> clusters_of([(7, 2), (0, 9), (9, 4)])
    ((0, 4, 9), (2, 7))

    Returns:
        Positions in ascending order, clusters in the order of their first.
    """
    cluster: dict[int, set[int]] = {}
    for first, second in pairs:
        small, large = sorted((cluster.get(each, {each}) for each in (first, second)), key=len)
        large |= small
        cluster.update(dict.fromkeys(small | {first, second}, large))
    different = {id(each): each for each in cluster.values()}
    return tuple(sorted(tuple(sorted(each)) for each in different.values()))


def hint_of(data: ImageData, clusters: Sequence[Sequence[int]] | None) -> GroupHint | None:
    """Return a hint if test images seem to belong together and no groups were given.

    >>> import modelzero as mz
    >>> data = mz.load("digits")
    >>> hint_of(data, []) is None, hint_of(data, [range(40)]).images
    (True, 40)

    Args:
        data: the dataset.
        clusters: the positions of test images that are equal or nearly equal; None if the search was skipped.
    """
    if data.test.groups is not None or data.grouped_by is not None:
        return None
    return _by_names(data) or _by_likeness(data, clusters or ())


def _by_names(data: ImageData) -> GroupHint | None:
    """Search the names of the test images; if their split was drawn, also those of the images it was drawn from."""
    test = data.test.names
    if test is None:
        return None
    splits = [split for split in (data.train, data.validation) if split is not None and split.names is not None]
    looked_at = [data.test] + [split for split in splits if split is data.train and data.split is not None]
    names = [name for split in looked_at for name in split.names or ()]
    others = [name for split in splits if split not in looked_at for name in split.names or ()]
    others += [name for name, _ in data.left_out]
    found = suggest_groups(names, torch.cat([split.labels for split in looked_at]).numpy(), others=others)
    if found is None:
        return None
    groups = groups_by_pattern(names, found.pattern)
    sizes = Counter(groups)
    shared = [group for group in groups[: len(test)] if sizes[group] > 1]
    if not shared:
        return None
    example = [name for name, group in zip(names, groups, strict=True) if group == shared[0]]
    return GroupHint("names", found.pattern, len(set(shared)), len(shared), len(test), tuple(example[:2]))


def _by_likeness(data: ImageData, clusters: Sequence[Sequence[int]]) -> GroupHint | None:
    images = sum(map(len, clusters))
    if images < max(LEAST_CLUSTERED_IMAGES, LEAST_CLUSTERED * len(data.test)):
        return None
    names = data.test.names
    example = tuple(f"test {place}" if names is None else names[place] for place in clusters[0][:2])
    return GroupHint("near duplicates", None, len(clusters), images, len(data.test), example)
