"""The named sets, each read from small files in its publisher's format that are made here.

The published files themselves cannot be part of a test: what they are like is known from their publishers' pages.
"""

import dataclasses
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageDraw

import modelzero as mz
from modelzero import DataError
from modelzero.data.sets.catalog import SETS
from modelzero.data.sets.published import turn

COUNTS = (6, 4)  # training and test images


def pictures(count, channels, size, seed):
    """Random images [count, channels, size, size]."""
    return np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), np.uint8)


def classes_of(count, classes):
    """Labels from the last class downwards, so that the highest is there."""
    return [classes - 1 - i % min(classes, 3) for i in range(count)]


def idx(numbers, code, letter, shape):
    """The bytes of an IDX file."""
    flat = list(numbers)
    return struct.pack(f">BBBB{len(shape)}I{len(flat)}{letter}", 0, 0, code, len(shape), *shape, *flat)


def idx_images(images, order="yx"):
    """An IDX file of images [N, 1, H, W], written pixel by pixel, row by row or ("xy") column by column."""
    n, _, height, width = images.shape
    if order == "yx":
        pixels = (int(images[i, 0, y, x]) for i in range(n) for y in range(height) for x in range(width))
    else:
        pixels = (int(images[i, 0, y, x]) for i in range(n) for x in range(width) for y in range(height))
    return gzip.compress(idx(pixels, 0x08, "B", (n, height, width)))


def idx_labels(labels):
    """An IDX file of labels in bytes."""
    return gzip.compress(idx(labels, 0x08, "B", (len(labels),)))


def qmnist_labels(labels):
    """An IDX file of labels as QMNIST has them: eight 32-bit numbers each, the class first."""
    rows = [(label, 4, 2100 + i, 70000 + i, 30 + label, 281769, 0, 0) for i, label in enumerate(labels)]
    return gzip.compress(idx((number for row in rows for number in row), 0x0C, "i", (len(rows), 8)))


def emnist_zip(sets):
    """EMNIST's archive: of each variant four IDX files, images column by column."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("gzip/emnist-balanced-mapping.txt", "0 48\n1 49\n")
        for variant, (images, labels) in sets.items():
            for split, split_images, split_labels in zip(("train", "test"), images, labels, strict=True):
                archive.writestr(f"gzip/emnist-{variant}-{split}-images-idx3-ubyte.gz", idx_images(split_images, "xy"))
                archive.writestr(f"gzip/emnist-{variant}-{split}-labels-idx1-ubyte.gz", idx_labels(split_labels))
    return file.getvalue()


def tar_gz(members):
    """A compressed tar archive of (name, content) or ready-made headers."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is not None:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content or b""))
    return file.getvalue()


def records(images, labels, before=()):
    """CIFAR's records: labels, then red, green and blue, each row by row."""
    content = bytearray()
    for image, label in zip(images, labels, strict=True):
        content += bytes([*before, label])
        for channel in image:
            for row in channel:
                content += bytes(row.tolist())
    return bytes(content)


def mat(images, labels, *, compressed=True, **others):
    """A MATLAB 5 file of images [N, C, H, W], as SVHN has them: X[row, column, channel, image]."""
    file = io.BytesIO()
    x = np.empty((32, 32, 3, len(images)), np.uint8)
    for i, image in enumerate(images):
        for channel in range(3):
            x[:, :, channel, i] = image[channel]
    y = np.array([[label or 10] for label in labels], np.uint8)
    scipy.io.savemat(file, {"X": x, "y": y} | others, do_compression=compressed)
    return file.getvalue()


