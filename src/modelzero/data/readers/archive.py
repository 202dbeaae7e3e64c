"""Read zip and tar archives of class folders, member by member, into memory: nothing is written to disk."""

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

from modelzero.data.readers.folder import MOST_FILES, arrange, is_junk, may_be_image
from modelzero.data.readers.listing import Item, Listing
from modelzero.data.splits import class_order
from modelzero.errors import DataError, quoted
from modelzero.text import reason

MOST_MEMBER_BYTES = 64 << 20
MOST_BYTES = 8 << 30
# The largest ratio of content to archive, checked above some megabytes of content. Image files are compressed already
# and grow by a few percent, bitmaps about tenfold; a bomb a thousandfold or more.
MOST_GROWTH, _SMALL_BYTES = 50, 64 << 20
_CHUNK = 1 << 20
# Headers, including those of long names, are read in one piece; no valid one is larger.
_MOST_HEADER_BYTES = 4 << 20
_OPENERS: tuple[tuple[bytes, Any], ...] = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


def read_archive(path: Path) -> Listing:
    """Read the images of a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz that holds class folders.

    Args:
        path: the archive; recognised by its content, not by its name.

    Raises:
        DataError: a damaged archive, an unsafe path, a link or device, too many members or bytes, or no class folders.
    """
    try:
        contents = _contents(path)
    except DataError:
        raise
    except Exception as error:
        # On a damaged archive zipfile and tarfile raise almost anything, even IndexError.
        raise DataError(
            f"{path} is damaged or not an archive ({reason(error)}): expected a complete .zip or .tar"
        ) from None
    arranged, notes = arrange(contents, str(path))
    items = tuple(Item(name, label, split, None, contents[name]) for name, label, split in arranged)
    classes = class_order(item.label for item in items)
    name = path.name.split(".")[0] or path.name
    return Listing(name, str(path), items, classes, tuple(notes))


def is_zip(path: Path) -> bool:
    """Return whether a file begins with a zip signature."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def is_tar(path: Path) -> bool:
    """Return whether a file is a tar archive, compressed or not."""
    try:
        with _open_tar(path) as file:
            block = file.read(512)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except Exception:  # decompressors raise all kinds of errors on other content
        return False
    return True


def safe_name(name: str, source: object) -> str:
    r"""Return the path of an archive member or of a table's file with forward slashes; refuse an unsafe one.

    >>> safe_name("./cat\\1.png", "pets.zip")
    'cat/1.png'

    Raises:
        DataError: the path is absolute or empty, or has a drive, a null byte or `..` in it.
    """
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) > 1 and parts[0][1] == ":"
    if (parts[0] == "" and len(parts) > 1) or drive or ".." in parts or "\0" in name or "://" in name:
        raise DataError(
            f"{source}: unsafe path {quoted(name, 200)}: expected a relative path without '..', a drive or a "
            "leading slash"
        )
    inner = "/".join(part for part in parts if part not in ("", "."))
    if not inner:
        raise DataError(f"{source}: {quoted(name, 200)} is not a file name: expected the path of an image")
    return inner


def _contents(path: Path) -> dict[str, bytes]:
    """Read the members that may be images; the others, which are only counted, stay empty."""
    contents: dict[str, bytes] = {}
    total = 0
    for count, (name, content) in enumerate(_zip_members(path) if is_zip(path) else _tar_members(path)):
        if count == MOST_FILES:
            raise DataError(f"{path} has more than {MOST_FILES:,} members: use a smaller archive")
        if content is None:
            continue
        if name in contents:
            raise DataError(f"{path} contains {quoted(name, 200)} twice: expected each name once; pack it again")
        contents[name] = content
        total += len(content)
        _check_total(total, path)
    return contents


def _unread(name: str) -> tuple[bool, bytes | None]:
    """Return whether to skip a member, and its placeholder: None for hidden files, b"" for files to count."""
    if is_junk(name):
        return True, None
    return not may_be_image(name), b""


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
                raise DataError(f"{path}: {quoted(name)} is encrypted: expected an archive without a password")
            with archive.open(member) as file:
                yield name, _read(file, member.file_size, name, path)


def _tar_members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    with _open_tar(path) as file:
        measured = _Measured(file, path)
        archive = tarfile.open(fileobj=measured, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115 - `file` is closed
        before = -1
        # Iterate and keep `members` empty: otherwise it would hold up to two million entries.
        while (member := archive.next()) is not None:
            archive.members = []
            if member.offset <= before:
                raise DataError(f"{path} is damaged: its members are out of order; expected an intact archive")
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
        if not measured.last:  # tarfile accepts a file that was cut between two members
            raise DataError(f"{path} is truncated: it has no end-of-archive marker; expected a complete archive")
        if measured.packed:
            while file.read(_CHUNK):  # to the end, where compressed files keep their checksum
                _check_total(file.tell(), path)


def _read(file: IO[bytes], size: int, name: str, path: Path) -> bytes:
    """Read a member in chunks, so that a false size allocates no memory."""
    pieces = []
    missing = size
    while missing > 0 and (piece := file.read(min(missing, _CHUNK))):
        pieces.append(piece)
        missing -= len(piece)
    if missing:
        raise DataError(f"{path} is damaged: {quoted(name)} is truncated; expected a complete archive")
    return b"".join(pieces)


def _check_size(size: int, name: str, path: Path) -> None:
    if size > MOST_MEMBER_BYTES:
        raise DataError(
            f"{path}: {quoted(name)} has {size:,} bytes: expected at most {MOST_MEMBER_BYTES:,} for an image in an "
            "archive; unpack it and give the folder"
        )


def _check_total(total: int, path: Path) -> None:
    if total > _SMALL_BYTES and total > MOST_GROWTH * path.stat().st_size:
        raise DataError(
            f"{path} ({path.stat().st_size:,} bytes) unpacks to more than {MOST_GROWTH} times its size, as a "
            "decompression bomb does: expected an archive of images; if it is one, unpack it and give the folder"
        )
    if total > MOST_BYTES:
        raise DataError(
            f"{path} unpacks to more than {MOST_BYTES >> 30} GiB, too much to read into memory: unpack it and give the "
            "folder"
        )


def _not_regular(name: str, path: Path) -> DataError:
    return DataError(
        f"{path}: {quoted(name, 200)} is a link, a device or a sparse file: expected regular files; pack it again "
        "without it (tar -h follows links)"
    )


def _open_tar(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    for magic, opener in _OPENERS:
        if start.startswith(magic):
            return opener(path, "rb")  # type: ignore[no-any-return]
    return path.open("rb")


class _Measured:
    """A file for tarfile that refuses reads beyond the limit, or of a size that only a hostile header asks for."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path, self.last = file, path, b""
        self.packed = not isinstance(file, io.BufferedReader)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise DataError(f"{self.path} is damaged: a header declares {size:,} bytes; expected an intact archive")
        self.last = self.file.read(size)
        return self.last

    def seek(self, place: int) -> int:
        _check_total(place, self.path)
        return self.file.seek(place)

    def tell(self) -> int:
        return self.file.tell()
