"""`load`: the named sets, the places where they are looked for, and folders of IDX files."""

import dataclasses
import gzip
import hashlib
import random
import struct
from collections import Counter
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

import modelzero as mz
from modelzero import DataError
from modelzero.data.load import NAMES, cache_folder, load_again
from modelzero.data.options import Origin
from modelzero.data.sets import digits as module
from modelzero.data.sets.catalog import IDX_FILES, SETS

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX_FILES


def idx_images(count, height=4, width=3, seed=0):
    """The bytes of an IDX file of random images."""
    pixels = random.Random(seed).randbytes(count * height * width)
    return struct.pack(">4I", 0x0803, count, height, width) + pixels


def idx_labels(*labels, code=0x08, letter="B"):
    """The bytes of an IDX file of labels."""
    return struct.pack(f">BBBBI{len(labels)}{letter}", 0, 0, code, 1, len(labels), *labels)


SET = {
    TRAIN_IMAGES: idx_images(5),
    TRAIN_LABELS: idx_labels(0, 1, 2, 9, 4),
    TEST_IMAGES: idx_images(5, seed=1),
    TEST_LABELS: idx_labels(4, 1, 2, 9, 0),
}
OTHER_SET = SET | {TEST_LABELS: idx_labels(2, 1, 4, 9, 0)}


def fill(folder, files=SET, *, zipped=True, without=()):
    """Write IDX files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if name not in without:
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """Give `homeless(*mirrors, **changes)`: Fashion-MNIST is on no place of this machine, and its mirrors are these.

    The cache folder is in `tmp_path`, and so is the distribution's, `system`; neither exists.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))

    known = SETS["fashion-mnist"]

    def leave(*mirrors, sha256=None, system_folder=tmp_path / "system"):
        files = tuple(
            dataclasses.replace(file, urls=tuple(url + file.name for url in mirrors), sha256=sha)
            for file, sha in zip(known.files, sha256 or [file.sha256 for file in known.files], strict=True)
        )
        changed = dataclasses.replace(known, files=files, system_folder=system_folder)
        monkeypatch.setitem(SETS, "fashion-mnist", changed)

    leave()
    return leave


@pytest.fixture
def small(homeless):
    """Give `small(*mirrors)`: likewise, and its right content is `SET`."""
    sha256 = tuple(hashlib.sha256(SET[name]).hexdigest() for name in IDX_FILES)

    def leave(*mirrors):
        homeless(*mirrors, sha256=sha256)

    leave()
    return leave


@pytest.fixture
def mirror(serve):
    """Give `mirror(files)`: a server with these IDX files, gzipped; its address and the paths asked of it."""

    def start(files):
        asked = []

        def answer(handler):
            asked.append(handler.path)
            name = handler.path.removeprefix("/sets/").removesuffix(".gz")
            if name not in files or not handler.path.endswith(".gz"):
                handler.send_error(404)
                return
            body = gzip.compress(files[name])
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        return serve(answer) + "sets/", asked

    return start


def is_small_set(data):
    """Whether these are the images of `SET`."""
    return (
        data.train.images.numpy().tobytes() == SET[TRAIN_IMAGES][16:]
        and data.test.images.numpy().tobytes() == SET[TEST_IMAGES][16:]
        and data.train.labels.tolist() == [0, 1, 2, 9, 4]
        and data.test.labels.tolist() == [4, 1, 2, 9, 0]
        and data.image_shape == (1, 4, 3)
    )


# Fashion-MNIST


def test_fashion_mnist_is_the_published_one(fashion_mnist):
    """60,000 and 10,000 images of 28x28 pixels, equally many of each class, and the fingerprint of them all."""
    assert fashion_mnist.name == "fashion-mnist"
    assert fashion_mnist.train.images.shape == (60_000, 1, 28, 28)
    assert fashion_mnist.test.images.shape == (10_000, 1, 28, 28)
    assert fashion_mnist.image_shape == (1, 28, 28)
    assert fashion_mnist.counts() == [
        (name, 6000, 1000)
        for name in (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        )
    ]
    assert fashion_mnist.train.labels[:8].tolist() == [9, 0, 0, 3, 0, 2, 7, 2]
    assert fashion_mnist.test.labels[:8].tolist() == [9, 2, 1, 1, 6, 1, 4, 6]
    assert fashion_mnist.fingerprint == "b9dc0bcb9810428a73336d3359f1cae4a11b1696596d21e399f3878333257b7b"


