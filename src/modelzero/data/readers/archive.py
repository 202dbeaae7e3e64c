"""Archives of class folders, zip and tar, read member by member into memory: nothing is ever written to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from modelzero.data.readers.folder import MOST_FILES, arrange, is_junk, may_be_picture
from modelzero.data.readers.listing import Item, Listing
from modelzero.data.splits import class_order
from modelzero.errors import DataError, quoted
from modelzero.text import reason

MOST_MEMBER_BYTES = 64 << 20
MOST_BYTES = 8 << 30
# How much larger what is in it may be than an archive of more than some megabytes. Files of images are packed already
# and grow by a few percent, bitmaps by about ten times; a bomb by a thousand and more.
MOST_GROWTH, _SMALL_BYTES = 50, 64 << 20
_CHUNK = 1 << 20
# Headers, among them those of long names, are read in one piece; none that is honest is larger.
_MOST_HEADER_BYTES = 4 << 20
_OPENERS: tuple[tuple[bytes, Any], ...] = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


def read_archive(path: Path) -> Listing:
    """Read the images of a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz that holds class folders.

    Args:
        path: the archive; told by its content, not by its name.

    Raises:
        DataError: a damaged archive, a name that leads out of it, a link or device, too many members or bytes, or no
            class folders.
    """
    try:
        contents = _contents(path)
    except DataError:
        raise
    except Exception as error:
        # A damaged archive makes zipfile and tarfile raise whatever their parsing ends in, also IndexError and such.
        raise DataError(f"{path} is damaged or no archive ({reason(error)}): needed is a whole .zip or .tar") from None
    arranged, notes = arrange(contents, str(path))
    items = tuple(Item(name, label, split, None, contents[name]) for name, label, split in arranged)
    classes = class_order(item.label for item in items)
    name = path.name.split(".")[0] or path.name
    return Listing(name, str(path), items, classes, tuple(notes))


def is_zip(path: Path) -> bool:
    """Whether a file begins as zip files do."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, also a compressed one."""
    try:
        with _open_tar(path) as file:
            block = file.read(512)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except Exception:  # what decompressors raise on other content is theirs to choose
        return False
    return True


def safe_name(name: str, source: object) -> str:
    r"""Return the name of a member or of a table's file with plain slashes, or refuse one that leads out.

    >>> safe_name("./cat\\1.png", "pets.zip")
    'cat/1.png'

    Raises:
        DataError: the name is absolute, has a drive, a null byte or `..` in it, or is empty.
    """
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) > 1 and parts[0][1] == ":"
    if (parts[0] == "" and len(parts) > 1) or drive or ".." in parts or "\0" in name or "://" in name:
        raise DataError(
            f"{source}: {quoted(name, 200)} leads out of it: needed are plain names below it, without '..', a drive or "
            "a leading slash"
        )
    inner = "/".join(part for part in parts if part not in ("", "."))
    if not inner:
        raise DataError(f"{source}: {quoted(name, 200)} names no file: needed are names of images")
    return inner


def _contents(path: Path) -> dict[str, bytes]:
    """Read the members that may be images; those that are counted only are empty."""
    contents: dict[str, bytes] = {}
    total = 0
    for count, (name, content) in enumerate(_zip_members(path) if is_zip(path) else _tar_members(path)):
        if count == MOST_FILES:
            raise DataError(f"{path} has more than {MOST_FILES:,} members: needed is a smaller archive")
        if content is None:
            continue
        if name in contents:
            raise DataError(f"{path} holds {quoted(name, 200)} twice: which one is meant? Pack it again")
        contents[name] = content
        total += len(content)
        _check_total(total, path)
    return contents


def _unread(name: str) -> tuple[bool, bytes | None]:
    """Whether a member need not be read, and what stands for it: None for hidden ones, b"" for those to be counted."""
    if is_junk(name):
        return True, None
    return not may_be_picture(name), b""


