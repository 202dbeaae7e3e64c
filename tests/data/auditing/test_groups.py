"""Groups that names suggest: found where names are those of frames, patients and copies, and nowhere else."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
import uuid

import numpy as np
import pytest

from modelzero.data.auditing.groups import suggest_groups
from modelzero.data.splits import groups_by_pattern

CLASSES, GROUPS, IMAGES = ("cat", "dog", "owl"), 6, 8  # images of each group, groups of each class


def number(c, g):
    """Number the groups over all classes."""
    return GROUPS * c + g


def letter(c, g):
    """Give each group a letter."""
    return "abcdefghijklmnopqrs"[number(c, g)]


def key(*parts):
    """Return 32 hexadecimal digits that look random."""
    return hashlib.md5(repr(parts).encode()).hexdigest()


RANDOM = np.random.default_rng(3)
AUGMENTED = ("", "_flip", "_rot90", "_aug_3", "_hflip", "_bright", "_blur2", "_noise")
COPIES = ("", *(f" ({k})" for k in range(1, IMAGES)))
VIEWS = ("_left", "_right", "_front", "_back", "_top", "_bottom", "_side", "")

# Names of the i-th image of the g-th group of the c-th class.
GROUPED = {
    "Roboflow": lambda c, g, i: f"{CLASSES[c]}/IMG_{number(c, g)}_jpg.rf.{key(c, g, i)}.jpg",
    "Roboflow, words": lambda c, g, i: f"{CLASSES[c]}/{letter(c, g)}_png.rf.{key(c, g, i)}.png",
    "Roboflow without an ending": lambda c, g, i: f"{CLASSES[c]}/x{number(c, g)}.rf.{i}.jpg",
    "Roboflow, restarting": lambda c, g, i: f"{CLASSES[c]}/IMG_{g}_jpg.rf.{key(c, g, i)}.jpg",
    "Roboflow, one of each frame": lambda c, g, i: f"x/vid{number(c, g)}_mp4-{i:04}_jpg.rf.{key(c, g, i)}.jpg",
    "frames": lambda c, g, i: f"{CLASSES[c]}/video{number(c, g)}_frame_{i:04}.png",
    "frames of named videos": lambda c, g, i: f"{CLASSES[c]}/{letter(c, g)}holiday_frame_{i}.png",
    "frames of files": lambda c, g, i: f"{CLASSES[c]}/GX01{number(c, g):04}.MP4_{i * 30:06}.jpg",
    "frames, restarting": lambda c, g, i: f"{CLASSES[c]}/video{g}_{i:04}.jpg",
    "clips": lambda c, g, i: f"{CLASSES[c]}/clip-{number(c, g):02}-{i:05}.jpg",
    "traffic signs": lambda c, g, i: f"{c:05}/{g:05}_{i:05}.ppm",
    "rock paper scissors": lambda c, g, i: f"{CLASSES[c]}/{CLASSES[c]}{g:02}-{i:03}.png",
    "copies": lambda c, g, i: f"{CLASSES[c]}/IMG_{number(c, g)}{COPIES[i]}.jpg",
    "copies, restarting": lambda c, g, i: f"{CLASSES[c]}/IMG_{g}{COPIES[i]}.jpg",
    "copies of Windows": lambda c, g, i: f"{CLASSES[c]}/scan{number(c, g)}{' - Copy' * (i > 0)}{COPIES[i]}.jpg",
    "augmented": lambda c, g, i: f"{CLASSES[c]}/rose_{number(c, g)}{AUGMENTED[i]}.jpg",
    "turned": lambda c, g, i: f"{CLASSES[c]}/{number(c, g)}_{45 * i}deg.jpg",
    "patients": lambda c, g, i: f"patient{number(c, g)}_{i}.png",
    "patients and slices": lambda c, g, i: f"{CLASSES[c]}/P{number(c, g):03}_slice{i:02}.png",
    "pneumonia": lambda c, g, i: f"{CLASSES[c]}/person{number(c, g)}_{CLASSES[c]}_{10 * number(c, g) + i}.jpeg",
    "chest": lambda c, g, i: f"images/{number(c, g):08}_{i:03}.png",
    "histology": lambda c, g, i: f"{CLASSES[c]}/SOB_B_A-14-{22549 + number(c, g)}AB-40-{i:03}.png",
    "tiles": lambda c, g, i: f"{CLASSES[c]}/slide_{number(c, g)}_x{i % 3}_y{i // 3}.png",
    "patches of named images": lambda c, g, i: f"{CLASSES[c]}/{letter(c, g)}field_patch{i}.tif",
    "a day's patients": lambda c, g, i: f"{CLASSES[c]}/20210101_patient{number(c, g)}_{i}.png",
    "crops": lambda c, g, i: f"{CLASSES[c]}/{key(c, g)}_crop{i}.png",
    "eyes": lambda c, g, i: f"{number(c, g) * 4 + i // 2}_{('left', 'right')[i % 2]}.jpeg",
    "views": lambda c, g, i: f"{CLASSES[c]}/shoe{number(c, g)}{VIEWS[i]}.jpg",
    "folders": lambda c, g, i: f"{CLASSES[c]}/p{number(c, g):02}/scan_{i}.png",
    "folders of a table": lambda c, g, i: f"p{number(c, g):02}/scan_{i}.png",
    "folders, restarting": lambda c, g, i: f"{CLASSES[c]}/patient_{g}/{i}.png",
    "folders two levels up": lambda c, g, i: f"{CLASSES[c]}/p{number(c, g):02}/images/{i}.png",
    "folders in folders": lambda c, g, i: f"{CLASSES[c]}/p{number(c, g):02}/session{i % 2}/{i}.png",
    "folders of actions": lambda c, g, i: f"{CLASSES[c]}/v_{CLASSES[c]}_g{g:02}_c01/frame{i:04}.jpg",
    "without endings": lambda c, g, i: f"{CLASSES[c]}/video{number(c, g)}_{i}",
    "Parquet rows": lambda c, g, i: f"train-00000-of-00001[{number(c, g) * IMAGES + i}] video{number(c, g)}_{i}.jpg",
}  # fmt: skip


def all_of(name):
    """Give the names, labels and group numbers that a function of class, group and image makes."""
    places = [(c, g, i) for c in range(len(CLASSES)) for g in range(GROUPS) for i in range(IMAGES)]
    return [name(*place) for place in places], [c for c, _, _ in places], [number(c, g) for c, g, _ in places]


@pytest.mark.parametrize("kind", GROUPED)
def test_names_of_groups(kind):
    """The pattern finds, in each name, the group that was meant."""
    names, labels, groups = all_of(GROUPED[kind])
    assert len(set(names)) == len(names)
    found = suggest_groups(names, labels)
    assert found is not None
    assert " " not in found.pattern
    by_pattern = groups_by_pattern(names, found.pattern)
    if kind == "eyes":
        assert (found.groups, found.images) == (len(names) // 2, len(names))
        return
    assert len(set(zip(by_pattern, groups, strict=True))) == len(set(groups)) == len(set(by_pattern))
    assert (found.groups, found.images) == (len(set(groups)), len(names))
    assert found.example == (names[0], names[1])


def photo(k, pattern="IMG_{:%Y%m%d_%H%M%S}"):
    """Name a photograph by its time: 12 a day."""
    start = dt.datetime(2021, 1, 1, 8, tzinfo=dt.UTC)
    return pattern.format(start + dt.timedelta(days=k // 12, seconds=k % 12 * 2741 + k % 7))


# Names of the k-th image of the c-th class, of 48 each.
ORDINARY = {
    "cats and dogs": lambda c, k: f"{CLASSES[c]}/{CLASSES[c]}.{k}.jpg",
    "numbers": lambda c, k: f"{CLASSES[c]}/{k:03}.jpg",
    "numbers in splits": lambda c, k: f"{('train', 'val', 'test')[k % 3]}/{CLASSES[c]}/{k}.jpg",
    "running numbers": lambda c, k: f"{CLASSES[c]}/{48 * c + k}.jpg",
    "digits": lambda c, k: f"{c}/img_{k}.png",
    "digits, exported": lambda c, k: f"{c}/{k:05}_{c}.png",
    "label first": lambda c, k: f"{c}_{k}.png",
    "label last": lambda c, k: f"{k}_{c}.png",
    "label in words": lambda c, k: f"images/label_{c}_img_{k}.png",
    "ImageNet": lambda c, k: f"n0144076{c}/n0144076{c}_{k * 13}.JPEG",
    "ImageNet with superclasses": lambda c, k: f"{CLASSES[c]}/n0144076{c * 4 + k % 4}_{k * 13}.JPEG",
    "Stanford dogs with superclasses": lambda c, k: f"{CLASSES[c]}/n0208562{c * 3 + k % 3}-Collie/n0208562{c}_{k}.jpg",
    "ImageNet validation": lambda c, k: f"ILSVRC2012_val_{48 * c + k:08}.JPEG",
    "COCO": lambda c, k: f"{CLASSES[c]}/COCO_train2014_{(48 * c + k) * 977:012}.jpg",
    "Tiny ImageNet": lambda c, k: f"n0144076{c}/images/n0144076{c}_{k}.JPEG",
    "hashes": lambda c, k: f"{CLASSES[c]}/{key(c, k)}.jpg",
    "half hashes": lambda c, k: f"{CLASSES[c]}/{key(c, k)[:8]}.jpg",
    "hashes in shards": lambda c, k: f"images/{key(c, k)[0]}/{key(c, k)[1]}/{key(c, k)}.jpg",
    "UUIDs": lambda c, k: f"{CLASSES[c]}/{uuid.UUID(key(c, k))}.png",
    "UUID and a word": lambda c, k: f"{CLASSES[c]}/{uuid.UUID(key(c, k))}___RS_Rust {k}.JPG",
    "Android": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k)}.jpg",
    "Android, one table": lambda c, k: f"photos/{photo(48 * c + k)}.jpg",
    "Samsung": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, '{:%Y%m%d_%H%M%S}')}.jpg",
    "Pixel": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, 'PXL_{:%Y%m%d_%H%M%S}')}{k:03}.jpg",
    "short dates": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, '{:%y%m%d_%H%M%S}')}.jpg",
    "bursts": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k // 4)}_{k % 4}.jpg",
    "WhatsApp": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, 'IMG-{:%Y%m%d}')}-WA{k % 12:04}.jpg",
    "WhatsApp on the web": lambda c, k: f"{CLASSES[c]}/"
    + photo(48 * c + k // 8, "WhatsApp Image {:%Y-%m-%d at %H.%M.%S}") + f"{COPIES[k % 8]}.jpeg",
    "Dropbox": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, '{:%Y-%m-%d %H.%M.%S}')}.jpg",
    "Telegram": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, f'photo_{k}@' + '{:%d-%m-%Y_%H-%M-%S}')}.jpg",
    "screenshots": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, 'Screenshot_{:%Y-%m-%d-%H-%M-%S}')}.png",
    "days and a counter": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, '{:%Y-%m-%d}')}_{k % 12}.jpg",
    "folders of days": lambda c, k: f"{CLASSES[c]}/{photo(48 * c + k, '{:%Y-%m-%d}')}/IMG_{k}.jpg",
    "folders of years": lambda c, k: f"{CLASSES[c]}/{2015 + 4 * c + k % 4}/{k}.jpg",
    "years": lambda c, k: f"{CLASSES[c]}/cat_{2015 + 4 * c + k % 4}_{k}.jpg",
    "Canon": lambda c, k: f"{CLASSES[c]}/IMG_{1234 + 48 * c + k}.JPG",
    "Nikon": lambda c, k: f"{CLASSES[c]}/DSC_{48 * c + k:04}.JPG",
    "Sony": lambda c, k: f"{CLASSES[c]}/DSC{48 * c + k:05}.JPG",
    "Kodak": lambda c, k: f"{CLASSES[c]}/{100 + 4 * c + k % 4}_{k:04}.JPG",
    "folders of cameras": lambda c, k: f"{CLASSES[c]}/{100 + 4 * c + k % 4}CANON/IMG_{k:04}.JPG",
    "drones": lambda c, k: f"{CLASSES[c]}/DJI_{k:04}.JPG",
    "GoPro": lambda c, k: f"{CLASSES[c]}/GOPR{k:04}.JPG",
    "Facebook": lambda c, k: f"{CLASSES[c]}/FB_IMG_{1609459200123 + 7919 * (48 * c + k)}.jpg",
    "Flickr": lambda c, k: f"{CLASSES[c]}/{5000000000 + 104729 * (48 * c + k)}_{key(c, k)[:10]}_o.jpg",
    "renamed by Windows": lambda c, k: f"{CLASSES[c]}/{CLASSES[c]} ({k}).jpg",
    "found on the web": lambda c, k: f"{CLASSES[c]}/{('images', 'download', 'photo', 'unnamed')[k % 4]} ({k}).jpg",
    "breeds": lambda c, k: f"{CLASSES[c]}/{('Abyssinian', 'Bengal', 'Birman', 'beagle')[k % 4]}_{k}.jpg",
    "folders of breeds": lambda c, k: f"{CLASSES[c]}/{('poodle', 'beagle', 'collie', 'boxer')[k % 4]}/{k}.jpg",
    "CIFAR": lambda c, k: f"{CLASSES[c]}/{('alauda_arvensis', 'felis', 'domestic', 'true')[k % 4]}_s_{k:06}.png",
    "birds": lambda c, k: f"{c:03}.{CLASSES[c]}/Black_{CLASSES[c]}_{k:04}_{796111 + 31 * k}.jpg",
    "Caltech": lambda c, k: f"{c:03}.{CLASSES[c]}/{c:03}_{k:04}.jpg",
    "objects": lambda c, k: f"obj{c}__{k}.png",
    "batches": lambda c, k: f"{CLASSES[c]}/data_batch_{k % 5}_{k:05}.png",
    "folds": lambda c, k: f"{CLASSES[c]}/fold{k % 5}_{k:03}.png",
    "folders of parts": lambda c, k: f"{CLASSES[c]}/part{5 * c + k % 5}/{k}.jpg",
    "batches of one class": lambda c, k: f"{CLASSES[c]}/batch{5 * c + k % 5}_{k:03}.png",
    "handwriting": lambda c, k: f"by_class/3{c}/hsf_{k % 7}/hsf_{k % 7}_{k:05}.png",
    "hands": lambda c, k: f"{CLASSES[c]}/hand{k % 5}_{CLASSES[c]}_bot_seg_{k // 5}_cropped.jpeg",
    "faces": lambda c, k: f"{20 + k % 6}_{c}_2_2017011618402{k:04}.jpg",
    "folders of numbers": lambda c, k: f"{CLASSES[c]}/{k % 5}/{k}.jpg",
    "skin": lambda c, k: f"ISIC_{24306 + 48 * c + k:07}.jpg",
    "skin, shrunk": lambda c, k: f"ISIC_{24306 + 48 * c + k:07}_downsampled.jpg",
    "satellites": lambda c, k: f"{CLASSES[c]}/{CLASSES[c]}_{k}.tif",
    "satellites without a gap": lambda c, k: f"{CLASSES[c]}/{CLASSES[c]}{k:02}.tif",
    "generated": lambda c, k: f"{CLASSES[c]}/{CLASSES[c]}_0_{(7919 * k) % 10007}.jpeg",
    "sizes": lambda c, k: f"{CLASSES[c]}/{48 * c + k:04}_224.png",
    "flipped, one of each": lambda c, k: f"{CLASSES[c]}/{48 * c + k:04}_flip.png",
    "Roboflow, one of each": lambda c, k: f"{CLASSES[c]}/IMG_{48 * c + k}_jpg.rf.{key(c, k)}.jpg",
    "vegetables": lambda c, k: f"{CLASSES[c]}/{('fresh', 'rotten', 'ripe')[k % 3]}_{k}.jpg",
    "frames of one video": lambda c, k: f"{CLASSES[c]}/frame_{48 * c + k:04}.png",
    "one video for a class": lambda c, k: f"{CLASSES[c]}/video{c}_frame_{k:04}.png",
    "one patient for a class": lambda c, k: f"patient{c}_{k}.png",
    "random pairs of numbers": lambda c, k: f"{CLASSES[c]}/{RANDOM.integers(1, 40)}_{RANDOM.integers(1, 9999)}.png",
    "users of all classes": lambda c, k: f"{CLASSES[c]}/user{k % 12}_{k}.png",
    "Parquet rows": lambda c, k: f"train-00000-of-00002[{48 * c + k}]",
    "Parquet rows of numbers": lambda c, k: f"train-00000-of-00002[{48 * c + k}] {k}.png",
    "letters": lambda c, k: f"{CLASSES[c]}/{chr(97 + k % 26)}{chr(97 + k // 26)}.png",
    "Korean": lambda c, k: f"고양이{c}/사진 {k}.png",
    "blanks": lambda c, k: f"{CLASSES[c]}/  {k}  .png",
    "dots": lambda c, k: f"{CLASSES[c]}/.{k}.",
    "one name": lambda c, k: "x.png",
}  # fmt: skip


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_names(kind):
    """Nothing is suggested."""
    names = [ORDINARY[kind](c, k) for c in range(len(CLASSES)) for k in range(48)]
    assert suggest_groups(names, np.repeat(np.arange(len(CLASSES)), 48)) is None


def test_labels_of_one_class_only():
    """A test split of one class is a split."""
    names = [f"video{k // 8}_{k % 8}.png" for k in range(48)]
    assert suggest_groups(names, [1] * 48).groups == 6


def test_few_names():
    """None, one, or two names are no groups."""
    for count in range(6):
        assert suggest_groups([f"video{k // 2}_{k}.png" for k in range(count)], [k % 2 for k in range(count)]) is None


def test_the_pattern_finds_something_in_each_name():
    """Also in those of other splits, and in those that could not be read."""
    names, labels, _ = all_of(GROUPED["frames"])
    assert suggest_groups(names, labels).pattern == "([^/]+)_"
    others = ["cat/loose.png", "owl/noending"]
    found = suggest_groups(names, labels, others=others)
    assert groups_by_pattern(others, found.pattern) == ["loose", "noending"]
    assert len(set(groups_by_pattern(names, found.pattern))) == 18


def test_numbers_that_begin_again_in_each_split():
    """Where both splits have a `cat/video0_0001.png`, the split's folder is part of the group."""
    names, labels, _ = all_of(GROUPED["frames"])
    test, train = ([f"{split}/{name}" for name in names] for split in ("test", "train"))
    found = suggest_groups(test, labels, others=train)
    assert not set(groups_by_pattern(test, found.pattern)) & set(groups_by_pattern(train, found.pattern))
    assert found.groups == 18
    other_frames = [name.replace("_frame_", "_frame_1") for name in train]
    assert suggest_groups(test, labels, others=other_frames).pattern == "([^/]+)_"


