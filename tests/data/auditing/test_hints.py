"""Hints at groups that nobody gave: from names, from near duplicates, and none where groups were given."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

import modelzero as mz
from modelzero.data.auditing.hints import GroupHint, clusters_of, hint_of
from modelzero.data.splits import groups_by_pattern


def noise(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)


def data_of(count, names=None, *, test_names=None, groups=None, drawn=True, **more):
    """A training and a test split of noise, of two classes."""
    labels = torch.arange(count) // (count // 2)
    train = mz.Split(noise(count, 1), labels, names)
    test = mz.Split(noise(count, 2), labels, test_names, groups)
    return mz.ImageData("x", train, test, ("a", "b"), split={"rule": "stratified"} if drawn else None, **more)


def frames(count, size, first=0):
    return tuple(f"ab/video{k // size}_{first + k % size:04}.png" for k in range(count))


def test_names_of_a_drawn_test_split():
    """Test images that share a stem with an image of either split are counted; the example is one of them."""
    data = data_of(40, frames(40, 5), test_names=(*frames(35, 5, 5), *(f"ab/x{k}.png" for k in range(5))))
    hint = hint_of(data, None)
    assert (hint.by, hint.groups, hint.images, hint.test_images) == ("names", 7, 35, 40)
    assert hint.example == ("ab/video0_0005.png", "ab/video0_0006.png")
    assert hint.sentence() == (
        "File names suggest that images come in groups (35 of 40 test images share 7 stems with other images, such as "
        "'ab/video0_0005.png' and 'ab/video0_0006.png'): images of one group are not independent, so intervals would "
        f"be too short; if that is right, give --group '{hint.pattern}'."
    )


def test_training_images_in_groups_beside_a_test_split_without():
    """The source's own test split, of one image of each stem, is what counts: others are augmented."""
    data = data_of(40, frames(40, 5), test_names=frames(40, 1, 9), drawn=False)
    assert hint_of(data, None) is None
    data = data_of(40, frames(40, 1), test_names=frames(40, 5, 9), drawn=False)
    assert hint_of(data, None).groups == 8


def test_names_that_must_match_too():
    """The pattern finds something in the names of all splits and of unreadable images."""
    validation = mz.Split(noise(2, 3), torch.tensor([0, 1]), ("ab/loose.png", "ab/other"))
    data = data_of(
        40, frames(40, 5), test_names=frames(40, 5, 5), validation=validation, left_out=(("ab/broken.png", "cut"),)
    )
    hint = hint_of(data, None)
    names = [*validation.names, "ab/broken.png"]
    assert groups_by_pattern(names, hint.pattern) == ["loose", "other", "broken"]


def test_no_hint_where_groups_were_given():
    """Whether the test images are in them or each is one of its own."""
    groups = torch.arange(40) // 5
    for more in ({"groups": groups}, {"grouped_by": "column patient"}, {"groups": groups, "grouped_by": "groups"}):
        assert hint_of(data_of(40, frames(40, 5), test_names=frames(40, 5, 5), **more), [(1, 2)]) is None


def test_near_duplicates_are_a_hint_from_two_percent():
    """Of the test images; names come first."""
    data = data_of(100)
    assert hint_of(data, ()) is None
    assert hint_of(data_of(102), [(3, 7)]) is None
    hint = hint_of(data, [(3, 7), (10, 20, 30)])
    assert hint == GroupHint("near duplicates", None, 2, 5, 100, ("test 3", "test 7"))
    assert hint.sentence() == (
        "5 of 100 test images are nearly equal to another test image (in 2 clusters, such as 'test 3' and 'test 7'): "
        "images of one group are not independent, so intervals would be too short; if they belong together, give "
        "--group, or groups= and test_groups= for arrays."
    )
    assert hint_of(data_of(60), [(3, 7), (10, 20)]) is None  # a pair or two among few images
    named = data_of(100, frames(100, 5), test_names=frames(100, 5, 5))
    assert hint_of(named, [(3, 7), (10, 20, 30)]).by == "names"


def test_clusters_join_what_is_linked():
    """Through others too, in whatever order the links come."""
    chain = [(k, k + 1) for k in range(50)]
    rng = np.random.default_rng(0)
    for _ in range(5):
        links = [chain[k] for k in rng.permutation(50)] + [(90, 80), (80, 90), (70, 90)]
        assert clusters_of(links) == (tuple(range(51)), (70, 80, 90))
    assert clusters_of([]) == ()


def test_the_audit_finds_clusters_and_says_so():
    """Equal and nearly equal test images are one cluster; unrelated noise is in none."""
    data = data_of(40)
    data.test.images[5] = data.test.images[3]
    data.test.images[8] = data.test.images[3].flip(2)
    data.test.images[30] = torch.roll(data.test.images[21], 1, 1)
    found = mz.audit(data)
    assert found.test_clusters == ((3, 5, 8), (21, 30))
    assert (found.grouping.by, found.grouping.groups, found.grouping.images) == ("near duplicates", 2, 5)
    assert any("5 of 40 test images are nearly equal" in said for said in found.sentences())
    shown = json.loads(json.dumps(found.as_dict()))
    assert shown["grouping"] == {**dataclasses.asdict(found.grouping), "example": ["test 3", "test 5"]}
    assert found.grouping_hint == dataclasses.asdict(found.grouping)
    assert shown["test_clusters"]["count"] == 2
    assert [place["position"] for place in shown["test_clusters"]["first"][1]] == [21, 30]
    unsearched = mz.audit(data, near=False)
    assert (unsearched.test_clusters, unsearched.grouping, unsearched.grouping_hint) == (None, None, None)
    assert (unsearched.as_dict()["test_clusters"], unsearched.as_dict()["grouping"]) == (None, None)
    clean = mz.audit(data_of(60))
    assert (clean.test_clusters, clean.grouping) == ((), None)


@pytest.mark.parametrize("own_split", [False, True])
def test_the_suggested_pattern_can_be_given(tmp_path, own_split):
    """A folder of turned copies is hinted at; with that pattern, groups are kept and the hint is gone."""
    images = noise(96).numpy()[:, 0]
    for k in range(96):
        split = ("train", "test")[k % 8 > 3] if own_split else "."
        name = f"IMG_{k // 4}_jpg.rf.{k * 7919:032x}.jpg"
        path = tmp_path / "set" / split / "ab"[k // 48] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[k]).save(path.with_suffix(".png"))
    data = mz.load(tmp_path / "set")
    hint = mz.audit(data, near=False).grouping
    assert hint.by == "names"
    assert hint.images >= 0.9 * len(data.test)
    grouped = mz.load(tmp_path / "set", group=hint.pattern)
    assert (grouped.train.group_count or 0) + (grouped.test.group_count or 0) == 24
    assert mz.audit(grouped, near=False).grouping is None