def test_fashion_mnist_comes_from_debians_package(homeless):
    """Where Debian's package is installed, nothing is fetched, and the source is its folder."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    homeless(system_folder=folder)
    data = mz.load("fashion-mnist")
    assert data.source == str(folder)
    assert len(data.train) == 60_000


def test_fashion_mnist_has_two_mirrors_and_debians_folder():
    """The publisher's own server is asked first."""
    known = SETS["fashion-mnist"]
    for file, name in zip(known.files, IDX_FILES, strict=True):
        assert file.urls == (
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}.gz",
            f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{name}.gz",
        )
    assert known.system_folder == Path("/usr/share/datasets/fashion-mnist")


# Where a named set is looked for


@pytest.fixture
def places(tmp_path):
    """The user's own folder, the cache and the distribution's folder; only the first one exists."""
    (tmp_path / "own").mkdir()
    cache = tmp_path / "caches" / "modelzero" / "fashion-mnist"
    return [tmp_path / "own", cache, tmp_path / "system"]


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("zipped", [True, False])
def test_first_place_that_has_it_is_taken(small, places, mirror, first, zipped):
    """data_dir, cache, distribution, mirrors: what comes after the first that has the set is not even read."""
    url, asked = mirror(OTHER_SET)
    small(url)
    fill(places[first], zipped=zipped)
    for later in places[first + 1 :]:
        fill(later, OTHER_SET)  # would be refused
    data = mz.load("fashion-mnist", data_dir=places[0])
    assert is_small_set(data)
    assert data.source == str(places[first])
    assert asked == []


@pytest.mark.usefixtures("small")
def test_cache_folder_is_the_platforms(places):
    """Downloads are kept where the platform keeps caches."""
    assert cache_folder() == places[1].parent


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("subfolder", ["", "fashion-mnist"])
@pytest.mark.parametrize("text", [str, Path])
def test_data_dir_is_the_folder_or_its_parent(places, subfolder, text):
    """data_dir holds the files, or a subfolder with the set's name that does."""
    fill(places[0] / subfolder)
    data = mz.load("fashion-mnist", data_dir=text(places[0]))
    assert is_small_set(data)
    assert data.source == str(places[0] / subfolder)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("subfolder", ["", "fashion-mnist"])
def test_environment_variable_stands_for_data_dir(places, monkeypatch, subfolder):
    """MODELZERO_DATA is looked in first, as data_dir is."""
    fill(places[0] / subfolder)
    fill(places[1], OTHER_SET)
    monkeypatch.setenv("MODELZERO_DATA", str(places[0]))
    data = mz.load("fashion-mnist")
    assert is_small_set(data)
    assert data.source == str(places[0] / subfolder)


@pytest.mark.usefixtures("small")
def test_data_dir_goes_before_the_environment_variable(places, tmp_path, monkeypatch):
    """Whoever gives data_dir means it."""
    fill(places[0])
    monkeypatch.setenv("MODELZERO_DATA", str(fill(tmp_path / "environment", OTHER_SET)))
    assert mz.load("fashion-mnist", data_dir=places[0]).source == str(places[0])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("way", ["data_dir", "environment"])
def test_data_dir_that_is_not_there(places, monkeypatch, refuses, way):
    """A data folder that does not exist is refused by name, though another place has the set."""
    fill(places[2])
    absent = places[0] / "absent"
    if way == "environment":
        monkeypatch.setenv("MODELZERO_DATA", str(absent))
    with refuses(DataError, absent, "--data-dir", "MODELZERO_DATA"):
        mz.load("fashion-mnist", data_dir=absent if way == "data_dir" else None)


@pytest.mark.usefixtures("small")
def test_half_a_set_in_the_cache_is_passed_over(places):
    """Where the cache lacks a file, the distribution's folder is taken, and never a mixture."""
    fill(places[1], OTHER_SET, without=[TRAIN_IMAGES])
    fill(places[2])
    assert mz.load("fashion-mnist").source == str(places[2])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("place", [0, 1, 2], ids=["data_dir", "cache", "system"])
