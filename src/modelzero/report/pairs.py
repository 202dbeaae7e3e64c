"""A picture of pairs: a training picture beside the test picture that is the same or nearly so."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from modelzero.data.audit import Audit, Place
from modelzero.report.grid import tile
from modelzero.report.text import plain

_MOST_PAIRS, _COLUMNS = 48, 4
_TILE, _GAP, _TEXT, _LINE = 84, 8, 12, 15  # pixels
_CELL_WIDTH = 2 * _TILE + _GAP
_CELL_HEIGHT = _TILE + 3 * _LINE + 6
_HEAD = 26


def pair_sheet(found: Audit) -> Image.Image:
    """Draw what leaks from training into test: the training picture left, the test picture right; 48 pairs at most.

    Under each pair stand both classes and names, and how far they agree.

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
    said = f"{len(pairs):,} pairs: training left, test right"
    if len(shown) < len(pairs):
        said += f"; the first {len(shown)}"
    draw.text(
        (_GAP, _HEAD // 2), said if pairs else "no test picture was found in training", "black", font, anchor="lm"
    )
    for number, (train, test) in enumerate(shown):
        left = _GAP + number % columns * (_CELL_WIDTH + 2 * _GAP)
        top = _HEAD + number // columns * (_CELL_HEIGHT + _GAP)
        near = cosines.get((train[1], test[1]))
        agreement = "equal pixels" if near is None else f"cosine {near.cosine:.4f}"
        if near is not None and near.mirrored:
            agreement += ", mirrored"
        if near is not None and near.shift != (0, 0):
            agreement += ", moved"
        for column, place in enumerate((train, test)):
            x = left + column * (_TILE + _GAP)
            image.paste(tile(_pixels(found, place), _TILE), (x, top))
            lines = (found.data.classes[found.label(place)], found.name(place))
            for line, text in enumerate(lines):
                at = (x, top + _TILE + 3 + line * _LINE)
                draw.text(at, _fitted(text, font, _TILE), "black" if line == 0 else "#666666", font)
        differ = found.label(train) != found.label(test)
        draw.text(
            (left, top + _TILE + 3 + 2 * _LINE),
            agreement + (", labels differ" if differ else ""),
            "#b00020" if differ else "#666666",
            font,
        )
    return image


def _pixels(found: Audit, place: Place) -> Tensor:
    split = found.data.train if place[0] == "train" else found.data.test
    return split.images[place[1]]


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten a text until it is no wider than so many pixels; of a path the end says more than the beginning."""
    text = plain(text)
    if font.getlength(text) <= width:
        return text
    backwards = "/" in text
    while text and font.getlength(text + "…") > width:
        text = text[1:] if backwards else text[:-1]
    return "…" + text if backwards else text + "…"
