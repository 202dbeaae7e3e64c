"""Arrays, tensors and torch data sets: which types and shapes are accepted, and what they become."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

import modelzero as mz
from modelzero import DataError, SettingError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 6, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 6, 5, 3), np.uint8)
LABELS = np.arange(20) % 2


def pixels(data):
    """All images of both splits in the order in which they were given (labels and first pixels tell them apart)."""
    return {image.numpy().tobytes() for split in (data.train, data.test) for image in split.images}


@pytest.mark.parametrize(
    "images",
    [GREY, GREY[..., None], GREY[:, None], torch.from_numpy(GREY), GREY.astype(np.int64), GREY.astype(np.uint16),
     GREY / 255, (GREY / 255).astype(np.float32), torch.from_numpy(GREY) / 255, GREY.tolist(),
     np.asfortranarray(GREY), GREY[::-1][::-1]],
    ids=lambda images: f"{type(images).__name__} {getattr(images, 'dtype', '')} {list(getattr(images, 'shape', []))}",
)  # fmt: skip
def test_grey_images_of_every_kind(images):
    """The same images as numbers, fractions, with or without a channel: the same data."""
    data = mz.from_arrays(images, LABELS)
    assert data.image_shape == (1, 6, 5)
    assert data.fingerprint == mz.from_arrays(GREY, LABELS).fingerprint
    assert pixels(data) == {image.tobytes() for image in GREY}


def test_channels_first_or_last():
    """Told by the dimension that is small; the same data."""
    last, first = (mz.from_arrays(images, LABELS) for images in (COLOUR, COLOUR.transpose(0, 3, 1, 2)))
    assert last.fingerprint == first.fingerprint
    assert last.image_shape == (3, 6, 5)
    assert pixels(last) == {np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes() for image in COLOUR}


def test_ambiguous_channels(refuses):
    """Where either dimension may be that of the channels, the user says which."""
    images = RNG.integers(0, 256, (20, 3, 6, 3), np.uint8)
    with refuses(DataError, "[20, 3, 6, 3]", "channels_last=True"):
        mz.from_arrays(images, LABELS)
    assert mz.from_arrays(images, LABELS, channels_last=True).image_shape == (3, 3, 6)
    assert mz.from_arrays(images, LABELS, channels_last=False).image_shape == (3, 6, 3)


def test_bool_is_black_and_white():
    """False is 0, True is 255."""
    data = mz.from_arrays(GREY > 128, LABELS)
    assert set(data.train.images.unique().tolist()) == {0, 255}


def test_alpha_is_laid_onto_white():
    """Nothing is white, everything is the colour, half is between, and a note says so."""
    images = np.zeros((4, 1, 3, 4), np.uint8)
    images[..., 0] = 200
    images[..., 3] = [0, 255, 128]
    data = mz.from_arrays(images, [0, 1, 0, 1], channels_last=True)
    assert data.train.images[0, :, 0].T.tolist() == [[255, 255, 255], [200, 0, 0], [227, 127, 127]]
    assert any("white" in note for note in data.notes)


def test_the_users_array_is_copied():
    """Who changes the array afterwards does not change the data under its fingerprint."""
    images = GREY.copy()
    data = mz.from_arrays(images, LABELS, GREY, LABELS)
    images[:] = 0
    assert data.train.images.max() > 0


@pytest.mark.parametrize(
    ("images", "words"),
    [(GREY.astype(np.uint16) * 257, ["uint16", "65535", "// 256"]),
     (GREY.astype(np.int16) - 1, ["int16", "from -1", "0 to 255"]),
     (GREY / 255 * 2 - 1, ["float64", "from -1 to", "0 to 1"]),
     (GREY.astype(np.float32), ["float32", "to 255", "uint8"]),
     (np.where(GREY > 5, np.nan, 0.5), ["nan"]), (GREY.astype(complex), ["complex"]), (GREY.astype(str), ["<U3"]),
     (GREY.astype(object), ["object"]), (GREY.reshape(20, 30), ["[20, 30]", "reshape"]),
     (RNG.integers(0, 9, (20, 6, 5, 2), np.uint8), ["[20, 6, 5, 2]", "1, 3 or 4 channels"]),
     (GREY[:0], ["zero images"]),
     (GREY[:, :0], ["zero images", "[20, 0, 5]"]), ([[1], [1, 2]], ["not an array"]), (7, ["[]"]), (None, ["object"])],
    ids=lambda value: None if isinstance(value, list) and isinstance(value[0], str) else "x",
)  # fmt: skip
def test_images_that_cannot_be_used(refuses, images, words):
    """Type, range or shape is said."""
    with refuses(DataError, "train images", *words):
        mz.from_arrays(images, LABELS)


def test_a_dark_set_is_noted():
    """Whole numbers that are 0 and 1 only are almost certainly no images of 255 levels."""
    assert any("1 of 255" in note for note in mz.from_arrays((GREY > 99).astype(np.uint8), LABELS).notes)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(LABELS, ("0", "1")), (LABELS.tolist(), ("0", "1")), (torch.from_numpy(LABELS), ("0", "1")),
     (LABELS[:, None], ("0", "1")),
     (LABELS.astype(np.uint8) + 1, ("0", "1", "2")), (LABELS == 1, ("0", "1")), (["b", "a"] * 10, ("a", "b")),
     (np.array(["b", "a"] * 10), ("a", "b")), (np.array([b"10", b"9"] * 10), ("9", "10")),
     (np.array(["b", "a"] * 10, object), ("a", "b"))],
)  # fmt: skip
def test_labels_of_every_kind(labels, classes):
    """Numbers keep their value, so that a missing class shifts nobody's; names are sorted."""
    data = mz.from_arrays(GREY, labels)
    assert data.classes == classes
    assert len(data.train) == 16