@pytest.mark.parametrize("name", IDX_FILES)
@pytest.mark.parametrize("zipped", [True, False])
def test_wrong_content_is_refused(places, refuses, place, name, zipped):
    """One wrong byte in any file of any place is found by its SHA-256; the message names file and checksums."""
    wrong = bytearray(SET[name])
    wrong[-1] ^= 1
    fill(places[place], SET | {name: bytes(wrong)}, zipped=zipped)
    path = places[place] / (f"{name}.gz" if zipped else name)
    needed, found = (hashlib.sha256(content).hexdigest()[:12] for content in (SET[name], wrong))
    with refuses(DataError, path, "checksum mismatch", needed, found):
        mz.load("fashion-mnist", data_dir=places[0])


@pytest.mark.usefixtures("small")
def test_damaged_file_is_refused(places, refuses):
    """A file of the set that breaks off is refused by name."""
    path = fill(places[0]) / f"{TEST_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with refuses(DataError, path):
        mz.load("fashion-mnist", data_dir=places[0])


# Downloads


def test_download_is_kept(small, places, mirror):
    """A set that no place has is fetched once, says from where, and lies in the cache from then on."""
    url, asked = mirror(SET)
    small(url)
    data = mz.load("fashion-mnist")
    assert is_small_set(data)
    assert url.split("/")[2] in data.source
    assert str(places[1]) in data.source
    assert asked == [f"/sets/{name}.gz" for name in IDX_FILES]
    assert sorted(path.name for path in places[1].iterdir()) == sorted(f"{name}.gz" for name in IDX_FILES)
    small()
    again = mz.load("fashion-mnist")
    assert again.source == str(places[1])
    assert again.fingerprint == data.fingerprint


def test_only_what_is_missing_is_fetched(small, places, mirror):
    """Files that the cache has are not fetched again."""
    url, asked = mirror(SET)
    small(url)
    fill(places[1], without=[TEST_LABELS], zipped=False)
    assert is_small_set(mz.load("fashion-mnist"))
    assert asked == [f"/sets/{TEST_LABELS}.gz"]


def test_wrong_mirror_then_right_one(small, mirror):
    """What the first mirror gives is checked; where it is wrong, the second one's is taken, and both are said."""
    wrong, asked_wrong = mirror(OTHER_SET)
    right, asked_right = mirror(SET)
    small(wrong, right)
    data = mz.load("fashion-mnist")
    assert is_small_set(data)
    assert len(asked_wrong) == 4
    assert asked_right == [f"/sets/{TEST_LABELS}.gz"]
    for url in (wrong, right):
        assert url.split("/")[2] in data.source


def test_found_nowhere(small, places, mirror, refuses):
    """The message goes through the mirrors with their reasons and says what the user can do."""
    lacking, _ = mirror({})
    wrong, _ = mirror(OTHER_SET | {TRAIN_IMAGES: idx_images(5, seed=9)})
    small(lacking, wrong)
    with refuses(
        DataError,
        "fashion-mnist is not on this machine",
        f"{lacking}{TRAIN_IMAGES}.gz (HTTP Error 404: Not Found)",
        f"{wrong}{TRAIN_IMAGES}.gz (",
        "checksum mismatch",
        "apt-get install dataset-fashion-mnist",
        "--data-dir",
    ):
        mz.load("fashion-mnist")
    assert list(places[1].iterdir()) == []


def test_what_was_fetched_before_a_failure_is_kept(small, mirror, refuses):
    """After a mirror that lacked the last file, only that file is fetched."""
    url, _ = mirror({name: SET[name] for name in IDX_FILES[:3]})
    small(url)
    with refuses(DataError, f"{TEST_LABELS}.gz (HTTP Error 404: Not Found)"):
        mz.load("fashion-mnist")
    url, asked = mirror(SET)
    small(url)
    assert is_small_set(mz.load("fashion-mnist"))
    assert asked == [f"/sets/{TEST_LABELS}.gz"]


