"""What a reader finds before any image is decoded: which images there are, of which class, in which split."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "test", "validation")


@dataclass(frozen=True, slots=True)
class Item:
    """One image that is still a file, or the bytes of one.

    Args:
        name: what messages, audits and predictions call it: its path below the source, or the table's row.
        label: the name of its class.
        split: `train`, `test` or `validation`; None where the source does not say.
        group: what must stay on one side of a split, such as a patient or a video; None where nothing must.
        content: the file's path, or its bytes where it lies within another file.
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
        name: what tables and records call the set.
        source: where the images come from, in words.
        items: the images; a folder's are sorted by class, then by name.
        classes: class names in label order, also of classes without an image.
        notes: what the user should know of how the source was read, a sentence each.
    """

    name: str
    source: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