def test_classes_give_the_order():
    """Names of classes for numbers, or an order for names; a class without any image is said."""
    assert mz.from_arrays(GREY, LABELS, classes=["dog", "cat"]).counts()[0] == ("dog", 8, 2)
    data = mz.from_arrays(GREY, ["cat", "dog"] * 10, classes=["dog", "owl", "cat"])
    assert data.counts() == [("dog", 8, 2), ("owl", 0, 0), ("cat", 8, 2)]
    assert any("'owl'" in note for note in data.notes)


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [(LABELS - 1, None, ["from -1 to 0"]), (LABELS * 70_000, None, ["70000", "65535"]),
     (LABELS + 1, ["a", "b"], ["from 1 to 2", "2 class names"]),
     (["a", "x"] * 10, ["a", "b"], ["'x'", "2 class names"]), (LABELS, ["a", "a"], ["duplicate class name 'a'"]),
     (LABELS / 2, None, ["0.0 at 0"]),
     (["a", ""] * 10, None, ["'' at 1"]), (["a", None] * 10, None, ["None at 1"]),
     (np.eye(20), None, ["[20, 20]", "argmax"]),
     (LABELS[:19], None, ["20 train images but 19 labels"]), (LABELS * 0, None, ["1 class", "at least two"]),
     ([0] * 19 + [1], None, ["1 of 2 classes has a single image: '1'"]), (None, None, ["labels"])],
)  # fmt: skip
def test_labels_that_cannot_be_used(refuses, labels, classes, words):
    """What is wrong is said with the values found."""
    with refuses(DataError, *words):
        mz.from_arrays(GREY, labels, classes=classes)


def test_own_test_and_validation_splits():
    """Given splits are taken as they are; nothing is drawn, and validation is in neither."""
    data = mz.from_arrays(GREY, LABELS, GREY[:4], LABELS[:4], validation_images=GREY[:6], validation_labels=LABELS[:6])
    assert (len(data.train), len(data.test), len(data.validation)) == (20, 4, 6)
    assert data.description.split is None
    assert data.description.validation_images == 6
    assert np.array_equal(data.train.images[:, 0], GREY)


def test_drawn_splits_are_described():
    """What a record says of the data says how the split was drawn, and which share of it is used."""
    described = mz.from_arrays(GREY, LABELS, test_share=0.3, seed=4, share=0.5).description.as_dict()
    assert described["split"] == {
        "rule": "stratified", "test_share": 0.3, "seed": 4, "group": None, "reached": 0.3
    }  # fmt: skip
    assert (described["share"], described["share_seed"], described["train_images"]) == (0.5, 4, 8)
    assert "drawn as the test split" in described["notes"][-1]


def test_share_is_taken_of_the_training_split_only():
    """The test split stays, and a tenth lies within a fifth."""
    images, labels = np.repeat(GREY, 10, 0), np.arange(200) % 4
    images[:, 0, 0] = np.arange(200)
    whole, fifth, tenth = (mz.from_arrays(images, labels, share=share) for share in (1.0, 0.2, 0.1))
    assert torch.equal(whole.test.images, tenth.test.images)
    ids = [set(data.train.images[:, 0, 0, 0].tolist()) for data in (whole, fifth, tenth)]
    assert ids[2] < ids[1] < ids[0]
    assert [len(each) for each in ids] == [160, 32, 16]


