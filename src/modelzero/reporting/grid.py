"""A grid of sample images, one row for each class."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, SettingError
from modelzero.io.atomic import check_writable, replacing
from modelzero.text import plain

_COLUMNS, _MOST_ROWS = 10, 50
_TILE, _GAP, _TEXT = 56, 4, 14  # pixels
_MOST_LETTERS = 24


def sample_grid(data: ImageData) -> Image.Image:
    """Draw the first ten training images of each class, for at most 50 classes.

    >>> import modelzero as mz
    >>> sample_grid(mz.load("digits")).mode
    'RGB'
    """
    font = ImageFont.load_default(_TEXT)
    shown = data.classes[:_MOST_ROWS]
    names = [plain(name, _MOST_LETTERS) for name in shown]
    left = 2 * _GAP + int(max(font.getlength(name) for name in names)) + _GAP
    step = _TILE + _GAP
    bottom = step if len(shown) < len(data.classes) else 0
    image = Image.new("RGB", (left + _COLUMNS * step, _GAP + len(shown) * step + bottom), "white")
    draw = ImageDraw.Draw(image)
    for row, name in enumerate(names):
        top = _GAP + row * step
        draw.text((2 * _GAP, top + _TILE // 2), name, "black", font, anchor="lm")
        for column, index in enumerate(torch.nonzero(data.train.labels == row).flatten()[:_COLUMNS].tolist()):
            image.paste(tile(data.train.images[index]), (left + column * step, top))
    if bottom:
        more = f"and {len(data.classes) - len(shown)} more classes"
        draw.text((2 * _GAP, image.height - step // 2), more, "black", font, anchor="lm")
    return image


def check_picture_path(path: str | Path) -> Path:
    """Check that an image can be written to this path, before long work.

    Raises:
        SettingError: the image extension is unsupported, or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _formats():
        raise SettingError(f"{path}: unsupported image extension; give a path like samples.png")
    check_writable(path, [path.suffix.lower()])
    return path


def _formats() -> dict[str, str]:
    return {ending: kind for ending, kind in Image.registered_extensions().items() if kind in Image.SAVE}


def save_picture(image: Image.Image, path: str | Path) -> None:
    """Write an image in the format of its extension.

    Raises:
        DataError: the image cannot be written.
        SettingError: as `check_picture_path`.
    """
    path = check_picture_path(path)
    try:
        with replacing(path, [path.suffix.lower()]) as temporary:
            image.save(temporary, _formats()[path.suffix.lower()])
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"the image {path} cannot be written ({why}): give a path like samples.png in an existing folder"
        ) from None


def tile(image: Tensor, side: int = _TILE) -> Image.Image:
    """Scale an image [C, H, W] to fit a square of `side` pixels; an enlarged one keeps its pixels visible."""
    channels, height, width = image.shape
    array = image.permute(1, 2, 0).numpy() if channels == 3 else image[0].numpy()
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = Image.new("RGB", (side, side), "white")
    small = Image.fromarray(array).convert("RGB")
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    square.paste(small.resize(size, resampling), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square
