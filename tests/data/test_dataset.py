"""`Split` and `ImageData`: what they refuse, what they count, and what the fingerprint depends on."""

import dataclasses
import hashlib
import json

import pytest
import torch

from modelzero import DataError, ImageData, Split


def pictures(count, *shape):
    """Random uint8 images."""
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, *(shape or (1, 3, 2))), dtype=torch.uint8, generator=generator)


def split(*labels):
    """A split with these labels."""
    return Split(pictures(len(labels)), torch.tensor(labels))


CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def data():
    """Three classes, of which the test split lacks one."""
    return ImageData("animals", train=split(0, 1, 2, 2, 1, 2), test=split(2, 0), classes=CLASSES, source="here")


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 3, 2),  # float
        torch.zeros(2, 1, 3, 2, dtype=torch.int8),
        torch.zeros(2, 3, 2, dtype=torch.uint8),  # no channel
        torch.zeros(2, 1, 1, 3, 2, dtype=torch.uint8),
        torch.tensor(0, dtype=torch.uint8),
    ],
    ids=lambda images: f"{images.dtype} {list(images.shape)}",
)
def test_images_of_other_type_or_shape(refuses, images):
    """Images that are not uint8 [N, C, H, W] are refused with their type and shape."""
    with refuses(DataError, "images", images.dtype, list(images.shape), "uint8 [N, C, H, W]"):
        Split(images, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "labels",
    [torch.tensor([0.0, 1.0]), torch.tensor([0, 1], dtype=torch.int32), torch.tensor([[0, 1]]), torch.tensor(1)],
    ids=lambda labels: f"{labels.dtype} {list(labels.shape)}",
)
def test_labels_of_other_type_or_shape(refuses, labels):
    """Labels that are not int64 [N] are refused with their type and shape."""
    with refuses(DataError, "labels", labels.dtype, list(labels.shape), "int64 [N]"):
        Split(pictures(2), labels)


@pytest.mark.parametrize(("images", "labels"), [(3, 2), (2, 3), (0, 1), (1, 0)])
def test_counts_that_differ(refuses, images, labels):
    """As many labels as images are needed; the message gives both counts."""
    with refuses(DataError, f"{images} images", f"{labels} labels"):
        Split(pictures(images), torch.zeros(labels, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(0, 1, 3, 2), (2, 0, 3, 2), (2, 1, 0, 2), (2, 1, 3, 0)], ids=str)
def test_nothing_to_see(refuses, shape):
    """Zero images, and images without pixels, are refused with their shape."""
    with refuses(DataError, "zero images", list(shape), "at least one"):
        Split(torch.zeros(shape, dtype=torch.uint8), torch.zeros(shape[0], dtype=torch.int64))


def test_split_has_the_length_of_its_labels():
    """len() counts images."""
    assert len(split(0, 1, 1)) == 3


def test_splits_of_two_shapes(refuses):
    """Both splits need images of one shape; the message gives both."""
    with refuses(DataError, "training", [1, 3, 2], "test", [1, 2, 3], "[C, H, W]"):
        ImageData("a", split(0, 1), Split(pictures(2, 1, 2, 3), torch.tensor([0, 1])), ("a", "b"))


@pytest.mark.parametrize(
    ("train", "test", "which", "low", "high"),
    [
        ((0, 3, 1), (0, 1), "training", 0, 3),
        ((0, 1), (1, 2, 7), "test", 1, 7),
        ((-1, 1), (0, 1), "training", -1, 1),
        ((0, 1), (1, -2), "test", -2, 1),
    ],
)
def test_label_without_a_class(refuses, train, test, which, low, high):
    """A label below 0 or beyond the class names is refused; the message names the split and the range."""
    with refuses(DataError, f"{which} labels run from {low} to {high}", "3 classes", "from 0 to 2"):
        ImageData("a", split(*train), split(*test), CLASSES)


def test_one_class_only(refuses):
    """Training images of a single class are refused by its name, though there are more names."""
    with refuses(DataError, "'dog'", "at least two classes"):
        ImageData("a", split(1, 1, 1), split(0, 1), CLASSES)


def test_one_class_name_only(refuses):
    """A set of one class is refused."""
    with refuses(DataError, "'cat'", "at least two classes"):
        ImageData("a", split(0, 0), split(0), ("cat",))


