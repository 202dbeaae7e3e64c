"""Image files for a trained model: the same pixels as `load` makes of them."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import modelzero as mz
from modelzero.data.decoding.image import decode
from modelzero.using.files import Decoder, Preprocessing, find_images


def _image(rng, mode, sides):
    shape = (*sides, 3) if mode == "RGB" else sides
    return Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Forty images of two classes, of several sizes, grey and in colour, PNG and JPEG."""
    rng = np.random.default_rng(0)
    for k in range(40):
        path = tmp_path / "set" / ("cat", "dog")[k % 2]
        path.mkdir(parents=True, exist_ok=True)
        sides = tuple(rng.integers(10, 40, 2).tolist())
        _image(rng, ("L", "RGB")[k % 3 == 0], sides).save(path / f"{k}.{('png', 'jpg')[k % 5 == 0]}")
    return tmp_path / "set"


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("size", [None, (12, 20)])
def test_files_become_what_they_were_in_training(folder, fit, size):
    """To the bit: the record alone says how they were decoded."""
    data = mz.load(folder, fit=fit, size=size)
    preprocessing = Preprocessing.of(data.description)
    assert preprocessing.fit == fit
    for split in (data.train, data.test):
        with Decoder(preprocessing) as decoder:
            images, kept, bad = decoder.decode([str(folder / name) for name in split.names])
        assert (kept, bad) == (list(range(len(split))), [])
        assert np.array_equal(images, split.images.numpy())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_gets_the_channels_that_it_knows(channels, folder):
    """Grey files for a model of colours, and the other way round, as Pillow converts them."""
    paths = list(find_images([str(folder)]))
    with Decoder(Preprocessing(channels, (16, 16), "pad")) as decoder:
        images, _, _ = decoder.decode(paths)
    assert images.shape == (40, channels, 16, 16)
    for path, image in zip(paths, images, strict=True):
        assert np.array_equal(image, decode(Path(path).read_bytes(), channels=channels, size=(16, 16)))


def test_bad_files_are_named_and_cost_nobody_else(tmp_path):
    """Among several hundred in two processes: the others keep their order."""
    rng = np.random.default_rng(1)
    images_of_files = rng.integers(0, 256, (450, 5, 5)).astype(np.uint8)
    paths = []
    for k, image in enumerate(images_of_files):
        paths.append(str(tmp_path / f"{k}.png"))
        Image.fromarray(image).save(paths[-1])
    Path(paths[3]).write_bytes(b"")
    Path(paths[77]).write_bytes(b"no image at all")
    written = io.BytesIO()
    Image.fromarray(images_of_files[200]).save(written, "png")
    Path(paths[200]).write_bytes(written.getvalue()[:-30])
    Path(paths[449]).unlink()
    os.mkfifo(paths[449])
    paths[100] = "a\0b"
    with Decoder(Preprocessing(1, (5, 5), "pad")) as decoder:
        images, kept, bad = decoder.decode(paths)
        again, _, _ = decoder.decode(paths[4:9])
    assert [paths.index(name) for name, _ in bad] == [3, 77, 100, 200, 449]
    reasons = "; ".join(why for _, why in bad)
    for words in ("empty", "unrecognised image format", "null byte", "damaged", "not a regular file"):
        assert words in reasons
    assert kept == [k for k in range(450) if k not in (3, 77, 100, 200, 449)]
    assert np.array_equal(images[:, 0], images_of_files[kept])
    assert np.array_equal(again[:, 0], images_of_files[4:9])


def test_folders_are_searched_in_an_order_that_people_expect(tmp_path, refuses):
    """2 before 10, folders below, nothing hidden, no text; a file that is given is always tried."""
    for name in ("10.png", "2.png", "a/1.jpg", ".hidden/1.png", ".2.png", "notes.txt", "a/Thumbs.db", "b/none.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    text = str(tmp_path / "notes.txt")
    found = [Path(each).relative_to(tmp_path).as_posix() for each in find_images([text, str(tmp_path)])]
    assert found == ["notes.txt", "2.png", "10.png", "a/1.jpg"]
    with refuses(mz.DataError, "no images", "b"):
        list(find_images([str(tmp_path / "b")]))


def test_channels_that_no_file_has(refuses):
    """A set of arrays may have two."""
    split = mz.Split(torch.zeros(2, 2, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    with refuses(mz.RunError, "2 channels"):
        Preprocessing.of(mz.ImageData("two", split, split, ("a", "b")).description)
