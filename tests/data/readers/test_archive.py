"""Archives of class folders: read like folders, and hostile ones refused with nothing written anywhere."""

import contextlib
import io
import os
import random
import stat
import tarfile
import zipfile

import pytest

from modelzero import DataError
from modelzero.data.readers import archive
from modelzero.data.readers.archive import read_archive, safe_name

FILES = {"dog/10.png": b"ten", "dog/9.png": b"nine", "cat/x.png": b"x", "README.txt": b"read", ".hidden/y.png": b"y"}


def zip_of(path, files=FILES, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def tar_of(path, files=FILES, mode="w"):
    with tarfile.open(path, mode) as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "nameless"])
def test_archives_are_read_like_folders(tmp_path, kind):
    """The same classes, order and notes as from the folder; told by content, not by name."""
    path = tmp_path / (kind if kind == "nameless" else f"pets.{kind}")
    if kind == "zip":
        zip_of(path)
    else:
        tar_of(path, mode={"tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}.get(kind, "w"))
    listing = read_archive(path)
    assert [(item.name, item.label, item.content) for item in listing.items] == [
        ("cat/x.png", "cat", b"x"),
        ("dog/9.png", "dog", b"nine"),
        ("dog/10.png", "dog", b"ten"),
    ]
    assert listing.name == path.name.split(".")[0]
    assert any("1 file" in note for note in listing.notes)


BAD_NAMES = [
    "../out.png",
    "cat/../../out.png",
    "/etc/out.png",
    "C:\\out.png",
    "cat\\..\\..\\out.png",
    "\\\\host\\x.png",
    "c:x.png",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_names_that_lead_out(tmp_path, refuses, pack, name):
    """Refused by name; nothing appears anywhere."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = pack(folder / "x.archive", {"cat/1.png": b"1", name: b"evil", "dog/1.png": b"1"})
    before = sorted(map(str, tmp_path.rglob("*")))
    with refuses(DataError, path, "unsafe path"):
        read_archive(path)
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_members_that_are_no_regular_files(tmp_path, refuses, kind):
    """Links, devices, pipes and sparse files in a tar are refused by name."""
    path = tar_of(tmp_path / "x.tar", {"cat/1.png": b"", "dog/1.png": b""})
    with tarfile.open(path, "a") as packed:
        member = tarfile.TarInfo("cat/2.png")
        member.type, member.linkname = kind, "/etc/passwd"
        packed.addfile(member)
    with refuses(DataError, path, "'cat/2.png'", "link"):
        read_archive(path)


def test_links_in_a_zip(tmp_path, refuses):
    """A zip marks links by their Unix mode."""
    path = zip_of(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as packed:
        link = zipfile.ZipInfo("cat/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    with refuses(DataError, path, "'cat/link.png'", "link"):
        read_archive(path)


def test_a_name_twice(tmp_path, refuses):
    """Which of the two is meant nobody knows."""
    path = tar_of(tmp_path / "x.tar", {"cat/1.png": b"1", "./cat/1.png": b"2"})
    with refuses(DataError, path, "'cat/1.png' twice"):
        read_archive(path)


def test_caps(tmp_path, refuses, monkeypatch):
    """Too large a member, too much in all and too many members are refused, in zip and tar."""
    files = {f"c{k % 2}/{k}.png": bytes(1000) for k in range(20)}
    paths = [
        zip_of(tmp_path / "x.zip", files),
        tar_of(tmp_path / "x.tar", files),
        tar_of(tmp_path / "x.tgz", files, "w:gz"),
    ]
    for cap, value, word in (
        ("MOST_MEMBER_BYTES", 999, "'c0/0.png'"),
        ("MOST_BYTES", 19_999, "GiB"),
        ("MOST_FILES", 19, "19"),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(archive, cap, value)
            for path in paths:
                with refuses(DataError, path, word):
                    read_archive(path)
    assert len(read_archive(paths[0]).items) == 20


def test_a_bomb_is_refused_before_it_goes_off(tmp_path, refuses):
    """A member that announces a gigabyte is not unpacked."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("cat/1.png", "w") as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    with refuses(DataError, path, "50 times"):
        read_archive(path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_bomb_that_is_passed_over(tmp_path, monkeypatch, refuses, mode):
    """What is no image need not be kept, but has to be unpacked to get past it: not all of a bomb is."""
    monkeypatch.setattr(archive, "_SMALL_BYTES", 1 << 20)
    path = tar_of(tmp_path / "x.tar", {"notes.txt": bytes(30 << 20), "cat/1.png": b"", "dog/1.png": b""}, mode)
    with refuses(DataError, path, "50 times"):
        read_archive(path)


def test_what_lies_behind_the_end_of_a_plain_tar_is_not_read(tmp_path):
    """64 GiB of zeros, which take no room on most disks, and would take a minute to read."""
    path = tar_of(tmp_path / "x.tar", {f"c{k % 2}/{k}.png": bytes(700) for k in range(4)})
    with path.open("r+b") as file:
        file.truncate(64 << 30)
    assert len(read_archive(path).items) == 4


def test_a_header_that_asks_for_gigabytes(tmp_path, refuses):
    """The long name of a tar member is a header of any size; this one is refused, not read."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 5 << 30
    path = tmp_path / "x.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with refuses(DataError, path):
        read_archive(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_that_breaks_off(tmp_path, refuses, mode):
    """A tar cut anywhere is refused, also between two members, where tarfile takes it for a whole one."""
    path = tar_of(tmp_path / "x.tar", {f"c{k % 2}/{k}.png": bytes(700) for k in range(4)}, mode)
    content = path.read_bytes()
    end = len(content) - 1 if mode == "w:gz" else 4 * 1536
    for cut in sorted({1536, 2048, 3000, end} if mode == "w" else {100, end}):
        path.write_bytes(content[:cut])
        with refuses(DataError, path):
            read_archive(path)


def test_encrypted_zip(tmp_path, refuses):
    """An archive that wants a password is refused."""
    path = zip_of(tmp_path / "x.zip", {"cat/1.png": b"1", "dog/1.png": b"2"}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 8] |= 1
    path.write_bytes(content)
    with refuses(DataError, path, "encrypted"):
        read_archive(path)


def test_archive_within_an_archive(tmp_path, refuses):
    """Is not opened, only counted."""
    inner = zip_of(tmp_path / "inner.zip").read_bytes()
    with refuses(DataError, "has no images"):
        read_archive(zip_of(tmp_path / "outer.zip", {"cat/inner.zip": inner}))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_archives(tmp_path, seed):
    """A flipped or missing byte anywhere ends in a listing or a one-line refusal."""
    rng = random.Random(seed)
    whole = [zip_of(tmp_path / "x.zip").read_bytes(), tar_of(tmp_path / "x.tar").read_bytes(),
             tar_of(tmp_path / "x.tgz", mode="w:gz").read_bytes(),
             tar_of(tmp_path / "x.txz", mode="w:xz").read_bytes()]  # fmt: skip
    path = tmp_path / "mutated"
    for _ in range(60):
        content = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.2 else content)
        with contextlib.suppress(DataError):
            read_archive(path)


def test_safe_names():
    """Plain names go through, with plain slashes."""
    assert safe_name("./a//b.png", "x") == "a/b.png"
    assert safe_name("a..b/...c.png", "x") == "a..b/...c.png"


def test_nothing_is_written(tmp_path, monkeypatch):
    """Reading opens no file for writing and makes none."""
    path = tar_of(tmp_path / "x.tgz", mode="w:gz")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "mkdir", None)
    read_archive(path)
    assert sorted(tmp_path.iterdir()) == before
