"""The pictures that all workers map."""

import torch

from modelzero.climbing.shared import open_shared, share


def test_what_is_opened_is_what_was_shared(digits, tmp_path):
    """Pictures, labels, names and fingerprint."""
    share(digits, tmp_path / "pictures")
    back = open_shared(tmp_path / "pictures")
    assert back.fingerprint == digits.fingerprint
    assert back.classes == digits.classes
    for name in ("train", "test"):
        assert torch.equal(getattr(back, name).images, getattr(digits, name).images)
        assert torch.equal(getattr(back, name).labels, getattr(digits, name).labels)


def test_what_one_writes_into_it_stays_with_him(digits, tmp_path):
    """A model that spoils its pictures does not spoil those of the others."""
    share(digits, tmp_path / "pictures")
    open_shared(tmp_path / "pictures").train.images.fill_(7)
    open_shared.cache_clear()
    assert open_shared(tmp_path / "pictures").fingerprint == digits.fingerprint