# Names


@pytest.mark.parametrize(
    ("name", "known"),
    [("fashion_mnist", "fashion-mnist"), ("Fashion-MNIST", "fashion-mnist"), ("fashon-mnist", "fashion-mnist"),
     ("digit", "digits"), ("DIGITS", "digits")],
)  # fmt: skip
def test_unknown_name_gives_the_nearest(refuses, name, known):
    """A slip of the pen is answered with the name that was meant, first of at most two."""
    with refuses(DataError, repr(name), f"did you mean {known!r}"):
        mz.load(name)


def test_name_like_no_other_gives_all(refuses):
    """A name that resembles none is answered with all of them."""
    with refuses(DataError, "'qqq'", *map(repr, NAMES), "a path"):
        mz.load("qqq")


def test_file_of_no_known_kind(tmp_path, refuses):
    """A file that no reader knows is refused by name, and the message says what is needed."""
    (tmp_path / "data.bin").write_text("1,2")
    with refuses(DataError, tmp_path / "data.bin", ".npz", ".csv", ".parquet", "folder", "--format"):
        mz.load(tmp_path / "data.bin")


def test_file_in_place_of_a_folder(tmp_path, refuses):
    """A file that is said to be IDX is refused, and the message says which files a folder needs."""
    (tmp_path / "data.bin").write_text("1,2")
    with refuses(DataError, tmp_path / "data.bin", *IDX_FILES):
        mz.load(tmp_path / "data.bin", format="idx")


IMPOSSIBLE = {"size": 8, "fit": "crop", "group": "x", "test_share": 0.3}


@pytest.mark.parametrize("setting", [*IMPOSSIBLE, "format"])
def test_settings_that_a_named_set_cannot_follow(refuses, setting):
    """A named set is decoded and split already: what it cannot follow is refused with its flag, not passed over."""
    with refuses(mz.SettingError, f"--{setting.replace('_', '-')}", "digits"):
        mz.load("digits", **{setting: (IMPOSSIBLE | {"format": "folder"})[setting]})


def test_idx_folder_takes_its_format_and_a_share(tmp_path):
    """A folder of IDX files may be called that, and a share of it keeps an image of each class."""
    folder = fill(tmp_path / "mine")
    data = mz.load(folder, format="idx", share=0.5)
    assert sorted(data.train.labels.tolist()) == [0, 1, 2, 4, 9]
    assert data.description.share == 0.5
    assert data.description.split is None


def test_settings_that_change_nothing_are_refused(refuses):
    """A set with a split of its own draws nothing, but for a share, and has no files that cannot be read."""
    for settings, words in (({"seed": 5}, "--split-seed"), ({"allow_unreadable": True}, "--allow-unreadable")):
        with refuses(mz.SettingError, words, "leave it out"):
            mz.load("digits", **settings)
    assert mz.load("digits", seed=5, share=0.5).fingerprint != mz.load("digits", share=0.5).fingerprint


def test_records_of_settings_that_change_nothing_are_loaded_all_the_same(digits, tmp_path):
    """They were not always refused, and nobody can change a record."""
    folder = fill(tmp_path / "mine")
    for origin, whole in ((digits.origin, digits), (mz.load(folder).origin, mz.load(folder))):
        recorded = Origin.from_dict({**origin.as_dict(), "seed": 5, "allow_unreadable": True})
        assert load_again(recorded).fingerprint == whole.fingerprint
    with pytest.raises(mz.SettingError):
        load_again(Origin.from_dict({**digits.origin.as_dict(), "group": "x"}))


@pytest.mark.parametrize("change", [{"format": "lmdb"}, {"share": 7}, {"size": "x"}], ids=str)
def test_records_of_settings_outside_their_range_are_damaged(digits, change):
    """They are no mistake of whoever lists runs."""
    with pytest.raises(ValueError, match=str(next(iter(change.values())))):
        Origin.from_dict({**digits.origin.as_dict(), **change})


def test_name_too_long_for_a_file(refuses):
    """A name that no file system takes is an unknown name like any other."""
    with refuses(DataError, "too long"):
        mz.load("x" * 5000)


# Digits


