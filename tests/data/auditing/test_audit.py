"""The audit: planted faults are found, counted and named, and nothing else is."""

from __future__ import annotations

import json

import pytest
import torch

import modelzero as mz
from modelzero.data.auditing.audit import MOST_LISTED
from modelzero.io.json import to_json

HOSTILE = ("<script>alert(1)</script>", "../x", "two\nlines", "\u202egnp.exe", "한국어 🙂", "x" * 300, "half \ud800")


def pictures(count, seed=0, side=10):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=generator)


@pytest.fixture
def planted():
    """Forty training and twenty test images with one fault of each kind, and a validation split."""
    train, test, validation = pictures(40, 1), pictures(20, 2), pictures(5, 3)
    labels, test_labels = torch.arange(40) % 2, torch.arange(20) % 2
    train[5] = train[3]  # twice in training, the same label
    test[9] = test[4]  # twice in test, other labels
    test[0] = train[10]  # in both, the same label
    test[1] = train[12]  # in both, other labels
    test[2] = train[14].flip(2)  # nearly in both
    train[20], test[6] = 77, 200  # of one colour
    train[21] = pictures(1, 4)[0] % 2  # nearly so
    validation[1] = train[30]
    names = tuple(f"train/{position}.png" for position in range(40))
    return mz.ImageData(
        "planted",
        mz.Split(train, labels, names),
        mz.Split(test, test_labels),
        ("even", "odd"),
        validation=mz.Split(validation, torch.zeros(5, dtype=torch.int64)),
        left_out=(("train/broken.png", "not an image"),),
        notes=("Brought to 10 x 10.",),
    )


def test_classes_without_a_image_are_named(digits):
    """On either side."""
    half = digits.train.labels < 5
    some = mz.Split(digits.train.images[half], digits.train.labels[half])
    for train, test, word in ((some, digits.test, "training"), (digits.train, some, "test")):
        said = mz.audit(mz.ImageData("half", train, test, digits.classes), near=False).sentences()
        assert f"5 classes are without a {word} image, such as '5'." in said


def test_every_planted_fault_is_found_and_nothing_else(planted):
    """By kind, with split and position."""
    found = mz.audit(planted)
    assert found.constant == (("train", 20), ("test", 6))
    assert found.faint == (("train", 21),)
    assert found.within("train") == [(("train", 3), ("train", 5))]
    assert found.within("test") == [(("test", 4), ("test", 9))]
    assert found.within("validation") == []
    assert found.across("train", "test") == [(("train", 10), ("test", 0)), (("train", 12), ("test", 1))]
    assert found.across("train", "validation") == [(("train", 30), ("validation", 1))]
    assert found.across("test", "validation") == []
    assert found.contradictions == [(("train", 12), ("test", 1)), (("test", 4), ("test", 9))]
    assert [(pair.train, pair.test, pair.mirrored) for pair in found.near] == [(14, 2, True)]
    assert found.leaked == [0, 1, 2]
    assert found.leaked_pairs()[-1] == (("train", 14), ("test", 2))


def test_sentences_name_what_was_found(planted):
    """One for each finding, with a count and an example by name."""
    said = "\n".join(mz.audit(planted).sentences())
    for words in (
        "Brought to 10 x 10.",
        "1 unreadable file skipped.",
        "2 images are of one colour, such as train/20.png and test 6.",
        "1 image is nearly of one colour, such as train/21.png.",
        "1 train image is repeated within that split, such as train/3.png and train/5.png.",
        "2 test images are also in train, such as train/10.png and test 0.",
        "1 validation image is also in train",
        "2 images are found under different labels, such as train/12.png and test 1.",
        "1 test image is nearly the same as a training image, such as test 2 and train/14.png.",
        "3 of 20 test images were seen in training",
    ):
        assert words in said
    assert "mbalance" not in said


def test_json_has_everything_with_names_and_classes(planted):
    """What other programs read."""
    shown = json.loads(to_json(mz.audit(planted).as_dict()))
    assert shown["counts"] == {"train": [20, 20], "test": [10, 10], "validation": [5, 0]}
    assert shown["duplicates_across"]["train-test"]["count"] == 2
    first = shown["duplicates_across"]["train-test"]["first"][1]
    assert first == [
        {"split": "train", "position": 12, "name": "train/12.png", "class": "even"},
        {"split": "test", "position": 1, "name": "test 1", "class": "odd"},
    ]
    near = shown["near_duplicates"]["first"][0]
    assert (near["train"]["position"], near["test"]["position"], near["mirrored"]) == (14, 2, True)
    assert (shown["near_duplicates"]["count"], shown["near_duplicates"]["test_pictures"]) == (1, 1)
    assert shown["left_out"] == {"count": 1, "first": [{"name": "train/broken.png", "reason": "not an image"}]}
    assert shown["leaked_test_pictures"] == 3


def test_lists_end_and_counts_do_not():
    """A set in which every test image is a training image."""
    images, labels = pictures(250), torch.arange(250) % 2
    split = mz.Split(images, labels)
    shown = mz.audit(mz.ImageData("twice", split, split, ("a", "b"))).as_dict()["duplicates_across"]["train-test"]
    assert (shown["count"], len(shown["first"])) == (250, MOST_LISTED)


def test_imbalance_is_said_above_ten_to_one():
    """Of the classes that have training images; those without any are named."""

    def said(few, classes=("a", "b")):
        labels = torch.zeros(few * 10 + 3, dtype=torch.int64)
        labels[:few] = 1
        split = mz.Split(pictures(len(labels)), labels)
        return mz.audit(mz.ImageData("odd", split, mz.Split(pictures(5, 9), labels[:5]), classes), near=False)

    assert said(5).imbalance == pytest.approx(48 / 5)
    assert not any("Imbalanced" in sentence for sentence in said(5).sentences())
    assert any("Imbalanced: the largest class has 12 times" in sentence for sentence in said(1).sentences())
    assert "1 class is without a training image, such as 'c'." in said(5, ("a", "b", "c")).sentences()


def test_a_set_in_order_says_nothing(digits):
    """And without the search it says that."""
    assert mz.audit(digits).sentences() == []
    unsearched = mz.audit(digits, near=False)
    assert (unsearched.near, unsearched.as_dict()["near_duplicates"]) == (None, None)
    assert unsearched.sentences() == ["Near duplicates were not searched for."]


def test_hostile_class_names_go_into_json():
    """Half a surrogate pair is valid JSON too, and comes back as it was."""
    split = mz.Split(pictures(14), torch.arange(14) % 7)
    data = mz.ImageData("hostile", split, split, HOSTILE)
    text = to_json(mz.audit(data).as_dict())
    text.encode("utf-8")
    named = {place["class"] for pair in json.loads(text)["duplicates_across"]["train-test"]["first"] for place in pair}
    assert named == set(HOSTILE)


def test_something_else_is_refused(refuses):
    """A path, for instance: `mz.load` comes first."""
    with refuses(mz.DataError, "str", "mz.load"):
        mz.audit("digits")