def test_groups_stay_together():
    """No group is in both splits."""
    images = GREY.copy()
    images[:, 0, 0] = np.arange(20) // 2
    data = mz.from_arrays(images, np.arange(20) // 10, groups=np.arange(20) // 2)
    assert not set(data.train.images[:, 0, 0, 0].tolist()) & set(data.test.images[:, 0, 0, 0].tolist())
    assert data.split.group == "groups"


def test_groups_of_each_split():
    """Each split has its own; a group that is in two of them has one number."""
    data = mz.from_arrays(
        GREY, LABELS, GREY[:8], LABELS[:8], validation_images=GREY[:4], validation_labels=LABELS[:4],
        groups=[f"a{k // 4}" for k in range(20)], test_groups=["b", "b", "b", "c", "c", "c", "c", "c"],
        validation_groups=["b", "a1", "a1", "d"],
    )  # fmt: skip
    assert data.train.groups.tolist() == [k // 4 for k in range(20)]
    assert data.test.groups.tolist() == [5, 5, 5, 6, 6, 6, 6, 6]
    assert data.validation.groups.tolist() == [5, 1, 1, 7]
    assert data.notes == ()
    plain = mz.from_arrays(GREY, LABELS, GREY[:8], LABELS[:8])
    assert data.fingerprint == plain.fingerprint
    assert (plain.train.groups, plain.grouped_by) == (None, None)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda values: np.array(values, float)])
