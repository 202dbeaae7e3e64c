"""The pixels of a dataset are searched once."""

from dataclasses import replace

import pytest

import modelzero as mz
from modelzero.data.auditing import searched
from modelzero.data.auditing.searched import searched as search
from modelzero.data.auditing.searched import was_searched


@pytest.fixture
def with_copies(digits):
    """Digits whose test split holds two mirrored training images, and two nearly equal images."""
    images = digits.test.images.clone()
    images[:2] = digits.train.images[:2].flip(3)
    images[3] = images[2]
    images[3, 0, 0, 0] += 1
    return mz.ImageData("copies", digits.train, mz.Split(images, digits.test.labels), digits.classes)


def test_the_result_is_read_back_the_next_time(with_copies, monkeypatch, tmp_path):
    """It is kept under the fingerprint, every field of it; a damaged file is replaced."""
    monkeypatch.setattr(searched, "cache_folder", lambda: tmp_path / "cache")
    searches = []
    original = searched.near_duplicates
    monkeypatch.setattr(searched, "near_duplicates", lambda *a, **k: searches.append(1) or original(*a, **k))
    assert not was_searched(with_copies)
    first = search(with_copies)
    assert [pair.test for pair in first.across] == [0, 1]
    assert (2, 3) in first.within
    assert was_searched(with_copies)
    assert search(with_copies) == first
    assert len(searches) == 1
    (kept,) = (tmp_path / "cache" / "searched").iterdir()
    for damaged in (kept.read_text()[:-20], "{}", "[]", '{"across": [{"train": 1}], "within": []}'):
        kept.write_text(damaged)
        assert not was_searched(with_copies)
        assert search(with_copies) == first
    assert len(searches) == 5


def test_a_cache_that_cannot_be_written_costs_time_only(with_copies, monkeypatch, tmp_path):
    """The result is the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(searched, "cache_folder", lambda: tmp_path / "file")
    assert search(with_copies) == search(with_copies)
    assert not was_searched(with_copies)


def test_a_validation_split_is_a_part_of_the_search(with_copies, monkeypatch, tmp_path):
    """Though it is no part of the fingerprint."""
    monkeypatch.setattr(searched, "cache_folder", lambda: tmp_path / "cache")
    first = search(with_copies)
    more = replace(with_copies, validation=mz.Split(with_copies.train.images[5:9], with_copies.train.labels[5:9]))
    assert more.fingerprint == with_copies.fingerprint
    assert not was_searched(more)
    assert (("train", 5), ("validation", 0)) in search(more).same
    assert search(with_copies) == first


def test_without_near_duplicates_the_rest_is_as_with_them(with_copies, monkeypatch, tmp_path):
    """Known or not."""
    monkeypatch.setattr(searched, "cache_folder", lambda: tmp_path / "cache")
    before = search(with_copies, near=False)
    assert not was_searched(with_copies)
    assert replace(search(with_copies), across=None, within=None) == before == search(with_copies, near=False)