def test_no_class_names(refuses):
    """A set without class names is refused."""
    with refuses(DataError, "at least two classes"):
        ImageData("a", split(0, 0), split(0), ())


def test_test_split_may_lack_a_class(data):
    """Only training needs two classes."""
    assert data.counts()[1] == ("dog", 2, 0)


def test_counts(data):
    """Class name, training images and test images, in label order."""
    assert data.counts() == [("cat", 1, 1), ("dog", 2, 0), ("owl", 3, 1)]


def test_class_without_any_image_is_counted():
    """A class name that no image has is listed with zeros."""
    data = ImageData("a", split(0, 1), split(1), (*CLASSES, "bat"))
    assert data.counts()[2:] == [("owl", 0, 0), ("bat", 0, 0)]


def test_image_shape_is_channels_height_width():
    """In this order, without N."""
    colour = Split(pictures(2, 3, 5, 4), torch.tensor([0, 1]))
    assert ImageData("a", colour, colour, ("a", "b")).image_shape == (3, 5, 4)


def with_pixel(one, index):
    """The split with one pixel one level higher."""
    images = one.images.clone()
    images.view(-1)[index] += 1
    return Split(images, one.labels)


def with_label(one, index, label):
    """The split with another label."""
    labels = one.labels.clone()
    labels[index] = label
    return Split(one.images, labels)


def reshaped(data, *shape):
    """The same pixels as images of another shape."""
    return {
        name: Split(getattr(data, name).images.reshape(-1, *shape), getattr(data, name).labels)
        for name in ("train", "test")
    }


CHANGES = {
    "first training pixel": lambda data: {"train": with_pixel(data.train, 0)},
    "last training pixel": lambda data: {"train": with_pixel(data.train, -1)},
    "first test pixel": lambda data: {"test": with_pixel(data.test, 0)},
    "last test pixel": lambda data: {"test": with_pixel(data.test, -1)},
    "training label": lambda data: {"train": with_label(data.train, 5, 0)},
    "test label": lambda data: {"test": with_label(data.test, 1, 1)},
    "class name": lambda _: {"classes": ("cat", "dog", "Owl")},
    "class order": lambda _: {"classes": ("dog", "cat", "owl")},
    "one class more": lambda _: {"classes": (*CLASSES, "bat")},
    "names run together": lambda _: {"classes": ("catdog", "", "owl")},
    "splits exchanged": lambda data: {"train": data.test, "test": data.train},
    "test is training": lambda data: {"test": data.train},
    "an image less": lambda data: {"train": Split(data.train.images[:-1], data.train.labels[:-1])},
    "turned images": lambda data: reshaped(data, 1, 2, 3),
    "rows as channels": lambda data: reshaped(data, 3, 1, 2),
    "order of images": lambda data: {"train": Split(data.train.images.flip(0), data.train.labels)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fingerprint_changes_with_the_content(data, change):
    """One pixel, one label, one class name, the shape, or the split: each gives another fingerprint."""
    assert dataclasses.replace(data, **change(data)).fingerprint != data.fingerprint


def test_fingerprints_of_all_changes_differ(data):
    """No two of the changes are taken for each other."""
    fingerprints = {dataclasses.replace(data, **change(data)).fingerprint for change in CHANGES.values()}
    assert len(fingerprints) == len(CHANGES)


def test_fingerprint_does_not_depend_on_name_or_source(data):
    """The same images and labels give the same fingerprint, whatever they are called."""
    assert ImageData("other", data.train, data.test, CLASSES, "there").fingerprint == data.fingerprint


def test_fingerprint_does_not_depend_on_memory_layout():
    """Images and labels that do not lie side by side in memory give the fingerprint of those that do."""
    images = pictures(6, 2, 3, 4).permute(0, 3, 2, 1)
    labels = torch.tensor([0, 9, 1, 9, 1, 9, 0, 9, 1, 9, 0, 9])[::2]
    assert not images.is_contiguous()
    assert not labels.is_contiguous()
    spread, dense = Split(images, labels), Split(images.contiguous(), labels.contiguous())
    assert ImageData("a", spread, spread, CLASSES).fingerprint == ImageData("a", dense, dense, CLASSES).fingerprint


def test_fingerprint_is_what_its_description_says(data):
    """SHA-256 of the class names, then of each split its shape, pixels and labels, computed here by plain Python."""
    content = json.dumps(["modelzero image data 1", ["cat", "dog", "owl"]]).encode()
    for part in (data.train, data.test):
        content += json.dumps(list(part.images.shape)).encode()
        content += bytes(part.images.flatten().tolist())
        content += b"".join(label.to_bytes(8, "little") for label in part.labels.tolist())
    assert data.fingerprint == hashlib.sha256(content).hexdigest()


def test_validation_needs_the_shape_and_the_classes(refuses):
    """A validation split is checked as the others are, and plays no part in the fingerprint."""
    train = split(0, 1, 1)
    with refuses(DataError, "training", [1, 3, 2], "validation", [1, 2, 3]):
        ImageData("a", train, train, ("a", "b"), validation=Split(pictures(2, 1, 2, 3), torch.tensor([0, 1])))
    with refuses(DataError, "validation labels run from 0 to 2"):
        ImageData("a", train, train, ("a", "b"), validation=split(0, 2))
    with_one = ImageData("a", train, train, ("a", "b"), validation=split(0, 1))
    assert with_one.fingerprint == ImageData("a", train, train, ("a", "b")).fingerprint
    assert with_one.description.validation_images == 2


def test_description_of_plain_data(data):
    """Nothing is said of share, validation, notes and unreadable images where there are none."""
    assert sorted(data.description.as_dict()) == [
        "classes", "fingerprint", "image_shape", "name", "origin", "source", "split", "test_images", "train_images"
    ]  # fmt: skip
    assert data.description.split is None
    assert data.description.origin is None


def grouped(*groups):
    """A split of as many images with these groups."""
    return Split(pictures(len(groups)), torch.arange(len(groups)) % 2, groups=torch.tensor(groups))


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (torch.tensor([0.0, 0.0]), ["groups", torch.float32, [2], "int64 [N]"]),
        (torch.tensor([0, 0], dtype=torch.int32), ["groups", torch.int32, "int64 [N]"]),
        (torch.tensor([[0], [0]]), ["groups", [2, 1], "int64 [N]"]),
        (torch.tensor(0), ["groups", [], "int64 [N]"]),
        (torch.tensor([0, 0, 0]), ["3 groups for 2 images"]),
        (torch.tensor([0, -1]), ["group number -1", "at least 0"]),
    ],
    ids=str,
)
def test_groups_of_other_type_shape_or_range(refuses, groups, words):
    """Groups that are not int64 [N], one number of at least 0 for each image, are refused with what they are."""
    with refuses(DataError, *words, "expected"):
        Split(pictures(2), torch.tensor([0, 1]), groups=groups)


