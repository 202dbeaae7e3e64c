"""Arrays in .npz and .npy files: which names are known, and what is refused before memory is spent on it."""

import contextlib
import io
import pickle
import random
import resource
import zipfile

import numpy as np
import pytest

import modelzero as mz
from modelzero import DataError
from modelzero.data.options import LoadOptions
from modelzero.data.readers import npz
from modelzero.data.readers.npz import read_npy_folder, read_npz

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)
LABELS = np.arange(20) % 2
RULE = LoadOptions()

LAYOUTS = {
    "Keras": ("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"),
    "MedMNIST": ("train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"),
    "plain": ("images", "labels", "test_images", "test_labels", "val_images", "val_labels"),
    "short": ("x", "y", "x_test", "y_test", "x_val", "y_val"),
}
WHOLE = (IMAGES, LABELS, IMAGES[:4], LABELS[:4], IMAGES[:2], LABELS[:2])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("parts", [2, 4, 6])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_known_names(tmp_path, layout, parts, save):
    """Training, test and validation split by the names of Keras, MedMNIST and plain ones."""
    save(tmp_path / "mine.npz", **dict(zip(layout[:parts], WHOLE[:parts], strict=True)))
    data = read_npz(tmp_path / "mine.npz", RULE)
    assert data.fingerprint == mz.from_arrays(*WHOLE[: min(parts, 4)]).fingerprint
    assert (data.validation is not None) == (parts == 6)
    assert (data.name, data.source) == ("mine", str(tmp_path / "mine.npz"))
    assert layout[0] in data.notes[0]


def test_folder_of_npy(tmp_path):
    """The same names as files."""
    for name, array in zip(LAYOUTS["plain"], WHOLE, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "classes.npy", ["dog", "cat"])
    data = read_npy_folder(tmp_path, RULE)
    assert data.classes == ("dog", "cat")
    assert data.fingerprint == mz.from_arrays(*WHOLE[:4], classes=["dog", "cat"]).fingerprint


def test_classes_groups_and_other_arrays(tmp_path):
    """Names of classes and groups are taken; what else is there is passed over and said."""
    np.savez(
        tmp_path / "x.npz", images=IMAGES, labels=LABELS, classes=["b", "a" * 300], groups=np.arange(20) // 2, more=[1]
    )
    data = read_npz(tmp_path / "x.npz", RULE)
    assert data.classes == ("b", "a" * 300)
    assert data.split.group == "groups"
    assert any("'more'" in note for note in data.notes)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("key", ["groups", "train_groups"])