def test_digits(digits):
    """A fifth of each class is set apart for the test; every class is in both splits."""
    assert digits.name == "digits"
    assert digits.source == "scikit-learn's bundled digits"
    assert digits.classes == tuple("0123456789")
    assert digits.train.images.shape == (1437, 1, 8, 8)
    assert digits.test.images.shape == (360, 1, 8, 8)
    for _, train, test in digits.counts():
        assert abs(test - (train + test) / 5) < 1
    assert digits.fingerprint == "fda4ec3cfe78ec20c07d2c22eb5114f7a4504f708746344df236c2cee59ac44a"


def test_digits_are_scikit_learns(digits):
    """Every image of scikit-learn's, with its label, is there once: each of its levels v as v * 255 / 16, rounded."""
    bunch = load_digits()
    expected = Counter(
        (bytes((int(level) * 255 + 8) // 16 for level in image.flat), int(label))
        for image, label in zip(bunch.images, bunch.target, strict=True)
    )
    found = Counter(
        (image.numpy().tobytes(), int(label))
        for split in (digits.train, digits.test)
        for image, label in zip(split.images, split.labels, strict=True)
    )
    assert found == expected
    assert digits.train.images.max() == 255


def test_digits_split_the_same_way_each_time(digits):
    """Neither torch's nor numpy's seed plays a part."""
    torch.manual_seed(5)
    assert mz.load("digits").fingerprint == digits.fingerprint


def test_digits_are_read_from_the_cache_the_next_time(digits, tmp_path, monkeypatch):
    """Without scikit-learn; a damaged file, or one with other images, is replaced."""
    monkeypatch.setattr("modelzero.data.sets.digits.cache_folder", lambda: tmp_path)
    made = []
    original = module._from_scikit_learn
    monkeypatch.setattr(module, "_from_scikit_learn", lambda: made.append(1) or original())
    for _ in range(3):
        assert mz.load("digits").fingerprint == digits.fingerprint
    assert len(made) == 1
    (kept,) = (tmp_path / "digits").iterdir()
    good = kept.read_bytes()
    for damaged in (good[:-1], b"", good[:-1] + b"\x07"):
        kept.write_bytes(damaged)
        assert mz.load("digits").fingerprint == digits.fingerprint
        assert kept.read_bytes() == good
    assert len(made) == 4
    monkeypatch.setattr("modelzero.data.sets.digits.cache_folder", lambda: kept)  # a file: nothing can be written
    assert mz.load("digits").fingerprint == digits.fingerprint


# Folders of IDX files


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("text", [str, Path])
def test_folder_of_idx_files(tmp_path, zipped, text):
    """A folder with the four files is a set: named after the folder, its classes are the label numbers."""
    folder = fill(tmp_path / "mine", zipped=zipped)
    data = mz.load(text(folder))
    assert is_small_set(data)
    assert data.name == "mine"
    assert data.source == str(folder)
    assert data.classes == tuple("0123456789")
    assert data.counts()[9] == ("9", 1, 1)
    assert data.counts()[3] == ("3", 0, 0)


def test_relative_folder(tmp_path):
    """The folder in which one stands has a name, too."""
    fill(tmp_path)
    assert mz.load(".").name == tmp_path.name


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        (TEST_LABELS, (11, 1, 2, 9, 0), ["1 of 6 classes has no test image: '4'"]),
        (TRAIN_LABELS, (0, 1, 2, 1, 4), ["1 of 5 classes has no training image: '9'"]),
    ],
)
def test_a_class_on_one_side_only(tmp_path, refuses, name, labels, words):
    """It is named: nobody could say how well it is recognised, or could recognise it."""
    with refuses(DataError, "mine", *words):
        mz.load(fill(tmp_path / "mine", SET | {name: idx_labels(*labels)}))


def test_labels_of_other_whole_numbers(tmp_path):
    """Labels may be written as 32-bit numbers."""
    folder = fill(tmp_path / "mine", SET | {TEST_LABELS: idx_labels(4, 1, 2, 9, 0, code=0x0C, letter="i")})
    data = mz.load(folder)
    assert data.test.labels.tolist() == [4, 1, 2, 9, 0]
    assert data.test.labels.dtype == torch.int64


