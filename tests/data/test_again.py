"""Images loaded again from what a record says of them."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import modelzero as mz
from modelzero.data.again import find_again
from modelzero.data.description import DataDescription
from modelzero.reporting.mistakes import as_png


@pytest.fixture
def folder(tmp_path):
    """24 images of two classes in folders, of two sizes."""
    rng = np.random.default_rng(0)
    for k in range(24):
        path = tmp_path / "mine" / ("bright" if k % 2 else "dark") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = 12 if k < 12 else 16
        Image.fromarray(rng.integers(0, 256, (side, 16, 3), dtype=np.uint8)).save(path)
    return tmp_path / "mine"


@pytest.mark.parametrize(
    "settings", [{"size": "8x12", "fit": "crop"}, {"test_share": 0.4, "seed": 3, "share": 0.5}], ids=["size", "splits"]
)
def test_a_folder_is_found_again_with_its_settings(folder, settings):
    """Sizes, splits and shares follow from the record; the fingerprint says that they are right."""
    data = mz.load(folder, **settings)
    found, why = find_again(data.description)
    assert why == ""
    assert found.fingerprint == data.fingerprint
    assert found.test.names == data.test.names


@pytest.mark.parametrize(
    "settings", [{"size": "8x12"}, {"group": r"(\d)\.png", "test_share": 0.4}], ids=["size", "group"]
)
def test_records_without_an_origin_are_found_by_their_source(folder, settings):
    """Older ones say where the images are, how they were split and of which shape they are."""
    data = mz.load(folder, **settings)
    found, why = find_again(replace(data.description, origin=None))
    assert why == ""
    assert found.fingerprint == data.fingerprint
    assert found.split == data.split


def test_other_images_are_noticed(folder):
    """One pixel that changed is another set; a folder that is gone is said to be gone."""
    described = mz.load(folder).description
    Image.new("RGB", (16, 16)).save(folder / "dark" / "0.png")
    assert "holds other images" in find_again(described)[1]
    moved = folder.rename(folder.with_name("moved"))
    assert "the record does not say where" in find_again(described)[1]
    assert "fingerprint" in find_again(described, moved)[1]
    assert "cannot be loaded again" in find_again(described, "nowhere")[1]


def test_the_same_images_as_arrays(folder, tmp_path):
    """They take no size, which the record has: the next way to load them is tried."""
    data = mz.load(folder, size=8)
    arrays = {}
    for name, split in (("train", data.train), ("test", data.test)):
        arrays |= {f"x_{name}": split.images.numpy().transpose(0, 2, 3, 1), f"y_{name}": split.labels.numpy()}
    np.savez(tmp_path / "same.npz", **arrays, classes=np.array(data.classes))
    found, why = find_again(data.description, tmp_path / "same.npz")
    assert why == ""
    assert found.fingerprint == data.fingerprint


def test_named_sets_are_never_downloaded(tmp_path, monkeypatch):
    """Where the files are not on this machine, there are no images."""
    described = DataDescription(
        "svhn",
        "downloaded from somewhere",
        "0",
        tuple("0123456789"),
        train_images=1,
        test_images=1,
        image_shape=(3, 32, 32),
    )
    monkeypatch.setattr("modelzero.data.sets.published.download", lambda *_, **__: pytest.fail("a download"))
    monkeypatch.setattr("modelzero.data.again.cache_folder", lambda: tmp_path)
    assert find_again(described) == (None, "svhn is not on this machine")
    assert find_again(described, "mnist", data_dir=tmp_path)[0] is None


def test_a_share_of_digits():
    """A named set with a share, drawn again."""
    data = mz.load("digits", share=0.5, seed=3)
    assert find_again(data.description)[0].fingerprint == data.fingerprint


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 10), (3, 200, 50), (1, 1, 500)])
def test_images_are_kept_or_shrunk(shape):
    """Small ones keep each pixel; large ones become at most 64 pixels long."""
    picture = torch.randint(0, 256, shape, dtype=torch.uint8)
    image = Image.open(io.BytesIO(as_png(picture)))
    assert max(image.size) == min(64, max(shape))
    assert image.mode == ("L" if shape[0] == 1 else "RGB")
    if max(shape) <= 64:
        assert (np.asarray(image).reshape(shape[1], shape[2], -1) == picture.permute(1, 2, 0).numpy()).all()
