"""Equal images, and images without content."""

from __future__ import annotations

import numpy as np
import torch

from modelzero.data.auditing import duplicates
from modelzero.data.auditing.duplicates import constant_and_faint, contrast, same_pixels


def noise(*shape, seed=0, high=256):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, high, shape, dtype=torch.uint8, generator=generator)


def test_exact_duplicates_are_all_found():
    """Any number of copies, within a set and across, against Python's own grouping of the bytes."""
    images = noise(400, 1, 2, 2, seed=6, high=4)
    sets = [images[:250], images[250:]]
    groups = {}
    for number, pictures in enumerate(sets):
        for position, picture in enumerate(pictures):
            groups.setdefault(tuple(picture.flatten().tolist()), []).append((number, position))
    assert same_pixels(sets) == [group for group in groups.values() if len(group) > 1]


def test_images_of_other_shapes_are_other_images():
    """Though their bytes are the same."""
    assert same_pixels([torch.zeros(1, 1, 2, 3, dtype=torch.uint8), torch.zeros(1, 1, 3, 2, dtype=torch.uint8)]) == []


def test_blocks_change_nothing(monkeypatch):
    """A set that goes through in many blocks gives what it gives in one."""
    images = torch.cat([noise(40, 3, 2, 2, high=2), torch.zeros(3, 3, 2, 2, dtype=torch.uint8)])
    expected = same_pixels([images]), [each.tolist() for each in constant_and_faint(images)]
    monkeypatch.setattr(duplicates, "_BLOCK_PIXELS", 50)
    assert (same_pixels([images]), [each.tolist() for each in constant_and_faint(images)]) == expected
    assert {40, 41, 42} <= set(expected[1][0])


def test_contrast_is_the_standard_deviation():
    """As numpy computes it, also of bright images that hardly vary."""
    images = torch.cat([noise(5, 1, 9, 9), 250 + noise(5, 1, 9, 9, high=3)])[:, 0].float()
    assert np.allclose(contrast(images), images.numpy().std((1, 2)), rtol=1e-5)
