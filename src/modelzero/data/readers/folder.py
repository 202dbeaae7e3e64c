"""Read folders of images, one for each class, with or without `train/`, `test/` and `val/` above them.

`arrange` decides what each level of a path means. Archives use it too, so both are read in the same way.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelzero.data.readers.listing import SPLITS, Item, Listing
from modelzero.data.splits import class_order
from modelzero.errors import DataError, counted, quoted, some

SPLIT_NAMES = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "validation", "valid": "validation", "validation": "validation",
}  # fmt: skip
MOST_FILES = 2_000_000
_JUNK = re.compile(r"(?:^|/)(?:\.|__macosx(?:/|$)|thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
_NUMBER = re.compile("[0-9]+")
# Extensions that are never images. Files with any other extension are tried: their content decides.
_OTHERS = """
    .txt .json .jsonl .csv .tsv .md .rst .xml .yaml .yml .toml .ini .cfg .html .htm .css .js .py .ipynb .sh .m .log .pdf
    .doc .docx .xls .xlsx .npy .npz .mat .h5 .hdf5 .parquet .arrow .pkl .pickle .pt .pth .ckpt .onnx .safetensors .zip
    .tar .gz .tgz .bz2 .xz .zst .7z .rar .mp4 .avi .mov .mkv .webm .wav .mp3 .db .sqlite .lock .part .tmp .md5 .sha256
