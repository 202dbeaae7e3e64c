"""Load the images of a record again, if they are still available. Nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modelzero.data.dataset import ImageData
from modelzero.data.decoding.cache import cache_folder
from modelzero.data.description import DataDescription
from modelzero.data.load import NAMES, load_with
from modelzero.data.options import LoadOptions
from modelzero.data.sets.catalog import SETS
from modelzero.data.sets.published import find
from modelzero.errors import ModelZeroError


def find_again(
    described: DataDescription,
    data: ImageData | str | Path | None = None,
    data_dir: str | Path | None = None,
) -> tuple[ImageData | None, str]:
    """Load the data of a record and check its fingerprint, or say why it is not available.

    >>> import modelzero as mz
    >>> data, why = find_again(mz.load("digits").description)
    >>> len(data.test), why
    (360, '')

    Args:
        described: the data of a record.
        data: the images, or what `load` takes; None means the recorded source.
        data_dir: the folder to search first for named datasets.

    Returns:
        The data and an empty reason, or None and the reason.
    """
    if isinstance(data, ImageData):
        same = data.fingerprint == described.fingerprint
        return (data, "") if same else (None, f"the given images have the fingerprint {data.fingerprint[:12]}")
    source = _source(described) if data is None else str(data)
    if source is None:
        return None, "the record does not say where the images are; give --data (data= in Python)"
    if source in SETS and _folder(source, described.source, data_dir) is None:
        return None, f"{source} is not on this machine"
    found, why = None, ""
    for options in _options(described, source, data_dir):
        try:
            found = load_with(source, options, progress=False)
        except ModelZeroError as error:  # the next options may work, such as without a size for arrays
            why = why or f"the images cannot be loaded again: {error}"
            continue
        if found.fingerprint == described.fingerprint:
            return found, ""
    if found is None:
        return None, why
    return None, f"{found.source} holds other images, with the fingerprint {found.fingerprint[:12]}"


def _source(described: DataDescription) -> str | None:
    """Find where the images of a record are on this machine."""
    name, source = described.name, described.source
    if described.origin is not None:
        source = described.origin.source
        if source in NAMES:
            return source
    try:
        there = bool(source) and Path(source).exists()
    except (OSError, ValueError):  # too long for a path, or with a null byte: not a path
        there = False
    if name in SETS and (not there or find(SETS[name], Path(source)) is not None):
        return name
    if there:
        return source
    return "digits" if name == "digits" else None


def _folder(name: str, source: str, data_dir: str | Path | None) -> Path | None:
    """Find the folder of a named dataset."""
    known = SETS[name]
    own = [Path(each) for each in (data_dir, os.environ.get("MODELZERO_DATA"), source) if each]
    system = [Path(known.system_folder)] if known.system_folder else []
    for folder in [*(each / known.folder for each in own), *own, cache_folder() / known.folder, *system]:
        try:
            if find(known, folder) is not None:
                return folder
        except (OSError, ValueError):
            continue
    return None


def _options(described: DataDescription, source: str, data_dir: str | Path | None) -> Iterator[LoadOptions]:
    """Yield the recorded options of `load`, then others that may give the same images, the most likely first."""
    origin, split = described.origin, described.split
    if origin is not None and source not in NAMES:
        yield replace(origin.options, data_dir=None)
    seed = split.seed if split is not None else described.share_seed or 0
    settings = LoadOptions(share=1.0 if described.share is None else described.share, seed=seed)
    if source in NAMES:
        folder = data_dir if source == "digits" else _folder(source, described.source, data_dir)
        yield replace(settings, data_dir=folder)
        return
    if split is not None:
        settings = replace(settings, test_share=split.test_share)
    if origin is not None:
        settings = replace(settings, group=origin.options.group)
    elif split is not None and split.group not in (None, "column group"):  # a record older than origins
        settings = replace(settings, group=split.group.partition(" ")[2] or None)
    yield settings
    _, height, width = described.image_shape
    for fit in ("pad", "crop"):
        yield replace(settings, size=(height, width), fit=fit)
