"""The IDX format of the MNIST family: two zero bytes, a type code, the dimensions, then big-endian numbers.

Format: "THE IDX FILE FORMAT" in Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import math
import sys
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from modelzero.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 20
_MOST_DIMENSIONS = 8
_MOST_NUMBERS = 1 << 48


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read one IDX file, plain or gzipped (detected from its content, not its name).

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.idx"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> read_idx(path)
    array([7, 8, 9], dtype=uint8)

    Args:
        path: the file; its name does not matter.

    Returns:
        The array in the file's shape, in the machine's byte order: u1, i1, i2, i4, f4 or f8.

    Raises:
        DataError: the file cannot be read, is not IDX, is truncated or too long, or its gzip is damaged.
    """
    return parse_idx(*read_content(path))


def read_content(path: str | Path) -> tuple[bytearray, str]:
    """Return the decompressed bytes of an IDX file, at most one more than its header announces, and its path."""
    path = Path(path)
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                return read_announced(raw, str(path)), str(path)
            with gzip.GzipFile(fileobj=raw) as unzipped:
                return read_announced(unzipped, str(path)), str(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: its gzip is truncated or damaged ({error}): expected a complete file; fetch it again"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}): check the path and its permissions"
        ) from None


def parse_idx(content: bytearray, name: str) -> NDArray[Any]:
    """Turn the bytes of an IDX file into an array; `name` is its name in messages."""
    dtype, shape, start = _header(content, name)
    announced = math.prod(shape) * dtype.itemsize
    found = len(content) - start
    if found != announced:
        trouble = "is truncated" if found < announced else "is too long"
        more = "" if found < announced else "at least "
        raise DataError(
            f"{name} {trouble}: {more}{found} bytes of content, but its header declares {announced} "
            f"for shape {list(shape)}; fetch the file again"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(content: bytearray, name: str) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return the number type, the shape and the offset of the content."""
    magic = content[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or magic[3] == 0:
        codes = ", ".join(f"{code:02x}" for code in TYPES)
        raise DataError(
            f"{name} is not an IDX file: it begins with '{magic.hex(' ')}', expected two zero bytes, a type code "
            f"({codes}) and a number of dimensions; check that this is the right file"
        )
    if magic[3] > _MOST_DIMENSIONS:
        raise DataError(
            f"{name} declares {magic[3]} dimensions: expected at most {_MOST_DIMENSIONS}; is it an IDX file?"
        )
    start = 4 + 4 * magic[3]
    if len(content) < start:
        raise DataError(
            f"{name} is truncated: {len(content)} bytes, but its header alone takes {start}; fetch the file again"
        )
    shape = tuple(np.frombuffer(content, ">u4", count=magic[3], offset=4).tolist())
    # A size of 0 would hide an absurd one beside it; numpy still counts the bytes of the others.
    if math.prod(max(size, 1) for size in shape) > _MOST_NUMBERS:
        raise DataError(f"{name} declares shape {list(shape)}, too large for any memory; fetch the file again")
    return np.dtype(TYPES[magic[2]]), shape, start


def read_announced(file: IO[bytes] | gzip.GzipFile, name: str, *, most_bytes: int = sys.maxsize) -> bytearray:
    """Read what the header announces plus one byte (to detect a file that is too long), in chunks.

    In chunks, because a header may announce terabytes: only bytes that exist are held in memory.
    """
    content = bytearray(file.read(4))
    content += file.read(4 * content[3] if len(content) == 4 else 0)
    dtype, shape, _ = _header(content, name)
    missing = math.prod(shape) * dtype.itemsize + 1
    if missing > most_bytes:
        raise DataError(f"{name} declares {missing - 1} bytes of content: expected at most {most_bytes}")
    while missing > 0 and (piece := file.read(min(missing, _CHUNK))):
        content += piece
        missing -= len(piece)
    return content
