"""Recognise the columns of a table by their names, and turn its cells into items."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelzero.data.readers.archive import safe_name
from modelzero.data.readers.folder import SPLIT_NAMES, is_inside
from modelzero.errors import DataError, quoted, some

# In order of preference: the first one that a table has is used.
PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_file", "image", "img",
         "picture", "image_id", "name")  # fmt: skip
LABELS = ("label", "labels", "class", "class_name", "label_name", "category", "target", "fine_label", "y")
SPLITS = ("split", "subset", "partition")
GROUPS = ("group", "groups")


@dataclass(frozen=True)
class Columns:
    """The positions of the columns that are used.

    Args:
        image: paths of images, or the images themselves.
        label: class names or numbers.
        split: `train`, `test` or `validation`; None if there is no such column.
        group: what must stay on one side of a split; None if there is no such column.
    """

    image: int
    label: int
    split: int | None
    group: int | None


def choose_columns(
    names: Sequence[str], source: object, *, group: str | None = None, of_images: Sequence[int] | None = None
) -> tuple[Columns, str]:
    """Find the columns by their names; also return a sentence that says which are used.

    >>> choose_columns(["File", "label", "patient"], "x.csv", group="patient")[1]
    "columns used: images 'File', labels 'label', groups 'patient' (found: 'File', 'label', 'patient')"

    Args:
        names: the header.
        source: the name of the table in messages.
        group: the column of groups; ignored if there is no such column.
        of_images: the columns that hold images; None if the table does not say.

    Raises:
        DataError: two columns have the same name, or there is none for images or labels.
    """
    plain = [name.strip().casefold() for name in names]
    twice = next((name for k, name in enumerate(plain) if name in plain[:k]), None)
    if twice is not None:
        raise DataError(f"{source} has two columns {quoted(twice)}: expected one; rename or delete the other")

    def find(candidates: Sequence[str]) -> int | None:
        return next((plain.index(name) for name in candidates if name in plain), None)

    image = find(PATHS) if of_images is None else next(
        (place for name in (*PATHS, "bytes", "image_bytes") for place in of_images if plain[place] == name),
        of_images[0] if len(of_images) == 1 else None,
    )  # fmt: skip
    label = find([name for name in LABELS if image is None or name != plain[image]])
    for place, kind, candidates in ((image, "images or their paths", PATHS), (label, "labels", LABELS)):
        if place is None:
            raise DataError(
                f"{source} has the columns {some(list(names), 12)}: expected one of {kind}, named "
                f"{', '.join(map(repr, candidates[:6]))} or similar; rename it"
            )
    assert image is not None
    assert label is not None
    columns = Columns(image, label, find(SPLITS), find((group.strip().casefold(),) if group else GROUPS))
    taken = {"images": image, "labels": label, "splits": columns.split, "groups": columns.group}
    used = ", ".join(f"{kind} {quoted(names[place])}" for kind, place in taken.items() if place is not None)
    return columns, f"columns used: {used} (found: {some(list(names), 12)})"


def split_of(value: object, where: str) -> str:
    """Return the split that a cell names.

    Raises:
        DataError: it names no split; `where` begins the message.
    """
    split = SPLIT_NAMES.get(str(value).strip().casefold()) if isinstance(value, str) else None
    if split is None:
        raise DataError(f"{where}: split {quoted(str(value))}: expected 'train', 'test' or 'validation'")
    return split


class Inside:
    """Find the files that a table names, only below the table's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.real_root = os.path.realpath(folder)
        self._checked: set[str] = set()

    def find(self, name: str, where: str) -> tuple[str, str]:
        """Return the normalised name and the path of a file.

        Raises:
            DataError: the name points outside the folder, directly or through a link; `where` begins the message.
        """
        try:
            return self._find(name, where)
        except (OSError, ValueError) as error:  # such as a name that is too long
            why = getattr(error, "strerror", None) or error
            raise DataError(f"{where}: invalid path {quoted(name)} ({why}): expected the path of a file") from None

    def _find(self, name: str, where: str) -> tuple[str, str]:
        plain = safe_name(name.strip(), where)
        if "\\" in name and "/" not in name and (self.folder / name).is_file():  # where backslashes are not separators
            plain = name
        path = self.folder / plain
        # Resolving a path reads each of its levels. Folders repeat, so each of them is resolved only once.
        folder = str(path.parent)
        if path.is_symlink() or folder not in self._checked:
            if not all(is_inside(os.path.realpath(each), self.real_root) for each in (folder, path)):
                raise DataError(
                    f"{where}: {quoted(name, 200)} is a link that points outside {self.folder}: expected files below it"
                )
            self._checked.add(folder)
        return plain, str(path)
