"""The image of sample images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from modelzero import DataError, ImageData, SettingError, Split
from modelzero.reporting.grid import sample_grid, save_picture


def colours(classes, shape=(3, 4, 4), per_class=3):
    """A set in which every image of class k has the grey value k."""
    labels = torch.arange(classes).repeat(per_class)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, *shape).contiguous()
    split = Split(images, labels)
    return ImageData("colours", split, split, tuple(f"class {k}" for k in range(classes)))


def test_each_row_shows_images_of_its_own_class():
    """Row k holds pixels of value k where its three tiles stand, and white beyond them."""
    grid = np.asarray(sample_grid(colours(5)))
    for row in range(5):
        band = grid[4 + row * 60 + 28]
        tiles = [int(pixel[0]) for pixel in band[-10 * 60 :: 60]]
        assert tiles == [row] * 3 + [255] * 7


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 5), (1, 200, 30), (4, 8, 8), (2, 1, 1)])
def test_any_shape_can_be_drawn(shape):
    """Grey, colour, other channel counts, tall, tiny and large images."""
    assert sample_grid(colours(2, shape)).width > 600


def test_many_classes_and_long_names_stay_readable():
    """Fifty rows at most, names shortened, and a line that says how many are left out."""
    names = tuple(f"{k} " + "x" * 300 for k in range(60))
    data = colours(60)
    grid = sample_grid(ImageData("many", data.train, data.test, names))
    assert grid.height == 4 + 51 * 60
    assert grid.width < 1000


def test_a_path_that_cannot_be_written_is_refused(tmp_path, refuses):
    """An unknown ending or a missing folder; what is there already stays, whole."""
    grid = sample_grid(colours(2))
    for path, words in ((tmp_path / "grid.nonsense", "samples.png"), (tmp_path / "missing" / "grid.png", "no folder")):
        with refuses(SettingError, path, words):
            save_picture(grid, path)
    save_picture(grid, tmp_path / "grid.JPG")
    with Image.open(tmp_path / "grid.JPG") as image:
        assert image.format == "JPEG"
    before = (tmp_path / "grid.JPG").read_bytes()
    with refuses(DataError, "cannot write mode RGBA"):
        save_picture(Image.new("RGBA", (4, 4)), tmp_path / "grid.JPG")
    assert (tmp_path / "grid.JPG").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["grid.JPG"]
