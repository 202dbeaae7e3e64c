"""Groups stay with their images: through the draw of a test split, a share, and to the worker processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import modelzero as mz
from modelzero.climbing.shared import open_shared, share
from modelzero.data.assemble import take_share
from modelzero.data.options import LoadOptions

COUNT, SIZE = 60, 6  # images, and images of each group
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16), np.uint8)
GROUPS = [f"video {k // SIZE}" for k in range(COUNT)]
CLASSES = [f"{'cat' if k // SIZE % 2 else 'dog'}" for k in range(COUNT)]


def group_of():
    """Map the pixels of each image to its group."""
    return {image.tobytes(): group for image, group in zip(IMAGES, GROUPS, strict=True)}


def groups_of(split):
    """Return the names of the groups that a split's images have by their pixels."""
    known = group_of()
    return [known[image.numpy().tobytes()] for image in split.images]


def assert_grouped(*splits):
    """Each number stands for one group, and each group has one number, over all splits."""
    pairs = {pair for split in splits for pair in zip(groups_of(split), split.groups.tolist(), strict=True)}
    assert len(pairs) == len({group for group, _ in pairs}) == len({number for _, number in pairs})


def test_groups_follow_the_drawn_split():
    """Each image has the number of its group, in both splits, and the numbers begin with 0."""
    data = mz.from_arrays(IMAGES, CLASSES, groups=GROUPS)
    assert_grouped(data.train, data.test)
    assert data.grouped_by == "groups"
    assert (data.train.group_count, data.test.group_count) == (8, 2)
    assert sorted({*data.train.groups.tolist(), *data.test.groups.tolist()}) == list(range(10))
    assert data.description.as_dict()["groups"] == {"by": "groups", "train": 8, "test": 2, "validation": None}
    assert data.fingerprint == mz.ImageData("x", data.train, data.test, data.classes).fingerprint


def test_groups_survive_a_share():
    """Images that are kept keep the numbers that they had, also where the share is taken later."""
    whole = mz.from_arrays(IMAGES, CLASSES, groups=GROUPS)
    data = mz.from_arrays(IMAGES, CLASSES, groups=GROUPS, share=0.5)
    assert_grouped(data.train, data.test)
    assert len(data.train) == 24
    later = take_share(whole, LoadOptions(share=0.5))
    assert torch.equal(later.train.images, data.train.images)
    assert torch.equal(later.train.groups, data.train.groups)
    assert torch.equal(later.test.groups, whole.test.groups)
    assert later.description.groups == data.description.groups


