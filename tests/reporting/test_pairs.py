"""The image of pairs, and names made fit to be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import modelzero as mz
from modelzero.reporting.pairs import pair_sheet
from modelzero.text import plain


def twice(count, shape=(1, 8, 8), classes=("a", "b"), names=None):
    """A set whose test images are its training images, the labels turned by one."""
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % len(classes)
    train = mz.Split(images, labels, names)
    return mz.ImageData("twice", train, mz.Split(images, (labels + 1) % len(classes), names), classes)


def test_each_pair_is_drawn_side_by_side():
    """The training image left, the test image right, both enlarged without a blur."""
    data = twice(3)
    sheet = np.asarray(pair_sheet(mz.audit(data)).convert("L"))
    for number in range(3):
        left = 8 + number * (2 * 84 + 3 * 8)
        first, second = sheet[26:110, left : left + 84], sheet[26:110, left + 92 : left + 176]
        assert (first == second).all()
        assert set(np.unique(first)) == set(data.train.images[number].flatten().tolist())


def test_the_sheet_is_bounded():
    """Forty-eight pairs at most, four in a row; and a sheet without pairs can be drawn too."""
    assert pair_sheet(mz.audit(twice(60))).size == pair_sheet(mz.audit(twice(48))).size
    data = twice(2)
    nothing = mz.ImageData("none", data.train, mz.Split(255 - data.test.images[:1], data.test.labels[:1]), ("a", "b"))
    assert pair_sheet(mz.audit(nothing)).height < 60


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 40, 9), (4, 8, 8), (1, 1, 1), (3, 200, 100)])
def test_any_shape_can_be_drawn(shape):
    """Colour, tall, with alpha, a single pixel, large."""
    assert pair_sheet(mz.audit(twice(2, shape))).width > 300


def test_hostile_names_stay_within_their_place():
    """However long, whatever they hold: the sheet has the size that it has for short ones."""
    names = ("<script>" * 40, "a\nb\x1b[2J", "\u202egnp.exe", "half \ud800", "한국어 🙂", "../../x" * 50)
    hostile = pair_sheet(mz.audit(twice(6, classes=names, names=names)))
    assert hostile.size == pair_sheet(mz.audit(twice(6))).size
    assert (np.asarray(hostile)[:, -7:] == 255).all()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ankle boot", "Ankle boot"),
        ("a\n\tb", "a b"),
        ("\x1b[31mred", r"\u001b[31mred"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("half \udcff", r"half \udcff"),
        ("한국어 👩\u200d🔬", "한국어 👩\u200d🔬"),
        ("x" * 300, "x" * 39 + "…"),
    ],
)
def test_plain_shows_what_is_there(text, shown):
    """One line that can be encoded, in the order in which it was written."""
    assert plain(text) == shown
    shown.encode("utf-8")
