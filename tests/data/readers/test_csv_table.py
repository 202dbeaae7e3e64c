"""Tables in CSV: delimiters, columns told by their names, and rows that are refused by their line."""

import os
from pathlib import Path

import pytest

from modelzero import DataError
from modelzero.data.readers.csv_table import read_csv


@pytest.fixture
def table(tmp_path):
    """Give `table(text)`: the path of a CSV file with this text or these bytes."""

    def write(text, name="pets.csv"):
        path = tmp_path / "set" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def found(listing):
    return [(item.name, item.label, item.split, item.group) for item in listing.items]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\n"], ids=["plain", "mark", "blank line"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_and_marks(table, delimiter, start, end):
    """Commas, semicolons or tabs, with or without a byte-order mark, by Unix or Windows; rows keep their order."""
    rows = [["id", "File", "LABEL"], ["1", "b/2.png", '"dog, big"'], [], ["2", "./a//1.png", "cat"]]
    path = table(start + end.join(delimiter.join(row) for row in rows).encode())
    listing = read_csv(path)
    assert found(listing) == [("b/2.png", "dog, big", None, None), ("a/1.png", "cat", None, None)]
    assert listing.items[0].content == str(path.parent / "b/2.png")
    assert listing.classes == ("cat", "dog, big")
    assert listing.name == "pets"
    assert "'File'" in listing.notes[0]
    assert "'LABEL'" in listing.notes[0]


def test_splits_and_groups(table):
    """Columns called split and group are taken; --group names another."""
    path = table("path,label,split,group,patient\na.png,x,train,g,p\nb.png,y,Valid,g,q\nc.png,x,TEST,h,r\n")
    assert found(read_csv(path)) == [
        ("a.png", "x", "train", "g"), ("b.png", "y", "validation", "g"), ("c.png", "x", "test", "h")
    ]  # fmt: skip
    assert [item.group for item in read_csv(path, group="Patient").items] == ["p", "q", "r"]
    assert {item.group for item in read_csv(path, group=r"\w").items} == {None}


def test_class_names_may_be_anything(table):
    """Markup, paths, other scripts, 300 characters, line breaks in quotes: a name is a name."""
    names = [
        "<script>alert(1)</script>",
        "../x",
        "a b",
        "한국어",
        "😀",
        "x" * 300,
        "new\nline",
        "[red]",
        "=1+1",
        "NaN",
        "None",
    ]
    rows = "".join(f'{k}.png,"{name}"\n' for k, name in enumerate(names))
    assert [item.label for item in read_csv(table("path,label\n" + rows)).items] == names


def test_numbers_as_labels_are_sorted_by_number(table):
    """Class 10 comes after class 9."""
    rows = "".join(f"{k}.png,{k}\n" for k in range(11))
    assert read_csv(table("path,label\n" + rows)).classes == tuple(map(str, range(11)))


BAD = {
    "empty": ("", ["is empty"]),
    "header only": ("path,label\n", ["header but no rows"]),
    "one column": ("path\na.png\n", ["one column", "'path'"]),
    "no path": ("a,label\n1,2\n", ["'a', 'label'", "images", "'path'"]),
    "no label": ("path,b\n1,2\n", ["'path', 'b'", "labels", "'label'"]),
    "no header": ("cat/1.png,cat\ncat/2.png,cat\n", ["'cat/1.png', 'cat'", "expected one of"]),
    "two of a name": ("path,label,Label\na,b,c\n", ["two columns 'label'"]),
    "too few": ("path,label\na.png,cat\nb.png\n", ["line 3", "1 columns", "2"]),
    "too many": ("path,label\na.png,cat,\n", ["line 2", "3 columns", "2"]),
    "label missing": ("path,label\na.png,cat\nb.png, \n", ["line 3", "'b.png'", "no label"]),
    "path missing": ("path,label\n,cat\n", ["line 2", "no path"]),
    "group missing": ("path,label,group\na.png,cat,\n", ["line 2", "no group"]),
    "split unknown": ("path,label,split\na.png,cat,dev\n", ["line 2", "'dev'", "'train'"]),
    "split missing": ("path,label,split\na.png,cat,train\nb.png,cat,\n", ["line 3", "''"]),
    "quote open": ('path,label\n"a.png,cat\n', ["line", "quotes"]),
    "not UTF-8": (b"path,label\na.png,caf\xe9\n", ["not UTF-8", "byte 20"]),
    "UTF-16": ("path,label\na.png,cat\n".encode("utf-16"), ["not UTF-8"]),
    "null": (b"path,label\na\0.png,cat\n", ["null bytes"]),
    "upwards": ("path,label\na.png,cat\n../b.png,cat\n", ["line 3", "'../b.png'", "unsafe path"]),
    "inner upwards": ("path,label\nx/../../b.png,cat\n", ["line 2", "unsafe path"]),
    "absolute": ("path,label\n/etc/passwd,cat\n", ["line 2", "'/etc/passwd'", "unsafe path"]),
    "drive": ("path,label\nC:\\b.png,cat\n", ["line 2", "unsafe path"]),
    "address": ("path,label\nhttp://x/b.png,cat\n", ["line 2", "unsafe path"]),
    "too long": (f"path,label\n{'x' * 5000},cat\n", ["line 2", "too long"]),
    "huge cell": (f"path,label\n{'x' * 200_000},cat\n", ["line 2"]),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_tables_that_cannot_be_used(table, refuses, text, words):
    """What is wrong is said, with the line where it is."""
    path = table(text)
    with refuses(DataError, path, *words):
        read_csv(path)


def test_links_that_lead_out(table, tmp_path, refuses):
    """A file or folder that is a link to elsewhere is refused; one that stays within is not."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.png").write_bytes(b"key")
    path = table("path,label\nin/1.png,cat\nout.png,dog\n")
    (path.parent / "in").mkdir()
    (path.parent / "in" / "1.png").write_bytes(b"1")
    (path.parent / "out.png").symlink_to(path.parent / "in" / "1.png")
    assert len(read_csv(path).items) == 2
    (path.parent / "out.png").unlink()
    (path.parent / "out.png").symlink_to("../secret/key.png")
    with refuses(DataError, "line 3", "'out.png'", "link"):
        read_csv(path)
    path = table("path,label\nin/1.png,cat\ndir/key.png,dog\n")
    (path.parent / "dir").symlink_to("../secret")
    with refuses(DataError, "line 3", "'dir/key.png'", "link"):
        read_csv(path)


def test_backslashes(table):
    """Tables from Windows: backslashes are slashes, unless a file is called so."""
    path = table("path,label\na\\1.png,cat\nb\\2.png,dog\n")
    (path.parent / "b\\2.png").write_bytes(b"2")
    assert [item.name for item in read_csv(path).items] == ["a/1.png", "b\\2.png"]


def test_table_in_this_folder(table, monkeypatch):
    """A table's paths are looked for beside it, wherever one stands."""
    path = table("path,label\na.png,cat\n")
    monkeypatch.chdir(path.parent)
    assert read_csv(Path("pets.csv")).items[0].content == "a.png"
    assert os.path.isabs(read_csv(path).items[0].content)  # noqa: PTH117