def test_half_of_the_names_are_enough():
    """Images of no group do not hide the others, unless there are more of them."""
    names, labels, _ = all_of(GROUPED["frames"])
    loose = [f"{CLASSES[k % 3]}/loose{k}.png" for k in range(len(names))]
    assert suggest_groups(names + loose[:60], labels + [k % 3 for k in range(60)]).groups == 18
    assert suggest_groups(names[:60] + loose, labels[:60] + [k % 3 for k in range(len(names))]) is None
    names, labels, _ = all_of(GROUPED["copies"])
    more = [*labels, *(k % 3 for k in range(160))]
    assert suggest_groups(names + [f"x/IMG_{900 + k}.jpg" for k in range(160)], more) is None


def test_pairs_need_a_telling_name():
    """An image and its copy, beside images without one: `IMG_7 (1).jpg` says what it is, `IMG_7_1.jpg` need not."""
    numbers, labels = [*range(40), *range(60)], [k % 2 for k in [*range(40), *range(60)]]
    names = [f"IMG_{k}{' (1)' * (place < 40)}.jpg" for place, k in enumerate(numbers)]
    assert suggest_groups(names, labels).images == 80
    names = [f"IMG_{k}_{int(place < 40)}.jpg" for place, k in enumerate(numbers)]
    assert suggest_groups(names, labels) is None


@pytest.mark.parametrize(("classes", "share"), [(2, 0.95), (10, 0.7)])
def test_groups_are_of_one_label(classes, share):
    """Stems that most classes share are not groups, also where one class is nearly everything."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 10)
    most = groups % classes if share < 0.9 else np.zeros(2000, np.int64)
    labels = np.where(rng.random(2000) < share, most, rng.integers(0, classes, 2000))
    names = [f"user{group}_{k}.png" for k, group in enumerate(groups)]
    assert suggest_groups(names, labels) is None
    assert suggest_groups(names, groups % classes).groups == 200


def test_many_long_names_take_seconds():
    """Of 20,000 names of 120 letters."""
    began = time.perf_counter()
    names = [f"{'a_1-b.2 ' * 15}{k}" for k in range(20_000)]
    assert suggest_groups(names, np.arange(20_000) % 10) is None
    assert time.perf_counter() - began < 30
