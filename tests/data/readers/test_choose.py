"""`load` of a path: the reader is chosen by looking, the same images are the same data, and settings are followed."""

import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import modelzero as mz
from modelzero import DataError, SettingError
from modelzero.data.options import parse_size
from modelzero.data.readers.choose import find_format

CLASSES = ("cat", "dog", "<script>alert(1)<", "한국어 😀")
COUNT = 10


@pytest.fixture(scope="module")
def pictures():
    """Ten grey images of each class, in the order in which a folder of them is read: by class, then by number."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (COUNT, 9, 7), np.uint8) for name in sorted(CLASSES)}


@pytest.fixture
def forms(pictures, tmp_path):
    """Every form that the same images can have on disk."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root = tmp_path / "folder"
    rows = []
    for name, images in pictures.items():
        (root / name).mkdir(parents=True)
        for k, image in enumerate(images):
            Image.fromarray(image).save(root / name / f"{k}.png")
            rows.append((f"{name}/{k}.png", name))
    images, labels = np.concatenate(list(pictures.values())), [label for _, label in rows]
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "images.npy", images)
    np.save(tmp_path / "npy" / "labels.npy", labels)
    (root / "x.csv").write_text("file;label\n" + "".join(f"{path};{label}\n" for path, label in rows), encoding="utf-8")
    contents = [{"bytes": (root / path).read_bytes(), "path": path} for path, _ in rows]
    pq.write_table(pa.table({"image": contents, "label": labels}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"path": [path for path, _ in rows], "label": labels}), root / "paths.parquet")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for path, _ in reversed(rows):
            packed.write(root / path, f"around/{path}")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as packed:
        for name in pictures:
            packed.add(root / name, name)
    shutil.copy(root / "paths.parquet", tmp_path / "spare")
    os.remove(root / "paths.parquet")  # noqa: PTH107 - beside class folders it would be taken for the set
    (tmp_path / "paths").mkdir()
    shutil.copytree(root, tmp_path / "paths", dirs_exist_ok=True)
    shutil.move(tmp_path / "spare", tmp_path / "paths" / "paths.parquet")
    return {
        "folder": root, "npz": tmp_path / "x.npz", "npy": tmp_path / "npy", "csv": root / "x.csv",
        "parquet": tmp_path / "x.parquet", "parquet of paths": tmp_path / "paths" / "paths.parquet",
        "zip": tmp_path / "x.zip", "tar": tmp_path / "x.tar.gz",
    }  # fmt: skip


def test_the_same_images_are_the_same_data(forms, pictures, tmp_path):
    """Folder, tables, arrays and archives of the same images: one fingerprint, one split, one trained model."""
    images = np.concatenate(list(pictures.values()))
    labels = [name for name in pictures for _ in range(COUNT)]
    loaded = {form: mz.load(path) for form, path in forms.items()} | {"arrays": mz.from_arrays(images, labels)}
    assert len({data.fingerprint for data in loaded.values()}) == 1
    assert all(data.classes == tuple(sorted(CLASSES)) for data in loaded.values())
    losses = {mz.train(data, epochs=2, runs_dir=tmp_path / "runs").history[-1].train_loss for data in loaded.values()}
    assert len(losses) == 1
    assert [find_format(path) for path in forms.values()] == [
        "folder", "npz", "npy", "csv", "parquet", "parquet", "archive", "archive"
    ]  # fmt: skip


def test_names_of_images_go_along(forms):
    """Each image of a folder keeps its name through the split."""
    data = mz.load(forms["folder"])
    for split in (data.train, data.test):
        for name, label, image in zip(split.names, split.labels.tolist(), split.images, strict=True):
            assert name.startswith(data.classes[label] + "/")
            assert np.array_equal(np.asarray(Image.open(forms["folder"] / name)), image[0])


