"""Images that are there twice: planted ones are found, unrelated ones are not reported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from modelzero.data.auditing import near
from modelzero.data.auditing.duplicates import constant_and_faint, same_pixels
from modelzero.data.auditing.near import NearPair, near_duplicates, near_duplicates_within


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[3] / "benchmarks" / "near_duplicates.py"
    spec = importlib.util.spec_from_file_location("near_duplicates", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def noise(*shape, seed=0, low=0, high=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, shape, dtype=torch.uint8, generator=generator)


def smooth(count, channels=1, side=20, seed=0):
    """Images of some soft blobs, so that a moved one resembles itself."""
    few = noise(count, channels, 5, 5, seed=seed).float()
    return torch.nn.functional.interpolate(few, (side, side), mode="bicubic").clamp(0, 255).to(torch.uint8)


KINDS = [
    "moved up", "moved down", "moved left", "moved right", "moved up left", "moved up right", "moved down left",
    "moved down right", "mirrored", "brightened", "gain 1.1", "offset 10", "jpeg 75",
]  # fmt: skip


def test_every_planted_kind_is_found_in_fashion_mnist(benchmark, fashion_mnist):
    """At least 95 % of each kind, of 150 among 4,000; the benchmark plants more among all."""
    assert benchmark.KINDS == KINDS
    train = fashion_mnist.train.images[:4000]
    chosen = np.random.default_rng(1).choice(len(train), 150, replace=False)
    for kind in KINDS:
        assert benchmark.recall(train, chosen, kind) >= 0.95, kind


@pytest.mark.parametrize("kind", ["moved down right", "mirrored", "brightened", "jpeg 75"])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_and_coloured_images_too(benchmark, digits, kind, channels):
    """Digits of 8x8, and soft colour images of 20x20."""
    train = digits.train.images if channels == 1 else smooth(300, 3)
    chosen = np.random.default_rng(2).choice(len(train), 100, replace=False)
    assert benchmark.recall(train, chosen, kind) >= 0.95


def test_unrelated_images_of_fashion_mnist_are_hardly_ever_reported(fashion_mnist):
    """The test split's first 3,000 against its others: no pair with different labels, hardly an image in a pair."""
    labels = fashion_mnist.test.labels
    pairs = near_duplicates(fashion_mnist.test.images[3000:], fashion_mnist.test.images[:3000])
    assert all(labels[pair.test] == labels[3000 + pair.train] for pair in pairs)
    assert len({pair.test for pair in pairs}) <= 0.01 * 3000


def test_pure_noise_matches_nothing():
    """Neither with other noise nor with itself in another order."""
    assert near_duplicates(noise(2000, 1, 16, 16, seed=1), noise(500, 1, 16, 16, seed=2)) == []
    assert near_duplicates(smooth(500, seed=3), noise(100, 1, 20, 20, seed=4)) == []


def test_the_search_finds_what_comparing_every_pair_finds(monkeypatch, fashion_mnist, benchmark):
    """The coarse view loses no pair here: without it, each test image is compared with all training images."""
    train = fashion_mnist.train.images[:300]
    test = torch.cat([benchmark.plant(train[:10], kind) for kind in KINDS] + [fashion_mnist.test.images[:20]])
    found = near_duplicates(train, test)
    monkeypatch.setattr(near, "CANDIDATES", len(train))
    monkeypatch.setattr(near, "_COARSE_COSINE", -0.9)
    assert found == near_duplicates(train, test)
    assert len(found) >= 0.9 * 10 * len(KINDS)


@pytest.mark.parametrize("shift", [(0, 0), (-1, 0), (1, 1), (0, -1), (1, -1)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_pair_says_how_the_image_was_changed(shift, mirrored):
    """Mirrored first, then moved; where both overlap they agree to the last bit, whatever came in at the border."""
    train = noise(40, 1, 12, 15)
    plain = train[9:10].flip(3) if mirrored else train[9:10]
    test = torch.roll(plain, shift, (2, 3))
    expected = [] if shift == (0, 0) and not mirrored else [NearPair(9, 0, 1.0, mirrored, shift)]
    assert near_duplicates(train, test) == expected


def test_equal_images_are_no_near_duplicates():
    """They are what `same_pixels` reports."""
    train = smooth(50)
    assert near_duplicates(train, train[:10]) == []
    assert same_pixels([train, train[7:8]]) == [[(0, 7), (1, 0)]]


def test_images_without_content_are_reported_as_such_and_not_compared():
    """A constant image, one that varies by a grey level, one of a constant colour, and one with content."""
    flat = torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)
    red = flat.clone()
    red[:, 0] = 200
    faint = flat + noise(1, 3, 16, 16, high=2)
    images = torch.cat([flat, faint, red, smooth(1, 3, 16)])
    constant, nearly = constant_and_faint(images)
    assert (constant.tolist(), nearly.tolist()) == ([0, 2], [1])
    assert near_duplicates(images[:3], images[:3] + 1) == []


def test_another_colour_is_another_image():
    """Images of the same brightness whose colours differ are no near duplicates; slightly different ones are."""
    grey = smooth(30, 3, seed=5) // 2 + 60
    reddish, slightly = grey.clone(), grey.clone()
    reddish[:, 0] += 60
    slightly[:, 0] += 10
    assert near_duplicates(grey, reddish) == []
    assert len({pair.test for pair in near_duplicates(grey, slightly)}) == 30


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 40), (1, 1, 99), (3, 2, 2), (4, 9, 8), (2, 30, 3), (1, 200, 150)])
def test_any_shape_can_be_searched(shape):
    """Two or four channels, narrow or large images; those of fewer than 64 pixels are too small to be recognised."""
    train = noise(12, *shape)
    found = near_duplicates(train, train[3:4].flip(3))
    assert [pair.train for pair in found] == ([3] if shape[1] * shape[2] >= 64 else [])


def test_blocks_and_threads_change_nothing(monkeypatch, benchmark, fashion_mnist):
    """The same pairs in the same order, and torch has its threads back afterwards."""
    train = fashion_mnist.train.images[:700]
    test = benchmark.plant(train[:50], "moved left")
    expected, threads = near_duplicates(train, test), torch.get_num_threads()
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(near, "_TEST_BLOCK", 7)
    monkeypatch.setattr(near, "_TRAIN_BLOCK", 64)
    monkeypatch.setattr(near, "_COMPARED_PIXELS", 5000)
    assert near_duplicates(train, test) == expected
    assert len(expected) >= 48


def test_a_bar_is_drawn_on_standard_error_where_it_takes_long(monkeypatch, capsys):
    """And nothing on standard output."""
    monkeypatch.setattr(near, "_SILENT_SECONDS", 0)
    near_duplicates(noise(20, 1, 8, 8), noise(20, 1, 8, 8), progress=True)
    shown = capsys.readouterr()
    assert "near duplicates: 100%" in shown.err
    assert shown.out == ""


def test_near_duplicates_within_a_split_are_found_once_each():
    """A mirrored, a moved and a brightened image; no image is a duplicate of itself, and equal ones are left out."""
    images = noise(60, 1, 16, 16, high=200)
    changed = torch.stack([images[4].flip(2), torch.roll(images[9], (1, 0), (1, 2)), images[30] + 20, images[50]])
    assert near_duplicates_within(torch.cat([images, changed])) == [(4, 60), (9, 61), (30, 62)]


def test_unrelated_noise_has_no_near_duplicates_within():
    """Neither plain nor soft images."""
    assert near_duplicates_within(noise(1500, 1, 16, 16)) == []
    assert near_duplicates_within(smooth(300)) == []