def make(name):
    """Files of a small set of that name, and the images and labels that are in them."""
    classes = len(SETS[name].classes)
    channels, size = (3, 32) if name in ("cifar-10", "cifar-100", "svhn") else (1, 28)
    images = [pictures(count, channels, size, seed) for seed, count in enumerate(COUNTS)]
    labels = [classes_of(count, classes) for count in COUNTS]
    names = [file.name for file in SETS[name].files]
    if name == "cifar-10":
        train = [(f"cifar-10-batches-bin/data_batch_{i + 1}.bin", slice(i, i + 1 if i < 4 else None)) for i in range(5)]
        members = [(member, records(images[0][part], labels[0][part])) for member, part in train]
        members.append(("cifar-10-batches-bin/test_batch.bin", records(images[1], labels[1])))
        contents = [tar_gz([("cifar-10-batches-bin/batches.meta.txt", b"airplane\n"), *reversed(members)])]
    elif name == "cifar-100":
        members = [
            (f"cifar-100-binary/{split}.bin", records(split_images, split_labels, before=[19]))
            for split, split_images, split_labels in zip(("train", "test"), images, labels, strict=True)
        ]
        contents = [tar_gz(members)]
    elif name == "svhn":
        contents = [mat(*split) for split in zip(images, labels, strict=True)]
    elif name.startswith("emnist"):
        variant = name.partition("-")[2] or "balanced"
        stored = [[label + (variant == "letters") for label in split] for split in labels]
        contents = [emnist_zip({variant: (images, stored)})]
    else:
        write_labels = qmnist_labels if name == "qmnist" else idx_labels
        contents = [write(part) for i in (0, 1) for write, part in ((idx_images, images[i]), (write_labels, labels[i]))]
    return dict(zip(names, contents, strict=True)), images, labels


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Give `publish(name, files, *mirrors)`: from now on these are the published files of that set.

    The cache is in `tmp_path`, and no distribution has the set.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))

    def replace(name, contents, *mirrors):
        known = SETS[name]
        files = []
        for file in known.files:
            content = contents[file.name]
            sha256 = hashlib.sha256(gzip.decompress(content) if file.of_content else content).hexdigest()
            urls = tuple(url + file.name for url in mirrors)
            files.append(dataclasses.replace(file, sha256=sha256, urls=urls, most_bytes=len(content)))
        monkeypatch.setitem(SETS, name, dataclasses.replace(known, files=tuple(files), system_folder=None))

    return replace


def write(folder, contents):
    """Put files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def assert_is(data, images, labels):
    """The images, their order and their labels are these."""
    for split, split_images, split_labels in zip((data.train, data.test), images, labels, strict=True):
        assert split.images.numpy().shape == split_images.shape
        assert (split.images.numpy() == split_images).all()
        assert split.labels.tolist() == split_labels
        assert split.images.is_contiguous()


# The list

KINDS = {
    "fashion-mnist": 10, "mnist": 10, "kmnist": 10, "qmnist": 10, "emnist": 47, "emnist-letters": 26,
    "emnist-digits": 10, "emnist-bymerge": 47, "emnist-byclass": 62, "cifar-10": 10, "cifar-100": 100, "svhn": 10,
}  # fmt: skip


def test_list_is_whole():
    """Every set has as many classes as its publisher says, no name twice, and checksum and addresses for each file."""
    assert {name: len(known.classes) for name, known in SETS.items()} == KINDS
    for name, known in SETS.items():
        assert known.name == name
        assert len(set(known.classes)) == len(known.classes)
        for file in known.files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.urls
            assert all(url.startswith("http") and url.endswith(f"/{file.name}") for url in file.urls)
    sums = {file.sha256 for known in SETS.values() for file in known.files}
    assert len(sums) == len({(known.folder, file.name) for known in SETS.values() for file in known.files})


def test_emnists_merged_classes():
    """47 classes: the digits, the capitals, and the eleven small letters that do not look like their capitals."""
    classes = SETS["emnist"].classes
    assert classes[:10] == tuple("0123456789")
    assert classes[10:36] == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    small = set("abcdefghijklmnopqrstuvwxyz")
    assert set(classes[36:]) == small - set("cijklmopsuvwxyz")
    assert list(classes[36:]) == sorted(classes[36:])


# Reading


@pytest.mark.parametrize("name", SETS)
def test_set_is_read_from_a_folder(publish, tmp_path, name):
    """From its publisher's files come its images and labels, in order; its folder may lie in the data folder."""
    files, images, labels = make(name)
    publish(name, files)
    folder = write(tmp_path / "own" / SETS[name].folder, files)
    for data_dir in (tmp_path / "own", folder):
        data = mz.load(name, data_dir=data_dir)
        assert_is(data, images, labels)
        assert data.name == name
        assert data.classes == SETS[name].classes
        assert data.source == str(folder)
        assert data.notes == SETS[name].notes
    assert sorted(path.name for path in folder.iterdir()) == sorted(files)  # nothing was unpacked


