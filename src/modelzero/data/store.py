"""Stand-in: decodes one picture after the other, without a cache."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from modelzero.data.listing import Item
from modelzero.errors import DataError


@dataclass(frozen=True)
class Decoded:
    """Pictures that were decoded."""

    images: NDArray[np.uint8]
    kept: NDArray[np.int64]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def decode_items(
    items: Sequence[Item], *, size: tuple[int, int] | None, fit: str, allow_unreadable: bool, progress: bool | None
) -> Decoded:
    """Decode them all."""
    pictures, kept, unreadable = [], [], []
    for place, item in enumerate(items):
        try:
            content = item.content if isinstance(item.content, bytes) else item.content.read_bytes()
            picture = Image.open(io.BytesIO(content))
            pictures.append(picture.convert("L" if picture.mode == "L" else "RGB"))
            kept.append(place)
        except OSError as error:
            unreadable.append((item.name, " ".join(str(error).split())))
    if not kept or (len(unreadable) > len(items) / 100 and not allow_unreadable):
        raise DataError(f"{len(unreadable)} of {len(items)} pictures are unreadable: {unreadable[:3]}")
    height, width = size or (pictures[0].height, pictures[0].width)
    mode = "L" if all(picture.mode == "L" for picture in pictures) else "RGB"
    arrays = [
        np.asarray(
            picture.convert(mode) if picture.size == (width, height) else picture.convert(mode).resize((width, height))
        )
        for picture in pictures
    ]
    images = np.stack([array[None] if array.ndim == 2 else array.transpose(2, 0, 1) for array in arrays])
    return Decoded(images, np.array(kept, np.int64), tuple(unreadable), ())
