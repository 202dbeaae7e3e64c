"""The images that all workers map."""

import torch

import modelzero as mz
from modelzero.climbing.shared import open_shared, share


def test_what_is_opened_is_what_was_shared(digits, tmp_path):
    """Images, labels, names and fingerprint."""
    share(digits, tmp_path / "images")
    back = open_shared(tmp_path / "images")
    assert back.fingerprint == digits.fingerprint
    assert back.classes == digits.classes
    for name in ("train", "test"):
        assert torch.equal(getattr(back, name).images, getattr(digits, name).images)
        assert torch.equal(getattr(back, name).labels, getattr(digits, name).labels)


def test_all_that_is_said_of_the_data_goes_along(tmp_path):
    """A worker's record says of the data what the climb's does: split, share, validation, notes."""
    images = torch.arange(40 * 16).reshape(40, 4, 4).to(torch.uint8)
    labels = [0, 1] * 20
    data = mz.from_arrays(images, labels, validation_images=images, validation_labels=labels, share=0.5)
    share(data, tmp_path / "images")
    described = open_shared(tmp_path / "images").description
    assert described == data.description
    assert described.split.rule == "stratified"
    assert described.validation_images == 40


def test_what_one_writes_into_it_stays_with_him(digits, tmp_path):
    """A model that spoils its images does not spoil those of the others."""
    share(digits, tmp_path / "images")
    open_shared(tmp_path / "images").train.images.fill_(7)
    open_shared.cache_clear()
    assert open_shared(tmp_path / "images").fingerprint == digits.fingerprint