def test_groups_of_each_split(tmp_path, layout, key):
    """Arrays of groups stand beside those of images, whatever these are called."""
    groups = {key: np.arange(20) // 4, "test_groups": [7, 7, 8, 8], "val_groups": ["x", "x"]}
    np.savez(tmp_path / "x.npz", **dict(zip(layout, WHOLE, strict=True)), **groups)
    data = read_npz(tmp_path / "x.npz", RULE)
    assert data.description.as_dict()["groups"] == {"by": "groups", "train": 5, "test": 2, "validation": 1}
    assert data.test.groups.tolist() == [5, 5, 6, 6]
    assert data.fingerprint == mz.from_arrays(*WHOLE[:4]).fingerprint
    assert "test_groups" in data.notes[0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_layout(tmp_path, order):
    """Fortran's order of bytes in the file is undone, and so is that of big-endian numbers."""
    np.savez(tmp_path / "x.npz", images=np.asarray(IMAGES, order=order), labels=LABELS.astype(">i4"))
    assert read_npz(tmp_path / "x.npz", RULE).fingerprint == mz.from_arrays(IMAGES, LABELS).fingerprint


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_refused(tmp_path, refuses):
    """Arrays of Python objects are never loaded."""
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=np.array([Evil()] * 20, object))
    with refuses(DataError, tmp_path / "x.npz", "labels", "pickle"):
        read_npz(tmp_path / "x.npz", RULE)
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as packed:
        packed.writestr("images.npy", pickle.dumps(Evil()))
        packed.writestr("labels.npy", b"")
    with refuses(DataError, tmp_path / "y.npz", "images", "not an .npy array"):
        read_npz(tmp_path / "y.npz", RULE)


def header(shape, dtype="|u1", content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("shape", "words"),
    [((1 << 20, 1 << 10, 1 << 10), ["declares", "16 GiB"]), ((10, 1 << 10, 1 << 10), ["truncated", "10,485,760"]),
     ((0, 1 << 50, 1 << 50), ["declares"]), ((1 << 62, 1 << 62), ["declares"]), ((-1, 5), ["at least 0"])],
)  # fmt: skip
def test_headers_that_lie(tmp_path, refuses, shape, words):
    """A header that announces terabytes, or more than there is, is refused before memory is taken for it."""
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as packed:
        packed.writestr("images.npy", header(shape, content=bytes(100)))
        packed.writestr("labels.npy", header((100,), content=bytes(100)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with refuses(DataError, tmp_path / "x.npz", "images", *words):
        read_npz(tmp_path / "x.npz", RULE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_bombs_are_capped(tmp_path, refuses, monkeypatch):
    """What all arrays announce together is capped, however small the file."""
    np.savez_compressed(tmp_path / "x.npz", images=np.zeros((100, 100, 100), np.uint8), labels=np.arange(100) % 2)
    monkeypatch.setattr(npz, "MOST_BYTES", 1_000_000)
    with refuses(DataError, "labels", "declares"):
        read_npz(tmp_path / "x.npz", RULE)


BAD = {
    "groups twice": (
        {"images": IMAGES, "labels": LABELS, "groups": LABELS, "train_groups": LABELS},
        ["'train_groups'", "one of them"],
    ),
    "groups of no split": ({"images": IMAGES, "labels": LABELS, "val_groups": [1, 1]}, ["without validation images"]),
    "nothing": ({}, ["nothing", "'images' and 'labels'"]),
    "other names": ({"a": IMAGES, "b": LABELS}, ["'a', 'b'"]),
    "half a test split": ({"images": IMAGES, "labels": LABELS, "test_images": IMAGES}, ["'test_labels'"]),
    "numbers as classes": ({"images": IMAGES, "labels": LABELS, "classes": [1, 2]}, ["classes", "int64"]),
    "several labels": ({"images": IMAGES, "labels": np.ones((20, 14))}, ["labels", "[20, 14]"]),
    "counts": ({"images": IMAGES, "labels": LABELS[:5]}, ["20 train images but 5"]),
    "16 bit": ({"images": IMAGES.astype(np.uint16) * 257, "labels": LABELS}, ["uint16"]),
    "dates": ({"images": IMAGES, "labels": LABELS.astype("M8[s]")}, ["labels"]),
    "records": ({"images": IMAGES, "labels": np.zeros(20, [("a", "u1"), ("b", "i4")])}, ["labels"]),
}


@pytest.mark.parametrize(("arrays", "words"), BAD.values(), ids=BAD)
def test_files_that_cannot_be_used(tmp_path, refuses, arrays, words):
    """File and reason are said."""
    np.savez(tmp_path / "x.npz", **arrays)
    with refuses(DataError, tmp_path / "x.npz", *words):
        read_npz(tmp_path / "x.npz", RULE)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"PK\3\4" + bytes(100), b"\x93NUMPY"])
def test_files_that_are_no_npz(tmp_path, refuses, content):
    """Said by name."""
    (tmp_path / "x.npz").write_bytes(content)
    with refuses(DataError, tmp_path / "x.npz", "damaged or not an .npz file"):
        read_npz(tmp_path / "x.npz", RULE)


def test_an_array_alone_is_truncated_or_over_long(tmp_path, refuses):
    """A .npy that was cut, or has more than its header says."""
    np.save(tmp_path / "labels.npy", LABELS)
    for content, word in (
        (header((20, 6, 5), content=bytes(599)), "truncated"),
        (header((2, 1, 1), content=b"abc"), "too long"),
    ):
        (tmp_path / "images.npy").write_bytes(content)
        with refuses(DataError, tmp_path / "images.npy", word):
            read_npy_folder(tmp_path, RULE)


def test_mutated_files(tmp_path):
    """A flipped or missing byte anywhere ends in data or a one-line refusal."""
    rng = random.Random(0)
    whole = []
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", images=IMAGES, labels=LABELS, classes=["a", "b"])
        whole.append((tmp_path / "x.npz").read_bytes())
    for _ in range(300):
        content = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "m.npz").write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)
        with contextlib.suppress(DataError):
            read_npz(tmp_path / "m.npz", RULE)