@pytest.mark.parametrize("name", SETS)
def test_one_wrong_byte_is_refused(publish, tmp_path, refuses, name):
    """Whatever file of whatever set differs in one byte is refused by name and checksum before it is read."""
    files, _, _ = make(name)
    publish(name, files)
    for wrong in files:
        content = bytearray(files[wrong])
        content[len(content) // 2] ^= 1
        folder = write(tmp_path / wrong, files | {wrong: bytes(content)})
        if SETS[name].files[0].of_content:  # the byte may break the gzip
            with refuses(DataError, folder / wrong):
                mz.load(name, data_dir=folder)
        else:
            with refuses(DataError, folder / wrong, "checksum mismatch", "replace or delete it"):
                mz.load(name, data_dir=folder)


@pytest.mark.parametrize("name", SETS)
def test_set_is_fetched_once(publish, serve, tmp_path, name):
    """A set that is nowhere comes from its publisher, is kept in the cache, and is taken from there the next time."""
    files, images, labels = make(name)
    asked = []

    def answer(handler):
        asked.append(handler.path)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(files[handler.path.removeprefix("/")])

    url = serve(answer)
    publish(name, files, url)
    data = mz.load(name)
    assert_is(data, images, labels)
    cache = tmp_path / "caches" / "modelzero" / SETS[name].folder
    assert data.source == f"downloaded from {url.split('/')[2]}, kept in {cache}"
    assert mz.load(name).source == str(cache)
    assert asked == [f"/{file}" for file in files]
    assert sorted(path.name for path in cache.iterdir()) == sorted(files)


def test_set_found_nowhere(publish, refuses):
    """The message names the set, the address with its reason, the files that are needed, and the option."""
    files, _, _ = make("svhn")
    publish("svhn", files, "http://127.0.0.1:9/")
    words = ("svhn is not on this machine", "http://127.0.0.1:9/train_32x32.mat (", *files, "--data-dir")
    with refuses(DataError, *words):
        mz.load("svhn")


def test_emnists_sets_share_one_archive(publish, tmp_path):
    """What was fetched for one of them serves the others."""
    images = [pictures(count, 1, 28, 5) for count in COUNTS]
    archive = emnist_zip({"digits": (images, [[1, 2] * 3, [3, 4] * 2]), "letters": (images, [[1, 26] * 3, [2, 3] * 2])})
    for name in ("emnist-digits", "emnist-letters"):
        publish(name, {"gzip.zip": archive})
    write(tmp_path / "caches" / "modelzero" / "emnist", {"gzip.zip": archive})
    assert_is(mz.load("emnist-digits"), images, [[1, 2] * 3, [3, 4] * 2])
    assert_is(mz.load("emnist-letters"), images, [[0, 25] * 3, [1, 2] * 2])


def test_emnists_letters_stand_upright(publish, tmp_path):
    """A drawn L, stored as EMNIST stores it, has its stem on the left and its foot below."""
    drawn = Image.new("L", (28, 28))
    ImageDraw.Draw(drawn).line([(6, 4), (6, 22), (20, 22)], fill=255, width=2)
    upright = np.asarray(drawn)[None, None]
    lying = upright.swapaxes(2, 3)
    assert not (lying == upright).all()
    archive = emnist_zip({"letters": ([upright.repeat(2, 0), upright], [[12, 13], [12]])})
    publish("emnist-letters", {"gzip.zip": archive})
    data = mz.load("emnist-letters", data_dir=write(tmp_path / "own", {"gzip.zip": archive}))
    assert (data.test.images.numpy() == upright).all()
    assert data.classes[data.test.labels[0]] == "L"


def test_turning_is_transposing():
    """`turn` gives what numpy's swapaxes gives, in the memory of its argument, over more than one block."""
    images = np.random.default_rng(0).integers(0, 256, (9000, 1, 4, 4), np.uint8)
    expected = images.swapaxes(2, 3).copy()
    assert turn(images) is images
    assert (images == expected).all()


def test_nothing_is_unpickled(publish, tmp_path, monkeypatch):
    """All sets are read while every way into pickle is closed."""

    def refuse(*_, **__):
        raise AssertionError("a pickle was opened")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    for name in SETS:
        files, images, labels = make(name)
        publish(name, files)
        assert_is(mz.load(name, data_dir=write(tmp_path / name, files)), images, labels)


# Archives and files that have the right checksum and are wrong all the same: our list would be at fault, but even then
# the answer is one line and nothing is written.

ONE = records(pictures(1, 3, 32, 0), [3], before=[0])


def link(name, target, kind=tarfile.SYMTYPE):
    """A tar member that points somewhere else."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, None


TRAIN, TEST = "cifar-100-binary/train.bin", "cifar-100-binary/test.bin"
BAD_TARS = {
    "no archive": (b"<html>", "not a complete tar.gz"),
    "gzip of something": (gzip.compress(b"x" * 2000), "not a complete tar.gz"),
    "cut": (tar_gz([(TRAIN, ONE * 50), (TEST, ONE)])[:3000], "not a complete tar.gz"),
    "without test": (tar_gz([(TRAIN, ONE)]), f"lacks {TEST}"),
    "elsewhere": (tar_gz([("../" + TRAIN, ONE), ("/" + TEST, ONE)]), f"lacks {TRAIN}, {TEST}"),
    "link": (tar_gz([link(TRAIN, "/etc/passwd"), (TEST, ONE)]), "not a regular file"),
    "hard link": (tar_gz([(TEST, ONE), link(TRAIN, TEST, tarfile.LNKTYPE)]), "not a regular file"),
    "folder": (tar_gz([link(TRAIN, "", tarfile.DIRTYPE), (TEST, ONE)]), "not a regular file"),
    "half a record": (tar_gz([(TRAIN, ONE + ONE[:9]), (TEST, ONE)]), "complete records of 3074"),
    "empty": (tar_gz([(TRAIN, b""), (TEST, ONE)]), "complete records of 3074"),
    "many files": (tar_gz([(f"{i}", b"") for i in range(101)]), "more than 100 files"),
}


def huge_member():
    """A tar archive whose first member claims more than it may have."""
    info = tarfile.TarInfo(TRAIN)
    info.size = 3074 * 200_000
    return gzip.compress(info.tobuf() + ONE)


BAD_TARS["huge"] = (huge_member(), "at most")


@pytest.mark.parametrize(("archive", "why"), BAD_TARS.values(), ids=BAD_TARS)
def test_bad_cifar_archive(publish, tmp_path, refuses, archive, why):
    """It is refused by name with a reason, and nothing lies beside it afterwards."""
    name = "cifar-100-binary.tar.gz"
    publish("cifar-100", {name: archive})
    folder = write(tmp_path / "own" / "inner", {name: archive})
    with refuses(DataError, folder / name, why):
        mz.load("cifar-100", data_dir=folder)
    assert [path.name for path in (tmp_path / "own").rglob("*")] == ["inner", name]


def emnist_with(**members):
    """EMNIST's archive with some members in place of good ones; None leaves one out."""
    good, _, _ = make("emnist-digits")
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good["gzip.zip"])) as source, zipfile.ZipFile(file, "w") as archive:
        for info in source.infolist():
            part = info.filename.removeprefix("gzip/emnist-digits-").replace("-", "_").partition("_idx")[0]
            content = members.get(part, source.read(info))
            if content is not None:
                archive.writestr(info.filename, content)
    return file.getvalue()