def _zip_members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_total(sum(each.file_size for each in members), path)
        for member in members:
            if member.is_dir():
                continue
            name = safe_name(member.filename, path)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise _not_regular(name, path)
            unread, instead = _unread(name)
            if unread:
                yield name, instead
                continue
            _check_size(member.file_size, name, path)
            if member.flag_bits & 1:
                raise DataError(f"{path}: {quoted(name)} is encrypted: needed is an archive without a password")
            with archive.open(member) as file:
                yield name, _read(file, member.file_size, name, path)


def _tar_members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    with _open_tar(path) as file:
        measured = _Measured(file, path)
        archive = tarfile.open(fileobj=measured, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115 - `file` is closed
        before = -1
        # Iterated, not listed; and `members` is emptied, or it would keep each of two million.
        while (member := archive.next()) is not None:
            archive.members = []
            if member.offset <= before:
                raise DataError(f"{path} is damaged: its members run backwards; needed is a whole archive")
            before = member.offset
            if member.isdir():
                continue
            name = safe_name(member.name, path)
            if not member.isreg() or member.issparse():
                raise _not_regular(name, path)
            unread, instead = _unread(name)
            if unread:
                yield name, instead
                continue
            _check_size(member.size, name, path)
            content = archive.extractfile(member)
            assert content is not None
            yield name, _read(content, member.size, name, path)
        if not measured.last:  # tarfile takes a file that was cut between two members for a whole one
            raise DataError(f"{path} breaks off: it lacks the mark at its end; needed is a whole archive")
        if measured.packed:
            while file.read(_CHUNK):  # to the end, where compressed files have their checksum
                _check_total(file.tell(), path)


def _read(file: IO[bytes], size: int, name: str, path: Path) -> bytes:
    """Read a member piece by piece: what is announced but not there takes no memory."""
    pieces = []
    missing = size
    while missing > 0 and (piece := file.read(min(missing, _CHUNK))):
        pieces.append(piece)
        missing -= len(piece)
    if missing:
        raise DataError(f"{path} is damaged: {quoted(name)} breaks off; needed is a whole archive")
    return b"".join(pieces)


def _check_size(size: int, name: str, path: Path) -> None:
    if size > MOST_MEMBER_BYTES:
        raise DataError(
            f"{path}: {quoted(name)} has {size:,} bytes: at most {MOST_MEMBER_BYTES:,} are read of one image in an "
            "archive; unpack it and give the folder"
        )


def _check_total(total: int, path: Path) -> None:
    if total > _SMALL_BYTES and total > MOST_GROWTH * path.stat().st_size:
        raise DataError(
            f"{path} of {path.stat().st_size:,} bytes holds more than {MOST_GROWTH} times as much, as bombs do: needed "
            "is an archive of images; if it is one, unpack it and give the folder"
        )
    if total > MOST_BYTES:
        raise DataError(
            f"{path} holds more than {MOST_BYTES >> 30} GiB: needed is less, since archives are read into memory; "
            "unpack it and give the folder"
        )


def _not_regular(name: str, path: Path) -> DataError:
    return DataError(
        f"{path}: {quoted(name, 200)} is a link, a device or a sparse file: needed are regular files; pack it again "
        "without (tar -h follows links)"
    )


def _open_tar(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    for magic, opener in _OPENERS:
        if start.startswith(magic):
            return opener(path, "rb")  # type: ignore[no-any-return]
    return path.open("rb")


class _Measured:
    """A file for tarfile that refuses to be read beyond the cap, or in pieces that only a hostile header asks for."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path, self.last = file, path, b""
        self.packed = not isinstance(file, io.BufferedReader)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise DataError(f"{self.path} is damaged: a header announces {size:,} bytes; needed is a whole archive")
        self.last = self.file.read(size)
        return self.last

    def seek(self, place: int) -> int:
        _check_total(place, self.path)
        return self.file.seek(place)

    def tell(self) -> int:
        return self.file.tell()
