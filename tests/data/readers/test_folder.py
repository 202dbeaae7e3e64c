"""Class folders: what their levels mean, in which order images come, and what is passed over or refused."""

import os
import shutil

import pytest

from modelzero import DataError
from modelzero.data.readers.folder import read_folder


@pytest.fixture
def tree(tmp_path):
    """Give `tree(*paths)`: a folder with files of these names."""

    def make(*paths):
        root = tmp_path / "pets"
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"picture")
        return root

    return make


def found(listing):
    return [(item.name, item.label, item.split) for item in listing.items]


def test_classes_by_folder(tree):
    """The first level is the class, whatever lies below; classes by name, images by natural order of their path."""
    root = tree("dog/10.png", "dog/9.png", "cat/deep/er/2.jpg", "cat/1", "cat/x.PNG")
    listing = read_folder(root)
    assert found(listing) == [
        ("cat/1", "cat", None),
        ("cat/deep/er/2.jpg", "cat", None),
        ("cat/x.PNG", "cat", None),
        ("dog/9.png", "dog", None),
        ("dog/10.png", "dog", None),
    ]
    assert listing.classes == ("cat", "dog")
    assert listing.name == "pets"
    assert all(item.content == str(root / item.name) for item in listing.items)


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "VAL"])
@pytest.mark.parametrize("train", ["train", "Train"])
def test_split_levels(tree, train, validation):
    """train, test and validation above the classes, in any case of letters; validation is never test."""
    root = tree(
        f"{train}/cat/1.png", f"{train}/dog/1.png", "test/cat/1.png", "test/dog/2.png", f"{validation}/dog/3.png"
    )
    assert sorted((split, label) for _, label, split in found(read_folder(root))) == [
        ("test", "cat"), ("test", "dog"), ("train", "cat"), ("train", "dog"), ("validation", "dog"),
    ]  # fmt: skip


def test_splits_within_classes(tree):
    """cat/train/1.png is of class cat, where every image lies so."""
    listing = read_folder(tree("cat/train/1.png", "cat/test/2.png", "dog/train/1.png", "dog/test/1.png"))
    assert [(label, split) for _, label, split in found(listing)] == [
        ("cat", "train"), ("cat", "test"), ("dog", "train"), ("dog", "test"),
    ]  # fmt: skip
    mixed = read_folder(tree("owl/1.png"))
    assert {split for _, _, split in found(mixed)} == {None}
    assert any("not used as splits" in note for note in mixed.notes)


def test_a_class_called_train(tree):
    """Among cars and ships, train is a class."""
    listing = read_folder(tree("train/1.png", "car/1.png", "ship/1.png"))
    assert listing.classes == ("car", "ship", "train")


def test_a_split_beside_the_classes_is_no_class(tree, refuses):
    """What was set apart for the test must not be trained on under a label of its own; a class may be called so."""
    root = tree("cat/1.png", "dog/1.png", "test/1.png")
    listing = read_folder(root)
    assert listing.classes == ("cat", "dog", "test")
    assert listing.notes == ("read as classes, since there is no train/: 'test'",)
    for name, cat in (("test", "cat"), ("val", "cat"), ("test", "Cat")):
        tree(f"{name}/{cat}/2.png", f"{name}/owl/2.png")
        with refuses(DataError, repr(name), "train/"):
            read_folder(root)
        shutil.rmtree(root / name)


def test_folders_beside_the_splits_are_said(tree):
    """What lies beside train/ and test/ is no class; a note names it."""
    listing = read_folder(tree("train/a/1.png", "train/b/1.png", "test/a/1.png", "unlabelled/1.png", "notes.txt"))
    assert listing.classes == ("a", "b")
    assert any("'unlabelled'" in note for note in listing.notes)
    assert any("1 file" in note and ".txt" in note for note in listing.notes)


def test_a_folder_around_everything(tree):
    """A single folder that holds the classes, as archives have it, is taken for the set."""
    listing = read_folder(tree("pets-1.0/data/cat/1.png", "pets-1.0/data/dog/1.png"))
    assert listing.classes == ("cat", "dog")
    assert any("'pets-1.0/data'" in note for note in listing.notes)


