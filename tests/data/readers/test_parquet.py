"""Tables in Parquet: images inside or as paths, names of classes from the metadata, shards, damaged files."""

import contextlib
import importlib.util
import json
import random

import pytest

from modelzero import DataError
from modelzero.data.readers.parquet import read_parquet, read_shards

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

STRUCT = [{"bytes": b"one", "path": "1.png"}, {"bytes": b"two", "path": None}, {"bytes": None, "path": "x/3.png"}]


def write(path, table, names=None):
    """Write a table, with the metadata of the Hugging Face libraries where `names` are given."""
    table = pa.table(table)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def found(listing):
    return [(item.name, item.label, item.content) for item in listing.items]


def test_images_as_the_hub_writes_them(tmp_path):
    """A struct of bytes and path, labels as numbers with names in the metadata; without bytes the path is a file's."""
    path = write(tmp_path / "pets.parquet", {"image": STRUCT, "label": [1, 0, 1]}, ["dog", "cat", "owl"])
    listing = read_parquet(path)
    assert found(listing) == [
        ("pets[1] 1.png", "cat", b"one"),
        ("pets[2]", "dog", b"two"),
        ("x/3.png", "cat", str(tmp_path / "x/3.png")),
    ]
    assert listing.classes == ("dog", "cat", "owl")
    assert "3 names" in listing.notes[0]
    assert "bytes within the file" in listing.notes[0]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
@pytest.mark.parametrize("name", ["image", "img", "whatever"])
def test_plain_bytes(tmp_path, kind, name):
    """A binary column, however it is called, is one of images."""
    path = write(tmp_path / "x.parquet", {name: pa.array([b"1", b"2"], kind), "label": ["b", "a"]})
    assert found(read_parquet(path)) == [("x[1]", "b", b"1"), ("x[2]", "a", b"2")]
    assert read_parquet(path).classes == ("a", "b")


def test_paths(tmp_path):
    """As in CSV, with splits and groups."""
    table = {"path": ["a.png", "b.png"], "label": [10, 9], "split": ["train", "test"], "patient": [1, 2]}
    listing = read_parquet(write(tmp_path / "x.parquet", table), group="patient")
    assert [(item.name, item.label, item.split, item.group) for item in listing.items] == [
        ("a.png", "10", "train", "1"), ("b.png", "9", "test", "2")
    ]  # fmt: skip
    assert listing.classes == ("9", "10")


@pytest.mark.parametrize("below", ["", "data"])
def test_shards(tmp_path, below):
    """A folder of shards: the split is in their names, they are read in order of their numbers."""
    for k in (10, 9):
        write(tmp_path / "pets" / below / f"train-{k}-of-11.parquet", {"img": [b"%d" % k], "label": ["a"]})
    write(tmp_path / "pets" / below / "validation.parquet", {"img": [b"v"], "label": ["b"]})
    write(tmp_path / "pets" / below / "test-0.parquet", {"img": [b"t"], "label": ["b"]})
    listing = read_shards(tmp_path / "pets")
    assert [(item.content, item.split) for item in listing.items] == [
        (b"t", "test"), (b"9", "train"), (b"10", "train"), (b"v", "validation")
    ]  # fmt: skip
    assert listing.name == "pets"


def test_shards_of_which_some_have_no_split(tmp_path, refuses):
    """A file beside train-... and test-... that is called otherwise is named."""
    for name in ("train", "test", "more"):
        write(tmp_path / f"{name}.parquet", {"img": [b"1"], "label": ["a"]})
    with refuses(DataError, tmp_path, "'more.parquet'"):
        read_shards(tmp_path)


BAD = {
    "no row": ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}, None, ["no rows"]),
    "no label column": ({"image": [b"1"], "b": [1]}, None, ["'image', 'b'", "labels"]),
    "no image column": ({"a": [1], "label": [1]}, None, ["'a', 'label'", "images"]),
    "numbers as images": ({"image": [1], "label": [1]}, None, ["int64", "paths"]),
    "null label": ({"image": [b"1", b"2"], "label": [1, None]}, None, ["row 2", "no label"]),
    "label of no class": ({"image": [b"1"], "label": [2]}, ["a", "b"], ["row 1", "label 2", "0 to 1"]),
    "unlabelled": ({"image": [b"1"], "label": [-1]}, ["a", "b"], ["row 1", "label -1"]),
    "fraction": ({"image": [b"1"], "label": [0.5]}, None, ["row 1", "0.5", "float"]),
    "null image": ({"image": [{"bytes": None, "path": None}], "label": [1]}, None, ["row 1", "no image"]),
    "way out": ({"image": ["a.png", "../b.png"], "label": [1, 2]}, None, ["row 2", "'../b.png'", "unsafe path"]),
    "absolute": ({"image": [{"bytes": None, "path": "/etc/passwd"}], "label": [1]}, None, ["row 1", "unsafe path"]),
    "null byte": ({"image": ["a\0.png"], "label": [1]}, None, ["row 1"]),
    "no group": ({"image": [b"1"], "label": [1], "group": pa.array([None], pa.string())}, None, ["row 1", "no group"]),
}  # fmt: skip


@pytest.mark.parametrize(("table", "names", "words"), BAD.values(), ids=BAD)
def test_tables_that_cannot_be_used(tmp_path, refuses, table, names, words):
    """What is wrong is said, with the row where it is."""
    path = write(tmp_path / "x.parquet", table, names)
    with refuses(DataError, path, *words):
        read_parquet(path)


def test_two_columns_of_a_name(tmp_path, refuses):
    """Parquet allows them, a reader cannot."""
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.Table.from_arrays([pa.array([b"1"]), pa.array([1]), pa.array([2])], ["image", "label", "label"]), path
    )
    with refuses(DataError, path, "two columns 'label'"):
        read_parquet(path)


@pytest.mark.parametrize(
    "metadata", [b"", b"[", b"[]", b'{"info": 1}', b'{"info": {"features": {"label": {"names": 3}}}}']
)
def test_metadata_that_says_nothing(tmp_path, metadata):
    """Damaged metadata is as good as none."""
    table = pa.table({"image": [b"1"], "label": [3]}).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read_parquet(tmp_path / "x.parquet").classes == ("3",)


def test_without_pyarrow(tmp_path, refuses, monkeypatch):
    """The extra to install is named."""
    path = write(tmp_path / "x.parquet", {"image": [b"1"], "label": [1]})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with refuses(DataError, path, "pip install 'modelzero[parquet]'"):
        read_parquet(path)


def test_mutated_files(tmp_path):
    """A flipped or missing byte anywhere ends in a listing or a one-line refusal."""
    rng = random.Random(0)
    whole = write(tmp_path / "x.parquet", {"image": STRUCT * 30, "label": [1, 0, 1] * 30}, ["dog", "cat"]).read_bytes()
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "m.parquet").write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)
        with contextlib.suppress(DataError):
            read_parquet(tmp_path / "m.parquet")