"""
_IMAGE_ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"])
_OTHER_ENDINGS = frozenset(_OTHERS.split())


def read_folder(root: Path) -> Listing:
    """List the images of a folder of class folders.

    Raises:
        DataError: no class folders, an unreadable folder, a link to outside `root`, or too many files.
    """
    paths, links = _walk(root)
    arranged, notes = arrange(paths, str(root))
    if links:
        notes.append(f"skipped {counted(len(links), 'link')} to a parent folder: {some(sorted(links))}")
    items = tuple(Item(path, label, split, None, f"{root}/{path}") for path, label, split in arranged)
    classes = class_order(item.label for item in items)
    return Listing(root.resolve().name or "folder", str(root), items, classes, tuple(notes))


def arrange(paths: Iterable[str], source: str) -> tuple[list[tuple[str, str, str | None]], list[str]]:
    """Find the class and split of each image from its path.

    >>> arrange(["train/cat/1.png", "train/dog/x/2.png", "val/cat/3.png", "train/LICENSE.txt"], "pets")[0]
    [('train/cat/1.png', 'cat', 'train'), ('val/cat/3.png', 'cat', 'validation'), ('train/dog/x/2.png', 'dog', 'train')]

    Args:
        paths: below the source, with slashes.
        source: its name in messages.

    Returns:
        Path, class and split (None without split folders) of each image, sorted by class and then by path, numbers in
        paths by value; and notes on what was skipped.

    Raises:
        DataError: there are no class folders.
    """
    notes = []
    kept = [(path, path.split("/")) for path in paths if not is_junk(path)]
    others = Counter(ending(path) for path, _ in kept if not may_be_image(path))
    if others:
        endings = ", ".join(sorted(others, key=lambda name: (-others[name], name))[:3])
        notes.append(f"skipped {counted(others.total(), 'file')} with other extensions ({endings})")
    kept = [(path, parts) for path, parts in kept if may_be_image(path)] if others else kept
    if not kept:
        raise DataError(
            f"{source} has no images: expected a folder of images for each class, with or without train/ and "
            "test/ above them, or the four files of an IDX set, or images.npy and labels.npy, or Parquet files"
        )
    depth = _wrapped(kept, notes)
    splits = _split_level(kept, depth, source, notes)
    level = depth + (splits is not None)
    loose = sorted((path for path, parts in kept if len(parts) <= level + 1), key=natural)
    kept = [(path, parts) for path, parts in kept if len(parts) > level + 1]
    if not kept:
        raise DataError(
            f"{source} has {counted(len(loose), 'image')} but no class folders (first image: {quoted(loose[0])}): "
            "expected a folder for each class, or a table (CSV or Parquet) of paths and labels"
        )
    if loose:
        notes.append(f"skipped {counted(len(loose), 'image')} outside the class folders: {some(loose)}")
    found: list[tuple[str, str, str | None]] = [
        (path, parts[level], None if splits is None else splits[parts[depth]]) for path, parts in kept
    ]
    if splits is None:
        found = _inner_splits(found, level, notes)
    rank = {name: place for place, name in enumerate(class_order(label for _, label, _ in found))}
    order = {split: place for place, split in enumerate((None, *SPLITS))}
    found.sort(key=lambda each: (rank[each[1]], order[each[2]], natural(each[0])))
    return found, notes


def natural(path: str) -> str:
    """Return a sort key for a path, so that 2.png comes before 10.png.

    >>> sorted(["a/10.png", "a/2.png", "a b/1.png"], key=natural)
    ['a/2.png', 'a/10.png', 'a b/1.png']
    """
    # A number becomes its length and digits, which sort before letters; a slash sorts before everything.
    return _NUMBER.sub(_spelled, path).replace("/", "\0") + "\0" + path


def _spelled(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"\1{len(digits):06}{digits}"


def is_junk(path: str) -> bool:
    """Return whether a file is hidden, in a hidden folder, or left behind by an operating system."""
    return _JUNK.search(path) is not None


def may_be_image(path: str) -> bool:
    """Return whether the extension of a path allows an image."""
    return ending(path) not in _OTHER_ENDINGS


def ending(path: str) -> str:
    """Return the extension of a path in lower case, or an empty string."""
    stem, dot, text = path[path.rfind("/") + 1 :].rpartition(".")
    return f".{text.casefold()}" if dot and stem and text else ""


def _wrapped(kept: Sequence[tuple[str, list[str]]], notes: list[str]) -> int:
    """Count the folders that wrap everything, as in many archives, down to the first level with several."""
    depth = 0
    while all(len(parts) > depth + 2 for _, parts in kept) and len({parts[depth] for _, parts in kept}) == 1:
        if kept[0][1][depth].casefold() in SPLIT_NAMES:
            break
        depth += 1
    if depth:
        notes.append(f"everything is in {quoted('/'.join(kept[0][1][:depth]))}, which was read as the root folder")
    return depth


def _split_level(kept: list[tuple[str, list[str]]], depth: int, source: str, notes: list[str]) -> dict[str, str] | None:
    """Map folder names to splits if this level holds splits, and drop everything beside them."""
    names = {parts[depth] for _, parts in kept if len(parts) > depth + 1}
    splits = {name: SPLIT_NAMES[name.casefold()] for name in sorted(names) if name.casefold() in SPLIT_NAMES}
    others = sorted(names - splits.keys())
    if "train" not in splits.values():
        if splits and not others:
            raise DataError(f"{source} has {some(list(splits))}, but no images in train/: expected images to train on")
        called = {name.casefold() for name in names}
        for name in splits:
            within = (parts[depth + 1] for _, parts in kept if parts[depth] == name and len(parts) > depth + 2)
            if any(each.casefold() in called for each in within):
                raise DataError(
                    f"{source} has folders of the same names inside {quoted(name)} and beside it: move those beside it "
                    "into train/, or rename this folder"
                )
        if splits:
            notes.append(f"read as classes, since there is no train/: {some(list(splits))}")
        return None
    # Beside other folders, a folder 'train' without class folders in it is a class, as among cars and ships.
    if others and len(splits) == 1 and any(len(p) <= depth + 2 for _, p in kept if p[depth] in splits):
        return None
    twice = [name for name, count in Counter(splits.values()).items() if count > 1]
    if twice:
        both = [name for name, split in splits.items() if split == twice[0]]
        raise DataError(f"{source} has {some(both)}, which mean the same split: expected one of them; rename the other")
    if others:
        notes.append(f"skipped {counted(len(others), 'folder')} beside {some(list(splits))}: {some(others)}")
        kept[:] = [each for each in kept if len(each[1]) <= depth + 1 or each[1][depth] in splits]
    return splits


def _inner_splits(
    found: list[tuple[str, str, str | None]], level: int, notes: list[str]
) -> list[tuple[str, str, str | None]]:
    """Use split folders within the classes, as in cat/train/1.png, if all images are in such folders."""
    inner = []
    for path, _, _ in found:
        parts = path.split("/")
        inner.append(SPLIT_NAMES.get(parts[level + 1].casefold()) if len(parts) > level + 2 else None)
    if "train" in inner and all(inner):
        notes.append("the splits were read from the folders within the classes")
        return [(path, label, split) for (path, label, _), split in zip(found, inner, strict=True)]
    if any(inner):
        path = min(path for (path, _, _), split in zip(found, inner, strict=True) if split)
        notes.append(
            f"folders within classes that have the name of a split ({quoted(path)}) were not used as splits, since "
            "not every image is in one"
        )
    return found


def _walk(root: Path) -> tuple[list[str], list[str]]:
    """List the visible files below a folder, and links to parent folders; refuse links to outside."""
    real_root = os.path.realpath(root)
    paths: list[str] = []
    loops: list[str] = []
    stack: list[tuple[str, tuple[str, ...]]] = [("", (real_root,))]
    while stack:
        below, around = stack.pop()
        try:
            with os.scandir(root / below) as entries:
                for entry in entries:
                    if is_junk(entry.name):
                        continue
                    path = f"{below}{entry.name}"
                    link = entry.is_symlink()
                    real = os.path.realpath(entry.path) if link else os.path.join(around[-1], entry.name)  # noqa: PTH118
                    if link and not is_inside(real, real_root):
                        raise DataError(
                            f"{quoted(path, 200)} in {root} is a link to {quoted(real, 200)}, outside the folder: "
                            "expected files inside it; copy the target of the link, or delete the link"
                        )
                    if not _is_folder(entry):
                        paths.append(path)
                    elif real in around:
                        loops.append(path)
                    else:
                        stack.append((f"{path}/", (*around, real)))
                    if len(paths) + len(stack) > MOST_FILES:
                        raise DataError(f"{root} holds more than {MOST_FILES:,} files: use a smaller folder")
        except OSError as error:
            where = quoted(below or str(root), 200)
            raise DataError(f"the folder {where} cannot be read ({error.strerror}): check its permissions") from None
    return paths, loops


def has_class_folders(root: Path) -> bool:
    """Return whether at least two folders below this one contain images, judging by extensions."""
    found = set()
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not is_junk(name)]
        if folder != str(root) and any(ending(name) in _IMAGE_ENDINGS for name in files):
            found.add(folder)
            if len(found) > 1:
                return True
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_inside(real: str, real_root: str) -> bool:
    """Return whether a resolved path is the root or below it."""
    return real == real_root or real.startswith(real_root.rstrip(os.sep) + os.sep)