def test_what_systems_leave_behind_is_passed_over(tree):
    """Hidden files and folders and the leavings of systems are no images and no classes."""
    root = tree(
        "cat/1.png", "cat/.DS_Store", "cat/Thumbs.db", "__MACOSX/cat/._1.png", ".git/x.png", "dog/1.png", ".x.png"
    )
    assert [name for name, _, _ in found(read_folder(root))] == ["cat/1.png", "dog/1.png"]


def test_images_without_a_class(tree, refuses):
    """Beside classes they are passed over and said; alone they are an error that says what is needed."""
    root = tree("1.png", "2.png")
    with refuses(DataError, root, "2 images but no class folders", "'1.png'", "table"):
        read_folder(root)
    assert any("2 images" in note for note in read_folder(tree("cat/1.png", "dog/1.png")).notes)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["notes.txt", "cat/data.csv"], ["has no images", "train/"]),
        (["test/cat/1.png", "val/dog/1.png"], ["no images in train/"]),
        (["train/cat/1.png", "val/cat/1.png", "valid/cat/2.png"], ["'val', 'valid'", "same split"]),
        (["train/1.png", "test/2.png"], ["2 images but no class folders"]),
    ],
)
def test_folders_that_cannot_be_read(tree, refuses, paths, words):
    """What is missing is said."""
    root = tree(*paths)
    with refuses(DataError, root, *words):
        read_folder(root)


def test_links_that_lead_out_are_refused(tree, tmp_path, refuses):
    """A link to a file or folder elsewhere is refused by name, also a dead one."""
    (tmp_path / "pets-secret").mkdir()
    (tmp_path / "pets-secret" / "key.png").write_bytes(b"key")
    for k, target in enumerate(["pets-secret/key.png", "pets-secret", "nowhere"]):
        root = tree("cat/1.png", "dog/1.png")
        link = root / "cat" / f"link{k}"
        link.symlink_to(tmp_path / target)
        with refuses(DataError, root, f"'cat/link{k}'", "outside the folder", target):
            read_folder(root)
        link.unlink()


def test_links_within_the_folder_are_followed(tree):
    """A link to an image or class of the same folder is as good as a copy; around a loop nobody goes twice."""
    root = tree("pool/1.png", "cat/2.png")
    (root / "cat" / "one.png").symlink_to("../pool/1.png")
    (root / "dog").symlink_to("pool")
    (root / "cat" / "loop").symlink_to("..")
    (root / "cat" / "self").symlink_to("self")
    listing = read_folder(root)
    assert [name for name, _, _ in found(listing)] == [
        "cat/2.png", "cat/one.png", "cat/self", "dog/1.png", "pool/1.png"
    ]  # fmt: skip
    assert any("1 link" in note and "'cat/loop'" in note for note in listing.notes)


def test_odd_names(tree):
    """Class names may be anything that a file system takes, also what is not UTF-8."""
    names = [
        "<script>alert(1)<",
        "a b",
        "한국어",
        "😀",
        "x" * 200,
        "[bold]",
        "new\nline",
        os.fsdecode(b"\xff\xfe"),
        "-rf",
        "%s{}",
    ]
    listing = read_folder(tree(*(f"{name}/1.png" for name in names)))
    assert set(listing.classes) == set(names)
    assert list(listing.classes) == sorted(names)


def test_ten_thousand_classes(tmp_path):
    """As many classes as somebody has."""
    for k in range(10_000):
        os.makedirs(tmp_path / "many" / f"class {k}")  # noqa: PTH103
        os.mknod(tmp_path / "many" / f"class {k}" / "1.png")
    listing = read_folder(tmp_path / "many")
    assert len(listing.classes) == len(listing.items) == 10_000


def test_pipes_do_not_block(tree):
    """What is no regular file is listed like others and not opened: decoding says why it cannot be read."""
    root = tree("cat/1.png", "dog/1.png")
    os.mkfifo(root / "cat" / "pipe.png")
    assert "cat/pipe.png" in [name for name, _, _ in found(read_folder(root))]