def test_settings_are_followed(forms):
    """Size, share of the test, seed, share of the training and groups reach the data, in every form that can."""
    data = mz.load(forms["folder"], size="12x8", test_share=0.3, seed=5, share=0.5)
    assert data.image_shape == (1, 12, 8)
    assert (len(data.train), len(data.test)) == (16, 12)
    assert data.description.split.seed == 5
    for form in ("folder", "csv", "parquet", "zip"):
        grouped = mz.load(forms[form], group=r"(\d)\.png")
        ends = [{name[-5] for name in split.names} for split in (grouped.train, grouped.test)]
        assert not ends[0] & ends[1]
        assert grouped.split.groups == 10


def test_validation_is_kept_apart(forms, tmp_path):
    """val/ is neither trained nor tested on; without test/ the test split is drawn from train/."""
    shutil.copytree(forms["folder"], tmp_path / "set" / "train", ignore=shutil.ignore_patterns("*.csv"))
    shutil.copytree(forms["folder"], tmp_path / "set" / "val", ignore=shutil.ignore_patterns("*.csv", "[1-9].png"))
    data = mz.load(tmp_path / "set")
    assert (len(data.train), len(data.test), len(data.validation)) == (32, 8, 4)
    assert all(name.startswith("val/") for name in data.validation.names)
    assert data.split.rule == "stratified"


def test_own_split_is_taken(forms, tmp_path, refuses):
    """Nothing is drawn where the source has a test split; classes missing on a side, and shares for it, are refused."""
    without = shutil.ignore_patterns("*.csv")
    for split in ("train", "test"):
        shutil.copytree(forms["folder"], tmp_path / "set" / split, ignore=without)
    data = mz.load(tmp_path / "set")
    assert data.split is None
    assert (len(data.train), len(data.test)) == (40, 40)
    with refuses(SettingError, "test share 0.3", "its own test split"):
        mz.load(tmp_path / "set", test_share=0.3)
    with refuses(DataError, "on both sides", "10 groups"):
        mz.load(tmp_path / "set", group=r"\d(?=\.png)")
    shutil.rmtree(tmp_path / "set" / "test" / "cat")
    with refuses(DataError, tmp_path / "set", "1 of 4 classes has no test image: 'cat'"):
        mz.load(tmp_path / "set")


def test_errors_come_before_decoding(forms, monkeypatch, refuses):
    """What cannot be split or is a wrong setting is said before an image is opened."""
    from modelzero.data.decoding import store

    monkeypatch.setattr(store, "decode_items", None)
    for k in range(1, COUNT):
        (forms["folder"] / "cat" / f"{k}.png").unlink()
    with refuses(DataError, "1 of 4 classes has a single image: 'cat'"):
        mz.load(forms["folder"])
    with refuses(DataError, "does not match"):
        mz.load(forms["folder"], group="patient")


def test_unreadable_images_are_left_out_by_name(forms):
    """Labels and names stay with their images where others are left out."""
    (forms["folder"] / "cat" / "3.png").write_bytes(b"no image")
    data = mz.load(forms["folder"], allow_unreadable=True)
    assert [name for name, _ in data.left_out] == ["cat/3.png"]
    assert data.description.left_out == 1
    for split in (data.train, data.test):
        assert "cat/3.png" not in split.names
        for name, image in zip(split.names, split.images, strict=True):
            assert np.array_equal(np.asarray(Image.open(forms["folder"] / name)), image[0])


@pytest.mark.parametrize("form", ["npz", "npy"])
@pytest.mark.parametrize("setting", [{"size": 8}, {"fit": "crop"}, {"group": "x"}], ids=str)
def test_arrays_refuse_what_they_cannot_follow(forms, refuses, form, setting):
    """Arrays have a size already and no names."""
    with refuses(SettingError, f"--{next(iter(setting)).replace('_', '-')}", form):
        mz.load(forms[form], **setting)