def test_a_share_of_one_image_of_each_group_is_not_grouped():
    """Nothing that is left belongs together."""
    groups = [k // 2 for k in range(COUNT)]
    data = take_share(mz.from_arrays(IMAGES, [0, 1] * 30, IMAGES, [0, 1] * 30, groups=groups), LoadOptions(share=0.04))
    assert len(data.train) == 2
    assert data.train.groups is None


def test_workers_see_the_groups(tmp_path):
    """What is opened has the groups and the words for them; ungrouped splits have none."""
    data = mz.from_arrays(IMAGES, CLASSES, groups=GROUPS)
    share(data, tmp_path / "both")
    back = open_shared(tmp_path / "both")
    for name in ("train", "test"):
        assert torch.equal(getattr(back, name).groups, getattr(data, name).groups)
    assert back.grouped_by == "groups"
    assert back.description == data.description
    train_only = mz.from_arrays(IMAGES, CLASSES, IMAGES[::4], CLASSES[::4], groups=GROUPS)
    share(train_only, tmp_path / "both")  # over what is there
    open_shared.cache_clear()
    back = open_shared(tmp_path / "both")
    assert (back.train.group_count, back.test.groups) == (10, None)


@pytest.fixture
def forms(tmp_path):
    """The same grouped images, in the same order, as a folder, tables, and arrays."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    order = sorted(range(COUNT), key=lambda k: CLASSES[k])  # as a folder is read
    names = {k: f"{CLASSES[k]}/video{k // SIZE}_{k % SIZE}.png" for k in order}
    for k, name in names.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[k]).save(tmp_path / "folder" / name)
    rows = [(names[k], CLASSES[k], GROUPS[k]) for k in order]
    for column in ("group", "patient"):
        text = f"path,label,{column}\n" + "".join(f"{','.join(row)}\n" for row in rows)
        (tmp_path / "folder" / f"{column}.csv").write_text(text)
    contents = [(tmp_path / "folder" / path).read_bytes() for path, _, _ in rows]
    table = {"image": contents, "label": [row[1] for row in rows], "patient": [int(row[2][6:]) for row in rows]}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    arrays = {"images": IMAGES[order], "labels": np.array(CLASSES)[order], "groups": np.array(GROUPS)[order]}
    np.savez(tmp_path / "x.npz", **arrays)
    (tmp_path / "npy").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "npy" / f"{'train_groups' if name == 'groups' else name}.npy", array)
    return {
        "folder": (tmp_path / "folder", r"([^/]+)_", r"pattern ([^/]+)_"),
        "found column": (tmp_path / "folder" / "group.csv", None, "column group"),
        "column": (tmp_path / "folder" / "patient.csv", "patient", "column patient"),
        "pattern in a table": (tmp_path / "folder" / "patient.csv", r"video\d", r"pattern video\d"),
        "Parquet": (tmp_path / "x.parquet", "patient", "column patient"),
        "npz": (tmp_path / "x.npz", None, "groups"),
        "npy": (tmp_path / "npy", None, "groups"),
    }, arrays


def test_the_same_images_have_the_same_groups(forms):
    """Folder, tables and arrays: one fingerprint, one split, the same numbers, and words for their origin."""
    known, arrays = forms
    expected = mz.from_arrays(**arrays)
    assert_grouped(expected.train, expected.test)
    for form, (path, group, by) in known.items():
        data = mz.load(path, group=group)
        assert data.fingerprint == expected.fingerprint, form
        assert data.grouped_by == by
        for name in ("train", "test"):
            assert torch.equal(getattr(data, name).groups, getattr(expected, name).groups), form
    ungrouped = mz.load(known["npz"][0].with_name("folder"))
    assert (ungrouped.train.groups, ungrouped.test.groups, ungrouped.grouped_by) == (None, None, None)


def test_groups_of_unreadable_images_are_left_out_with_them(forms):
    """The others keep theirs."""
    known, _ = forms
    path, pattern, _ = known["folder"]
    Path(path, "cat", "video1_0.png").write_bytes(b"no image")
    data = mz.load(path, group=pattern, allow_unreadable=True)
    assert len(data.train) + len(data.test) == COUNT - 1
    assert_grouped(data.train, data.test)


def test_groups_of_three_splits_in_any_order(tmp_path):
    """A table whose splits are mixed gives the numbers that separate arrays give: they rise from split to split."""
    splits = ["train", "test", "val"]
    rows = []
    for k in range(COUNT):
        Image.fromarray(IMAGES[k]).save(tmp_path / f"{k}.png")
        rows.append((f"{k}.png", CLASSES[k], splits[k // SIZE // 2 % 3], f"p{k // SIZE}"))
    text = "path,label,split,group\n" + "".join(f"{','.join(row)}\n" for row in rows)
    (tmp_path / "x.csv").write_text(text)
    data = mz.load(tmp_path / "x.csv")
    assert_grouped(data.train, data.test, data.validation)
    parts = {split: [k for k in range(COUNT) if rows[k][2] == split] for split in splits}
    arrays = mz.from_arrays(
        IMAGES[parts["train"]],
        [CLASSES[k] for k in parts["train"]],
        IMAGES[parts["test"]],
        [CLASSES[k] for k in parts["test"]],
        validation_images=IMAGES[parts["val"]],
        validation_labels=[CLASSES[k] for k in parts["val"]],
        groups=[rows[k][3] for k in parts["train"]],
        test_groups=[rows[k][3] for k in parts["test"]],
        validation_groups=[rows[k][3] for k in parts["val"]],
    )
    for name in ("train", "test", "validation"):
        assert torch.equal(getattr(data, name).groups, getattr(arrays, name).groups)
    assert data.description.as_dict()["groups"] == {"by": "column group", "train": 4, "test": 4, "validation": 2}


def test_a_group_on_both_sides_has_one_number(tmp_path):
    """A table's own column of groups is followed where its own split divides one, with a note; --group refuses that."""
    rows = []
    for k in range(COUNT):
        Image.fromarray(IMAGES[k]).save(tmp_path / f"{k}.png")
        rows.append(f"{k}.png,{CLASSES[k]},{'test' if k % SIZE == 0 else 'train'},p{k // SIZE // 2}\n")
    (tmp_path / "x.csv").write_text("path,label,split,group\n" + "".join(rows))
    data = mz.load(tmp_path / "x.csv")
    assert any("both sides" in note for note in data.notes)
    assert set(data.test.groups.tolist()) == set(data.train.groups.tolist()) == set(range(5))
