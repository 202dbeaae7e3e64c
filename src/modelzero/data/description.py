"""The description of a dataset in a record: typed, read from JSON and written to JSON of format 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from modelzero.data.options import Origin


@dataclass(frozen=True)
class DrawnSplit:
    """How a test split was drawn from a source that has none.

    Args:
        rule: `stratified`, or `stratified, groups kept whole`.
        test_share: the requested fraction.
        seed: seed of the draw.
        group: what the groups come from, such as "column patient"; None if there are none.
        reached: the fraction that was drawn.
        groups: number of groups.
    """

    rule: str
    test_share: float
    seed: int
    group: str | None
    reached: float
    groups: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as stored in records."""
        groups = {} if self.groups is None else {"groups": self.groups}
        settings = {name: getattr(self, name) for name in ("rule", "test_share", "seed", "group")}
        return {**settings, **groups, "reached": self.reached}


@dataclass(frozen=True)
class GroupCounts:
    """The number of groups in each split.

    Args:
        by: what the groups come from, such as "column patient"; None if unknown.
        train: groups in the training split; None if the images are independent.
        test: groups in the test split.
        validation: groups in the validation split.
    """

    by: str | None
    train: int | None
    test: int | None
    validation: int | None


@dataclass(frozen=True)
class DataDescription:
    """A dataset as described in records.

    Args:
        name: its name in tables.
        source: where the images came from, in words.
        fingerprint: SHA-256 of class names, labels and pixels.
        classes: class names in label order.
        train_images: number of training images.
        test_images: number of test images.
        image_shape: channels, height and width.
        split: how the test split was drawn; None if the source has one.
        origin: what loads the same data again; None for images passed as arrays.
        share: the fraction of the training split that was kept; None for all of it.
        share_seed: seed of that draw.
        validation_images: number of validation images; None if the source has none.
        groups: numbers of groups; None if no image belongs to one.
        left_out: number of unreadable files.
        notes: decisions made while loading, one sentence each, for readers only.
        more: fields added by a newer version.
    """

    name: str
    source: str
    fingerprint: str
    classes: tuple[str, ...]
    train_images: int
    test_images: int
    image_shape: tuple[int, int, int]
    split: DrawnSplit | None = None
    origin: Origin | None = None
    share: float | None = None
    share_seed: int | None = None
    validation_images: int | None = None
    groups: GroupCounts | None = None
    left_out: int = 0
    notes: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> DataDescription:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: the document is damaged.
        """
        known = {each.name for each in fields(cls)} - {"more"}
        values = {name: value for name, value in stored.items() if name in known}
        channels, height, width = values["image_shape"]
        values |= {
            "image_shape": (channels, height, width),
            "classes": tuple(values["classes"]),
            "notes": tuple(values.get("notes", ())),
            "split": _made(DrawnSplit, values["split"]) if values.get("split") else None,
            "origin": Origin.from_dict(values["origin"]) if values.get("origin") else None,
            "groups": _made(GroupCounts, values["groups"]) if values.get("groups") else None,
        }
        return cls(**values, more={name: value for name, value in stored.items() if name not in known})

    def as_dict(self) -> dict[str, Any]:
        """Return it as stored in records."""
        described: dict[str, Any] = {
            "name": self.name,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "train_images": self.train_images,
            "test_images": self.test_images,
            "image_shape": list(self.image_shape),
            "split": None if self.split is None else self.split.as_dict(),
            "origin": None if self.origin is None else self.origin.as_dict(),
        }
        if self.share is not None:
            described |= {"share": self.share, "share_seed": self.share_seed}
        if self.validation_images is not None:
            described["validation_images"] = self.validation_images
        if self.groups is not None:
            described["groups"] = vars(self.groups)
        if self.left_out:
            described["left_out"] = self.left_out
        if self.notes:
            described["notes"] = list(self.notes)
        return {**described, **self.more}


_Kind = TypeVar("_Kind")


def _made(kind: type[_Kind], stored: Mapping[str, Any]) -> _Kind:
    """Create a dataclass from its stored fields; ignore fields added by a newer version."""
    known = {each.name for each in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    return kind(**{name: value for name, value in stored.items() if name in known})