def test_format_overrides_looking(forms, tmp_path, refuses):
    """--format says what cannot be seen; one that cannot be is refused."""
    shutil.copy(forms["csv"], forms["folder"] / "table.list")
    assert len(mz.load(forms["folder"] / "table.list", format="csv").train) == 32
    with refuses(SettingError, "'cvs'", "'csv'"):
        mz.load(forms["csv"], format="cvs")
    with refuses(DataError, "is a file", "as folder"):
        mz.load(forms["csv"], format="folder")
    with refuses(DataError, "is a folder", "as csv"):
        mz.load(forms["folder"], format="csv")
    with refuses(DataError, "is damaged or not a Parquet file"):
        mz.load(forms["csv"], format="parquet")
    with refuses(DataError, "is damaged or not an archive"):
        mz.load(forms["csv"], format="archive")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, None), (64, (64, 64)), ("64", (64, 64)), ("48x64", (48, 64)), ((48, 64), (48, 64)), ([48, 64], (48, 64)),
     (np.int64(8), (8, 8))],
)  # fmt: skip
def test_sizes(size, expected):
    """One number, or height x width."""
    assert parse_size(size) == expected


@pytest.mark.parametrize(
    "size", ["", "x", "64x", "0", "48x64x3", "-1", 0, 1.5, True, (1, 2, 3), ("a", "b"), 5000, "9" * 50]
)
def test_sizes_that_are_none(refuses, size):
    """Said with what was given."""
    with refuses(SettingError, "size", "48x64"):
        parse_size(size)


def test_pipes_and_devices_are_refused(tmp_path, refuses):
    """What is neither file nor folder is not opened."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with refuses(DataError, path, "neither a folder nor a regular file"):
            mz.load(path)
        for kind in ("csv", "npz", "parquet", "archive"):
            with refuses(DataError, path, "neither a folder nor a regular file"):
                mz.load(path, format=kind)


def test_names_that_are_not_utf8_go_into_a_record(tmp_path):
    """A class that is no text is escaped in the record and comes back as it was."""
    rng = np.random.default_rng(0)
    odd = os.fsdecode(b"\xff\xfeodd")
    for name in ("even", odd):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(10):
            Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(tmp_path / "set" / name / f"{k}.png")
    run = mz.train(tmp_path / "set", "majority", runs_dir=tmp_path / "runs")
    assert json.loads((run.path / "run.json").read_bytes())["data"]["classes"] == ["even", odd]
    assert mz.Run.read(run.path).record.data.split.test_share == 0.2


@pytest.mark.parametrize(("name", "kind"), [("stray.parquet", "parquet"), ("images.npy", "npy")])
def test_images_beside_a_table_do_not_vanish(tmp_path, refuses, name, kind):
    """A folder that could be read in two ways is refused, until it is said which; one of assets is no set."""
    for k in range(20):
        (tmp_path / "set" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), k).save(tmp_path / "set" / "ab"[k % 2] / f"{k}.png")
    (tmp_path / "set" / name).write_bytes(b"")
    with refuses(DataError, "folders of images and", f"--format folder or --format {kind}"):
        mz.load(tmp_path / "set")
    assert mz.load(tmp_path / "set", format="folder").classes == ("a", "b")
    (tmp_path / "set" / "b").rename(tmp_path / "elsewhere")
    assert find_format(tmp_path / "set") == kind


def test_a_parquet_file_that_names_the_images_beside_it(tmp_path):
    """They are its own: nothing is left open."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = [f"{'ab'[k % 2]}/{k}.png" for k in range(20)]
    for k, name in enumerate(names):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), k).save(tmp_path / "set" / name)
    pq.write_table(pa.table({"image": names, "label": [k % 2 for k in range(20)]}), tmp_path / "set" / "all.parquet")
    assert find_format(tmp_path / "set") == "parquet"
    assert mz.load(tmp_path / "set").classes == ("0", "1")


def test_a_seed_where_nothing_is_drawn_is_refused(tmp_path, refuses):
    """The source has a test split of its own; a share of the training split is drawn."""
    for k in range(40):
        path = tmp_path / "set" / ("train", "test")[k % 2] / "ab"[k // 20] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), k).save(path)
    with refuses(mz.SettingError, "split seed 5", "leave it out"):
        mz.load(tmp_path / "set", seed=5)
    assert len(mz.load(tmp_path / "set", seed=5, share=0.5).train) == 10
