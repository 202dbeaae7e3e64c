"""`ImageData`: images, labels and class names in a training and a test split, with a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from modelzero.data.description import DataDescription, DrawnSplit, GroupCounts
from modelzero.data.options import Origin
from modelzero.errors import DataError, counted


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    >>> import torch
    >>> images, labels = torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.tensor([3, 7, 7])
    >>> split = Split(images, labels, groups=torch.tensor([0, 0, 1]))
    >>> len(split), split.group_count
    (3, 2)

    Args:
        images: uint8 [N, C, H, W], N at least 1.
        labels: int64 [N], one label number for each image.
        names: the name of each image in messages and audits, such as its path; None if they have none.
        groups: int64 [N], the number of each image's group, such as a patient or a video: 0 or more, the same number in
            all splits of one `ImageData`. Stored as None if each image is its own group.

    Raises:
        DataError: no image, a wrong shape or type, counts that differ, or a group number below 0.
    """

    images: Tensor
    labels: Tensor
    names: tuple[str, ...] | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                f"images of type {self.images.dtype} and shape {list(self.images.shape)}: "
                "expected uint8 [N, C, H, W]; scale to 0..255 and add the missing dimensions"
            )
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError(
                f"labels of type {self.labels.dtype} and shape {list(self.labels.shape)}: "
                "expected int64 [N], one number for each image"
            )
        if len(self.images) != len(self.labels):
            raise DataError(
                f"{len(self.images)} images but {len(self.labels)} labels: "
                "expected one label for each image; check that both files belong together"
            )
        if self.images.numel() == 0:
            raise DataError(
                f"zero images, or images without pixels (shape {list(self.images.shape)}): "
                "expected at least one image in each split; check the source"
            )
        if self.groups is not None:
            self._check_groups(self.groups)
            if len(torch.unique(self.groups)) == len(self):
                object.__setattr__(self, "groups", None)  # nothing is grouped

    def _check_groups(self, groups: Tensor) -> None:
        if groups.dtype != torch.int64 or groups.ndim != 1:
            raise DataError(
                f"groups of type {groups.dtype} and shape {list(groups.shape)}: expected int64 [N], one number for "
                "each image"
            )
        if len(groups) != len(self):
            raise DataError(f"{len(groups)} groups for {len(self)} images: expected one number for each image")
        if int(groups.min()) < 0:
            raise DataError(f"group number {int(groups.min())}: expected whole numbers of at least 0")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def group_count(self) -> int | None:
        """The number of groups; None if the images are independent."""
        return None if self.groups is None else len(torch.unique(self.groups))


@dataclass(frozen=True, eq=False)
class ImageData:
    """A dataset of images that models can be trained and tested on.

    >>> import torch
    >>> split = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    >>> data = ImageData("two", train=split, test=split, classes=("dark", "bright"))
    >>> data.image_shape, data.fingerprint[:8]
    ((1, 8, 8), 'b143e648')

    Args:
        name: its name in tables and records.
        train: the training split.
        test: the test split.
        classes: the class names in the order of the label numbers.
        source: where the images came from, in words.
        validation: a split of the source that is used neither for training nor for testing; None if there is none.
        left_out: unreadable images, each with its reason.
        notes: decisions made while loading, one sentence each.
        split: how the test split was drawn; None if the source has its own.
        share: the fraction of the training split that was kept, and the seed; None for all of it.
        origin: what loads the same data again; None for images passed as arrays.
        grouped_by: what the groups come from, in words, such as "column patient"; None if unknown.

    Raises:
        DataError: fewer than two classes, a label without a class name, a split without images, or splits
            whose images differ in shape.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    source: str = "memory"
    validation: Split | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    split: DrawnSplit | None = None
    share: tuple[float, int] | None = None
    origin: Origin | None = None
    grouped_by: str | None = None

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DataError(
                f"training images are {list(self.train.images.shape[1:])}, test images "
                f"{list(self.test.images.shape[1:])} [C, H, W]: expected one shape for both splits"
            )
        if self.validation is not None and self.validation.images.shape[1:] != self.train.images.shape[1:]:
            raise DataError(
                f"training images are {list(self.train.images.shape[1:])}, validation images "
                f"{list(self.validation.images.shape[1:])} [C, H, W]: expected one shape for all splits"
            )
        if len(self.classes) < 2:
            raise DataError(f"class names {list(self.classes)}: expected at least two classes")
        for split_name, split in (("training", self.train), ("test", self.test), ("validation", self.validation)):
            if split is None:
                continue
            low, high = int(split.labels.min()), int(split.labels.max())
            if low < 0 or high >= len(self.classes):
                raise DataError(
                    f"{split_name} labels run from {low} to {high}, but there are {len(self.classes)} classes: "
                    f"expected labels from 0 to {len(self.classes) - 1}"
                )
        present = len(torch.unique(self.train.labels))
        if present < 2:
            only = self.classes[int(self.train.labels[0])]
            raise DataError(f"every training image belongs to one class ({only!r}): expected at least two classes")

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        sizes = f"{len(self.train):,} training and {len(self.test):,} test images"
        return f"ImageData({self.name!r}, {sizes} of {shape}, {counted(len(self.classes), 'class', 'classes')})"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name: train, test, and validation if there is one."""
        splits = {"train": self.train, "test": self.test}
        return splits if self.validation is None else {**splits, "validation": self.validation}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of class names, labels and decoded pixels of both splits.

        It does not depend on the name, the source, the groups or the file format: the same images have the same
        fingerprint, however they are stored.
        """
        digest = hashlib.sha256()
        digest.update(json.dumps(["modelzero image data 1", list(self.classes)]).encode())
        for split in (self.train, self.test):
            digest.update(json.dumps(list(split.images.shape)).encode())
            digest.update(np.ascontiguousarray(split.images.numpy()).data)
            digest.update(split.labels.numpy().astype("<i8").data)
        return digest.hexdigest()

    @cached_property
    def description(self) -> DataDescription:
        """The description of the data for a record."""
        splits = {"train": self.train, "test": self.test, "validation": self.validation}
        counts = {name: None if split is None else split.group_count for name, split in splits.items()}
        grouped = any(count is not None for count in counts.values())
        share, share_seed = self.share or (None, None)
        return DataDescription(
            name=self.name,
            source=self.source,
            fingerprint=self.fingerprint,
            classes=self.classes,
            train_images=len(self.train),
            test_images=len(self.test),
            image_shape=self.image_shape,
            split=self.split,
            origin=self.origin,
            share=share,
            share_seed=share_seed,
            validation_images=None if self.validation is None else len(self.validation),
            groups=GroupCounts(self.grouped_by, **counts) if grouped else None,
            left_out=len(self.left_out),
            notes=self.notes,
        )

    def with_source(self, source: str, notes: Iterable[str] = ()) -> ImageData:
        """Return the same data with another source, and with notes added before its own."""
        return replace(self, source=source, notes=(*notes, *self.notes))

    def counts(self) -> list[tuple[str, int, int]]:
        """Return name, number of training images and number of test images of each class, in label order."""
        n = len(self.classes)
        train = torch.bincount(self.train.labels, minlength=n).tolist()
        test = torch.bincount(self.test.labels, minlength=n).tolist()
        return list(zip(self.classes, train, test, strict=True))