def test_groups_are_counted():
    """Numbers need not follow one another; without groups there is no count."""
    assert grouped(7, 7, 3, 0).group_count == 3
    assert split(0, 1).group_count is None


def test_groups_of_one_image_each_are_none():
    """Where each image is a group of its own, nothing is grouped."""
    assert grouped(4, 0, 2).groups is None
    assert grouped(4, 0, 4).groups.tolist() == [4, 0, 4]


def test_groups_change_no_fingerprint():
    """The same images and labels are the same data, whatever belongs together."""
    one, other = grouped(0, 0, 1, 1), split(0, 1, 0, 1)
    assert (
        ImageData("a", one, one, CLASSES, grouped_by="groups").fingerprint
        == ImageData("a", other, other, CLASSES).fingerprint
    )


def test_description_of_groups():
    """How many each split has and what they come from is told where there are any, and only there."""
    train, test = grouped(0, 0, 1, 1), split(0, 1, 0)
    data = ImageData("a", train, test, CLASSES, validation=grouped(2, 2), grouped_by="column patient")
    described = data.description.as_dict()
    assert described["groups"] == {"by": "column patient", "train": 2, "test": None, "validation": 1}
    described = ImageData("a", test, train, CLASSES).description.as_dict()
    assert described["groups"] == {"by": None, "train": None, "test": 2, "validation": None}
    data = ImageData("a", test, test, CLASSES, grouped_by="column patient")
    assert "groups" not in data.description.as_dict()


def test_it_is_shown_in_one_line(digits):
    """Not by its pixels."""
    assert repr(digits) == "ImageData('digits', 1,437 training and 360 test images of 1x8x8, 10 classes)"
