"""The images that a record speaks of, loaded again where they are still there."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from modelzero.data.dataset import ImageData
from modelzero.data.decoding.cache import cache_folder
from modelzero.data.load import NAMES, load
from modelzero.data.sets.catalog import SETS
from modelzero.data.sets.published import find
from modelzero.errors import ModelZeroError

_SIDE = 64  # pixels of the longer side: larger images are shrunk to this


def load_again(
    described: Mapping[str, Any], source: str | Path | None = None, data_dir: str | Path | None = None
) -> tuple[ImageData | None, str]:
    """Load the data of a record and check that it is the same, or say why that cannot be. Nothing is downloaded.

    >>> import modelzero as mz
    >>> data, why = load_again(mz.load("digits").description())
    >>> len(data.test), why
    (360, '')

    Args:
        described: the `data` of a record.
        source: a name, folder or file, as `load` takes it; None takes what the record says.
        data_dir: where named sets are looked for first.

    Returns:
        The data and an empty reason, or None and the reason.
    """
    source = _source(described) if source is None else source
    if source in SETS and _folder(str(source), described.get("source", ""), data_dir) is None:
        return None, f"{source} is not on this machine"
    if source is None:
        return None, "the record does not say where they are now; --data (data= in Python) does"
    found, why = None, ""
    for settings in _settings(described, str(source), data_dir):
        try:
            found = load(source, progress=False, **settings)
        except ModelZeroError as error:  # the next ones may fit: arrays take no size
            why = why or f"they cannot be loaded again: {error}"
            continue
        if found.fingerprint == described["fingerprint"]:
            return found, ""
    if found is None:
        return None, why
    return None, f"{found.source} holds others: their fingerprint is {found.fingerprint[:12]}"


def as_png(picture: Tensor) -> bytes:
    """Write an image [C, H, W] as a small PNG; one larger than 64 pixels is shrunk.

    >>> import torch
    >>> as_png(torch.zeros(3, 100, 50, dtype=torch.uint8))[1:4]
    b'PNG'
    """
    channels = picture.shape[0]
    array = picture.permute(1, 2, 0).numpy() if channels == 3 else picture[0].numpy()
    image = Image.fromarray(array)
    longer = max(image.size)
    if longer > _SIDE:
        width, height = (max(1, round(side * _SIDE / longer)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    written = io.BytesIO()
    image.save(written, "png", optimize=True)
    return written.getvalue()


def as_data_uri(picture: Tensor) -> str:
    """Write an image [C, H, W] as an address that holds it, for a page that is complete in itself."""
    return "data:image/png;base64," + base64.b64encode(as_png(picture)).decode()


def _source(described: Mapping[str, Any]) -> str | None:
    """Find where the images of a record lie on this machine."""
    name, source = described["name"], described.get("source", "")
    if described.get("origin"):
        source = described["origin"]["source"]
        if source in NAMES:
            return str(source)
    try:
        there = bool(source) and Path(source).exists()
    except (OSError, ValueError):  # too long for a path, or with a null byte: it is a sentence
        there = False
    if name in SETS and (not there or find(SETS[name], Path(source)) is not None):
        return str(name)
    if there:
        return str(source)
    return "digits" if name == "digits" else None


def _folder(name: str, source: str, data_dir: str | Path | None) -> Path | None:
    """Find the folder of a named set."""
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


def _settings(described: Mapping[str, Any], source: str, data_dir: str | Path | None) -> Iterator[dict[str, Any]]:
    """Give the settings for `load` that the record has, or, where it is an older one, allows; the likeliest first."""
    origin = described.get("origin")
    if origin and source not in NAMES:
        asked = {key: value for key, value in origin.items() if key not in ("source", "data_dir")}
        yield asked | {"size": tuple(asked["size"]) if asked["size"] else None}
    split = described.get("split") or {}
    settings: dict[str, Any] = {"share": described.get("share", 1.0)}
    settings["seed"] = split.get("seed", described.get("share_seed", 0))
    if source in NAMES:
        yield settings | {
            "data_dir": data_dir if source == "digits" else _folder(source, described.get("source", ""), data_dir)
        }
        return
    if split:
        settings["test_share"] = split["test_share"]
    if (group := split.get("group")) and group != "column group":
        settings["group"] = group.partition(" ")[2]
    yield settings
    for fit in ("pad", "crop"):
        yield settings | {"size": tuple(described["image_shape"][1:]), "fit": fit}
