"""A sheet of image pairs: each training image beside the test image that equals or nearly equals it."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from modelzero.data.auditing.audit import Audit
from modelzero.data.auditing.searched import Place
from modelzero.reporting.grid import tile
from modelzero.text import plain

_MOST_PAIRS, _COLUMNS = 48, 4
_TILE, _GAP, _TEXT, _LINE = 84, 8, 12, 15  # pixels
_CELL_WIDTH = 2 * _TILE + _GAP
_CELL_HEIGHT = _TILE + 3 * _LINE + 6
_HEAD = 26
_GREY, _RED = "#666666", "#b00020"


def pair_sheet(found: Audit) -> Image.Image:
    """Draw the leaked pairs, at most 48: the training image on the left, the test image on the right.

    Each pair shows both classes (red if they differ), both names, and how similar the pixels are.

    >>> import torch, modelzero as mz
    >>> split = mz.Split(torch.arange(128, dtype=torch.uint8).view(2, 1, 8, 8), torch.tensor([0, 1]))
    >>> pair_sheet(mz.audit(mz.ImageData("twice", split, split, ("a", "b")))).mode
    'RGB'
    """
    pairs = found.leaked_pairs()
    shown = pairs[:_MOST_PAIRS]
    cosines = {(pair.train, pair.test): pair for pair in found.near or ()}
    columns = min(_COLUMNS, max(2, len(shown)))
    rows = -(-len(shown) // columns)
    font = ImageFont.load_default(_TEXT)
    size = (_GAP + columns * (_CELL_WIDTH + 2 * _GAP), _HEAD + rows * (_CELL_HEIGHT + _GAP) + _GAP)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    said = f"{len(pairs):,} pair{'s' * (len(pairs) != 1)}, training left, test right"
    if len(shown) < len(pairs):
        said += f"; the first {len(shown)}"
    if any(found.label(train) != found.label(test) for train, test in shown):
        said += "; red: labels differ"
    draw.text(
        (_GAP, _HEAD // 2), said if pairs else "no test image is among the training images", "black", font, anchor="lm"
    )
    for number, (train, test) in enumerate(shown):
        left = _GAP + number % columns * (_CELL_WIDTH + 2 * _GAP)
        top = _HEAD + number // columns * (_CELL_HEIGHT + _GAP)
        near = cosines.get((train[1], test[1]))
        agreement = "equal pixels" if near is None else f"cos {near.cosine:.4f}"
        if near is not None and near.mirrored:
            agreement += ", mirrored"
        if near is not None and near.shift != (0, 0):
            agreement += ", moved"
        colour = "black" if found.label(train) == found.label(test) else _RED
        for column, place in enumerate((train, test)):
            x, y = left + column * (_TILE + _GAP), top + _TILE + 3
            image.paste(tile(_pixels(found, place), _TILE), (x, top))
            draw.text((x, y), _fitted(found.data.classes[found.label(place)], font, _TILE), colour, font)
            draw.text((x, y + _LINE), _fitted(found.name(place), font, _TILE, end=True), _GREY, font)
        draw.text((left, top + _TILE + 3 + 2 * _LINE), _fitted(agreement, font, _CELL_WIDTH), _GREY, font)
    return image


def _pixels(found: Audit, place: Place) -> Tensor:
    split = found.data.train if place[0] == "train" else found.data.test
    return split.images[place[1]]


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, *, end: bool = False) -> str:
    """Shorten a text to at most `width` pixels; `end` keeps its end, as for a path."""
    whole = plain(text, most=len(text) * 6 + 1)  # an escape has six characters
    kept = whole[-width:] if end else whole[:width]  # no letter is narrower than a pixel
    if kept == whole and font.getlength(whole) <= width:
        return whole
    while kept and font.getlength(kept + "…") > width:
        kept = kept[1:] if end else kept[:-1]
    return "…" + kept if end else kept + "…"
