"""What the columns of a table mean, told by their names, and how its cells become items."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelzero.data.readers.archive import safe_name
from modelzero.data.readers.folder import SPLIT_NAMES, is_inside
from modelzero.errors import DataError, quoted, some

# In this order: the first that a table has is taken.
PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_file", "image", "img",
         "picture", "image_id", "name")  # fmt: skip
LABELS = ("label", "labels", "class", "class_name", "label_name", "category", "target", "fine_label", "y")
SPLITS = ("split", "subset", "partition")
GROUPS = ("group", "groups")


@dataclass(frozen=True)
class Columns:
    """Which column is which, by its place.

    Args:
        image: paths of images, or the images themselves.
        label: class names or numbers.
        split: `train`, `test` or `validation`; None where the table does not say.
        group: what must stay on one side of a split; None where there is none.
    """

    picture: int
    label: int
    split: int | None
    group: int | None


def choose_columns(
    names: Sequence[str], source: object, *, group: str | None = None, pictures: Sequence[int] | None = None
) -> tuple[Columns, str]:
    """Find the columns by their names; return also a sentence on which were taken.

    >>> choose_columns(["File", "label", "patient"], "x.csv", group="patient")[1]
    "of the columns 'File', 'label', 'patient' these were taken: images 'File', labels 'label', groups 'patient'"

    Args:
        names: the header.
        source: what messages call the table.
        group: the column of groups, if it is one.
        images: the columns that hold images, where the table can say.

    Raises:
        DataError: two columns of one name, or none for images or labels.
    """
    plain = [name.strip().casefold() for name in names]
    twice = next((name for k, name in enumerate(plain) if name in plain[:k]), None)
    if twice is not None:
        raise DataError(f"{source} has two columns {quoted(twice)}: needed is one; rename or delete the other")

    def find(candidates: Sequence[str]) -> int | None:
        return next((plain.index(name) for name in candidates if name in plain), None)

    picture = find(PATHS) if pictures is None else next(
        (place for name in (*PATHS, "bytes", "image_bytes") for place in pictures if plain[place] == name),
        pictures[0] if len(pictures) == 1 else None,
    )  # fmt: skip
    label = find([name for name in LABELS if picture is None or name != plain[picture]])
    for place, kind, candidates in ((picture, "images or their paths", PATHS), (label, "labels", LABELS)):
        if place is None:
            raise DataError(
                f"{source} has the columns {some(list(names), 12)}: needed is one of {kind}, called "
                f"{', '.join(map(repr, candidates[:6]))} or the like; rename it"
            )
    assert picture is not None
    assert label is not None
    columns = Columns(picture, label, find(SPLITS), find((group.strip().casefold(),) if group else GROUPS))
    taken = {"pictures": picture, "labels": label, "splits": columns.split, "groups": columns.group}
    told = ", ".join(f"{kind} {quoted(names[place])}" for kind, place in taken.items() if place is not None)
    return columns, f"of the columns {some(list(names), 12)} these were taken: {told}"


def split_of(value: object, where: str) -> str:
    """Return the split that a cell names.

    Raises:
        DataError: it names none; `where` is how the message begins.
    """
    split = SPLIT_NAMES.get(str(value).strip().casefold()) if isinstance(value, str) else None
    if split is None:
        raise DataError(f"{where}: split {quoted(str(value))}: needed is 'train', 'test' or 'validation'")
    return split


class Inside:
    """Finds the files that a table names, below the table's folder and nowhere else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.real_root = os.path.realpath(folder)
        self._checked: set[str] = set()

    def find(self, name: str, where: str) -> tuple[str, str]:
        """Return the plain name and the path of a file.

        Raises:
            DataError: the name leads out of the folder, also through a link; `where` is how the message begins.
        """
        try:
            return self._find(name, where)
        except (OSError, ValueError) as error:  # such as a name that is too long
            why = getattr(error, "strerror", None) or error
            raise DataError(f"{where}: {quoted(name)} cannot be looked up ({why}): needed is a file's path") from None

    def _find(self, name: str, where: str) -> tuple[str, str]:
        plain = safe_name(name.strip(), where)
        if "\\" in name and "/" not in name and (self.folder / name).is_file():  # where it is a letter like others
            plain = name
        path = self.folder / plain
        # Resolving costs a look at each level; folders repeat, so only the file itself is looked at each time.
        folder = str(path.parent)
        if path.is_symlink() or folder not in self._checked:
            if not all(is_inside(os.path.realpath(each), self.real_root) for each in (folder, path)):
                raise DataError(
                    f"{where}: {quoted(name, 200)} leads through a link out of {self.folder}: needed are files below it"
                )
            self._checked.add(folder)
        return plain, str(path)
