"""What a reader finds before any image is decoded: the images, their classes and their splits."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "test", "validation")


@dataclass(frozen=True, slots=True)
class Item:
    """One image that is not decoded yet: a file or its bytes.

    Args:
        name: its name in messages, audits and predictions: the path below the source, or the row of the table.
        label: the name of its class.
        split: `train`, `test` or `validation`; None if the source does not say.
        group: what must stay on one side of a split, such as a patient or a video; None if there is none.
        content: the path of the file, or its bytes if it is inside another file.
    """

    name: str
    label: str
    split: str | None
    group: str | None
    content: str | bytes


@dataclass(frozen=True)
class Listing:
    """The images that a reader found, in the order in which the source has them.

    Args:
        name: the name of the dataset in tables and records.
        source: a description of where the images come from.
        items: the images; a folder's are sorted by class, then by name.
        classes: class names in label order, also of classes without an image.
        notes: what the user should know about how the source was read, one sentence each.
    """

    name: str
    source: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