@pytest.mark.parametrize("missing", IDX_FILES)
def test_folder_without_a_file(tmp_path, refuses, missing):
    """The file that is missing is named, and no other."""
    folder = fill(tmp_path / "mine", without=[missing])
    with refuses(DataError, folder, f"lacks {missing} (") as caught:
        mz.load(folder)
    assert not any(name in str(caught.value) for name in IDX_FILES if name != missing)


def test_empty_folder(tmp_path, refuses):
    """A folder without anything is told what it could hold; all four files of a set are named where it is to be one."""
    with refuses(DataError, tmp_path, "a folder of images for each class", "IDX", "images.npy", "Parquet"):
        mz.load(tmp_path)
    with refuses(DataError, tmp_path, *IDX_FILES):
        mz.load(tmp_path, format="idx")


BAD_FOLDERS = {
    "a label less": ({TRAIN_LABELS: idx_labels(0, 1, 2, 3)}, ["5 images", "4 labels"]),
    "an image less": ({TEST_IMAGES: idx_images(1)}, ["1 images", "5 labels"]),
    "no training images": ({TRAIN_IMAGES: idx_images(0), TRAIN_LABELS: idx_labels()}, ["zero images"]),
    "no test images": ({TEST_IMAGES: idx_images(0), TEST_LABELS: idx_labels()}, ["zero images"]),
    "no pixels": ({TEST_IMAGES: idx_images(5, height=0)}, ["zero images"]),
    "one class": ({TRAIN_LABELS: idx_labels(3, 3, 3, 3, 3)}, ["'3'", "at least two classes"]),
    "two sizes": ({TEST_IMAGES: idx_images(5, height=5)}, ["[1, 4, 3]", "[1, 5, 3]"]),
    "huge label": ({TRAIN_LABELS: idx_labels(0, 1, 2, 3, 70_000, code=0x0C, letter="i")}, ["mine", "70000", "65535"]),
    "negative label": (
        {TEST_LABELS: idx_labels(-1, 1, 2, 9, 0, code=0x09, letter="b")},
        ["test labels", "from -1 to 9"],
    ),
    "fractions": ({TEST_LABELS: idx_labels(0.5, 1, code=0x0D, letter="f")}, ["mine", "labels", "float32"]),
    "labels as images": ({TRAIN_IMAGES: SET[TRAIN_LABELS]}, ["mine", "images", "1 dimensions", "[N, H, W]"]),
    "images as labels": ({TRAIN_LABELS: SET[TRAIN_IMAGES]}, ["mine", "labels", "3 dimensions", "[N]"]),
    "signed pixels": ({TRAIN_IMAGES: b"\0\0\x09" + SET[TRAIN_IMAGES][3:]}, ["mine", "images", "int8", "uint8"]),
    "truncated": ({TEST_LABELS: SET[TEST_LABELS][:-1]}, [TEST_LABELS, "truncated"]),
    "no IDX": ({TEST_LABELS: b"<html>"}, [TEST_LABELS, "not an IDX file"]),
}


@pytest.mark.parametrize(("files", "words"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_folder_that_cannot_be_used(tmp_path, refuses, files, words):
    """What is wrong with the files is said with the numbers that were found."""
    folder = fill(tmp_path / "mine", SET | files)
    with refuses(DataError, *words):
        mz.load(folder)


@pytest.mark.parametrize("label", [float("nan"), float("inf")], ids=str)
def test_labels_that_are_no_numbers(tmp_path, refuses, label):
    """Labels of which one is NaN or infinite are refused as fractions are."""
    folder = fill(tmp_path / "mine", SET | {TEST_LABELS: idx_labels(label, 1, code=0x0D, letter="f")})
    with refuses(DataError, "mine", "labels", "float32"):
        mz.load(folder)


def test_counts_that_differ_name_the_folder(tmp_path, refuses):
    """Which of the user's files do not belong together is said."""
    folder = fill(tmp_path / "mine", SET | {TRAIN_LABELS: idx_labels(0, 1, 2, 3)})
    with refuses(DataError, "mine", "5 images", "4 labels"):
        mz.load(folder)