def test_groups_of_any_kind(kind):
    """Whole numbers are the same groups as floats of the same value."""
    data = mz.from_arrays(
        GREY, LABELS, GREY[:4], LABELS[:4], groups=kind([k // 4 for k in range(20)]), test_groups=["7", "7", "8", "8"]
    )
    assert data.train.groups.tolist() == [k // 4 for k in range(20)]
    assert data.test.groups.tolist() == [5, 5, 6, 6]


def test_groups_of_all_splits_at_once():
    """One array for training, test and validation images, in this order."""
    groups = [k // 4 for k in range(20)] + [9, 9, 8, 8] + [7, 7]
    data = mz.from_arrays(
        GREY, LABELS, GREY[:4], LABELS[:4], validation_images=GREY[:2], validation_labels=LABELS[:2], groups=groups
    )
    assert [split.group_count for split in (data.train, data.test, data.validation)] == [5, 2, 1]


def test_test_images_without_groups_are_independent():
    """That is said, with what to give; where only they have groups there is nothing to say."""
    data = mz.from_arrays(GREY, LABELS, GREY[:4], LABELS[:4], groups=np.arange(20) // 4)
    assert (data.train.group_count, data.test.groups) == (5, None)
    assert any("test images count as independent" in note and "test_groups=" in note for note in data.notes)
    data = mz.from_arrays(GREY, LABELS, GREY[:4], LABELS[:4], test_groups=[1, 1, 2, 2])
    assert (data.train.groups, data.test.group_count, data.grouped_by, data.notes) == (None, 2, "groups", ())


def test_groups_of_validation_images_do_not_change_the_draw():
    """The test split is drawn of images without groups, as ever."""
    more = {"validation_images": GREY[:4], "validation_labels": LABELS[:4]}
    data = mz.from_arrays(GREY, LABELS, **more, validation_groups=[1, 1, 1, 2])
    assert data.fingerprint == mz.from_arrays(GREY, LABELS, **more).fingerprint
    assert data.split.rule == "stratified"
    assert (data.test.groups, data.validation.group_count) == (None, 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"test_groups": [1] * 20}, ["test groups without test images", "both or neither"]),
     ({"validation_groups": [1] * 20}, ["validation groups without validation images"]),
     ({"groups": [1, 2, 3]}, ["3 groups for 20 train images", "one for each"]),
     ({"groups": [None] * 20}, ["found None at 0"]),
     ({"groups": [1.0] * 19 + [float("nan")]}, ["found nan at 19"]),
     ({"groups": ["a"] * 3 + [""] * 17}, ["found '' at 3"]),
     ({"groups": np.zeros((20, 1))}, ["found [0.0] at 0"])],
)  # fmt: skip
def test_groups_that_cannot_be_used(refuses, given, words):
    """What was expected and what was found is said."""
    with refuses(DataError, *words, "expected"):
        mz.from_arrays(GREY, LABELS, **given)


def test_test_groups_that_cannot_be_used(refuses):
    """As many as test images, and no group on both sides."""
    with refuses(DataError, "3 groups for 4 test images"):
        mz.from_arrays(GREY, LABELS, GREY[:4], LABELS[:4], test_groups=[1, 2, 3])
    with refuses(DataError, "24 groups for 20 train images"):
        mz.from_arrays(GREY, LABELS, GREY[:4], LABELS[:4], groups=range(24), test_groups=[1, 1, 2, 2])
    with refuses(DataError, "both sides", "'3'"):
        mz.from_arrays(GREY, LABELS, GREY[:4], LABELS[:4], groups=np.arange(20) // 4, test_groups=["3"] * 4)


def test_what_does_not_go_together(refuses):
    """Half a split, other shapes, other kinds of labels, groups that are too few, a share for a split that is there."""
    with refuses(DataError, "test images without labels"):
        mz.from_arrays(GREY, LABELS, GREY)
    with refuses(DataError, "train [1, 6, 5]", "test [1, 5, 5]"):
        mz.from_arrays(GREY, LABELS, GREY[:, :5], LABELS)
    with refuses(DataError, "numbers", "names"):
        mz.from_arrays(GREY, LABELS, GREY, ["a", "b"] * 10)
    with refuses(DataError, "3 groups for 20"):
        mz.from_arrays(GREY, LABELS, groups=[1, 2, 3])
    with refuses(SettingError, "test share 0.5", "its own test split"):
        mz.from_arrays(GREY, LABELS, GREY, LABELS, test_share=0.5)
    with refuses(DataError, "1 of 2 classes has no test image: '1'"):
        mz.from_arrays(GREY, LABELS, GREY[:1], LABELS[:1])
    with refuses(DataError, "1 of 2 classes has no training image: '1'"):
        mz.from_arrays(GREY, LABELS * 0, GREY, LABELS)
    with refuses(SettingError, "share"):
        mz.from_arrays(GREY, LABELS, share=0)


class Pictures(Dataset):
    """A data set as people write them."""

    def __init__(self, pictures, labels):
        self.pictures, self.labels = pictures, labels

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, place):
        return self.pictures[place], self.labels[place]


@pytest.mark.parametrize(
    "pictures",
    [
        [Image.fromarray(image) for image in GREY],
        list(GREY),
        list(GREY[:, None]),
        list(torch.from_numpy(GREY[:, None]) / 255),
    ],
    ids=["PIL", "arrays", "channel", "tensors"],
)
@pytest.mark.parametrize("label", [int, np.int64, torch.tensor, str])
def test_torch_data_sets(pictures, label):
    """PIL images, arrays or tensors, and labels of any kind: the same data as from arrays."""
    data = mz.from_torch(Pictures(pictures, [label(each) for each in LABELS.tolist()]))
    assert data.fingerprint == mz.from_arrays(GREY, LABELS).fingerprint
    assert data.name == "Pictures"


def test_torch_data_set_with_test_split_and_classes():
    """A second data set is the test split; names come from `classes`, as torchvision's data sets have it."""
    train = Pictures([Image.fromarray(image) for image in COLOUR], LABELS)
    train.classes = ["no", "yes"]
    data = mz.from_torch(train, Pictures(list(COLOUR[:4]), LABELS[:4]), name="mine")
    assert (data.name, data.classes, data.image_shape, len(data.test)) == ("mine", ("no", "yes"), (3, 6, 5), 4)
    assert np.array_equal(data.train.images.permute(0, 2, 3, 1), COLOUR)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_pil_images_of_other_modes(mode):
    """Black and white is grey, all else is colour."""
    pictures = [Image.fromarray(image).convert(mode) for image in COLOUR]
    data = mz.from_torch(Pictures(pictures, LABELS))
    assert data.image_shape == ((1 if mode == "1" else 3), 6, 5)


class Broken(Pictures):
    def __getitem__(self, place):
        if place == 3:
            raise RuntimeError("disc on fire\nrun")
        return super().__getitem__(place)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [(Broken(GREY, LABELS), ["Broken", "index 3", "disc on fire run"]),
     (Pictures([*GREY[:5], GREY[5][:4], *GREY[6:]], LABELS), ["Pictures[5]", "[1, 4, 5]", "[1, 6, 5]", "Resize"]),
     (Pictures([], []), ["Pictures is empty"]), ((each for each in GREY), ["no length"]),
     (TensorDataset(torch.zeros(4, 1, 6, 5)), ["index 0"]),
     (Pictures(list(GREY - 1.0), LABELS), ["Pictures[0]", "0 to 1"]),
     (Pictures([Image.new("I;16", (5, 6))] * 20, LABELS), ["I;16", "8 bits"]), (7, ["int has no length"])],
)  # fmt: skip
def test_torch_data_sets_that_cannot_be_used(refuses, dataset, words):
    """Which image it is is said, and what was found."""
    with refuses(DataError, *words):
        mz.from_torch(dataset)


def test_torch_data_sets_take_groups_too():
    """They are handed on as those of arrays."""
    images = torch.randint(0, 256, (24, 1, 8, 8), dtype=torch.uint8)
    dataset = torch.utils.data.TensorDataset(images, torch.arange(24) % 2)
    data = mz.from_torch(dataset, dataset, groups=[f"a{k}" for k in range(24)], test_groups=[k // 6 for k in range(24)])
    assert (data.train.group_count, data.test.group_count) == (None, 4)