BAD_ZIPS = {
    "no archive": (b"<html>", "not a complete zip"),
    "cut": (emnist_with()[:-300], "not a complete zip"),
    "without test labels": (emnist_with(test_labels=None), "lacks gzip/emnist-digits-test-labels"),
    "member that is no gzip": (emnist_with(train_images=b"<html>"), "not a complete zip"),
    "member that is no IDX": (emnist_with(train_images=gzip.compress(b"<html>")), "not an IDX file"),
    "member that is cut": (emnist_with(train_images=idx_images(pictures(6, 1, 28, 0))[:-40]), "not a complete zip"),
    "terabytes announced": (
        emnist_with(train_images=gzip.compress(struct.pack(">4I", 0x0803, 1 << 20, 1 << 10, 1 << 10))),
        "declares 1099511627776 bytes",
    ),
    "label of no class": (emnist_with(test_labels=idx_labels([1, 2, 3, 10])), "labels run from"),
    "labels of others": (emnist_with(test_labels=idx_labels([1])), "4 images but 1 labels"),
}


@pytest.mark.parametrize(("archive", "why"), BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_bad_emnist_archive(publish, tmp_path, refuses, archive, why):
    """It is refused with a reason."""
    publish("emnist-digits", {"gzip.zip": archive})
    with refuses(DataError, why):
        mz.load("emnist-digits", data_dir=write(tmp_path / "own", {"gzip.zip": archive}))


GOOD = pictures(4, 3, 32, 0)
WHOLE = mat(GOOD, [1, 2, 3, 4])
BAD_MATS = {
    "no MATLAB file": (b"<html>" * 100, "not a complete MATLAB 5 file"),
    "empty": (b"", "not a complete MATLAB 5 file"),
    "MATLAB 7.3": (
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 100,
        "not a complete MATLAB 5 file",
    ),
    "cut": (WHOLE[:-2000], "y is missing"),
    "garbled": (WHOLE[:5000] + bytes(1000) + WHOLE[6000:], "not a complete MATLAB 5 file"),
    "cut, not compressed": (mat(GOOD, [1, 2, 3, 4], compressed=False)[:-60], "y is missing"),
    "X of one dimension": (mat(GOOD, [1, 2, 3, 4], X=np.zeros(3, np.uint8)), "X is uint8 [1, 3]"),
    "X of floats": (mat(GOOD, [1, 2, 3, 4], X=np.zeros((32, 32, 3, 4))), "X is double"),
    "X a struct": (mat(GOOD, [1, 2, 3, 4], X={"a": 1}), "X is struct"),
    "X of objects": (mat(GOOD, [1, 2, 3, 4], X=np.array([[{}, "a"]], object)), "X is cell"),
    "X of another size": (mat(GOOD, [1, 2, 3, 4], X=np.zeros((28, 28, 3, 4), np.uint8)), "X is uint8 [28, 28, 3, 4]"),
    "labels of others": (mat(GOOD, [1, 2, 3]), "y is uint8 [3, 1]: expected uint8 [4, 1]"),
    "labels of text": (mat(GOOD, [1, 2, 3, 4], y="abcd"), "y is char"),
    "label 11": (mat(GOOD, [1, 2, 3, 11]), "labels from 1 to 11: expected 1 to 10"),
    "label 0": (mat(GOOD, [1, 2, 3, 4], y=np.zeros((4, 1), np.uint8)), "labels from 0 to 0"),
}


@pytest.mark.parametrize(("content", "why"), BAD_MATS.values(), ids=BAD_MATS)
def test_bad_svhn_file(publish, tmp_path, refuses, content, why):
    """It is refused by name, whichever variable is wrong and wherever the file is damaged."""
    files = {"train_32x32.mat": mat(GOOD, [1, 2, 3, 4]), "test_32x32.mat": content}
    publish("svhn", files)
    folder = write(tmp_path / "own", files)
    with refuses(DataError, folder / "test_32x32.mat", why):
        mz.load("svhn", data_dir=folder)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_svhns_label_10_is_the_digit_0(publish, tmp_path, compressed, kind):
    """Its labels run from 1 to 10; the class "0" is the first one, as everywhere."""
    labels = np.array([[10], [1], [9], [10]], kind)
    files = dict.fromkeys(("train_32x32.mat", "test_32x32.mat"), mat(GOOD, [1] * 4, y=labels, compressed=compressed))
    publish("svhn", files)
    data = mz.load("svhn", data_dir=write(tmp_path / "own", files))
    assert [data.classes[label] for label in data.train.labels] == ["0", "1", "9", "0"]
    assert (data.train.images.numpy() == GOOD).all()
