"""The IDX reader against bytes that are written by hand."""

import gzip
import itertools
import os
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelzero.data.readers.idx import read_idx
from modelzero.errors import DataError

# The type's code in the file, its letter in `struct`, its name in numpy, and values at the ends of its range.
TYPES = {
    "u1": (0x08, "B", (0, 255, 1, 128)),
    "i1": (0x09, "b", (-128, 127, -1, 0)),
    "i2": (0x0B, "h", (-32768, 32767, -2, 258)),
    "i4": (0x0C, "i", (-(2**31), 2**31 - 1, -3, 16909060)),
    "f4": (0x0D, "f", (0.5, -1.25, float("inf"), 3.0)),
    "f8": (0x0E, "d", (0.1, -1e300, float("-inf"), 3.0)),
}
SHAPES = [(5,), (2, 3), (2, 3, 4), (2, 1, 3, 2)]


def idx_bytes(name, shape, values):
    """Write an IDX file as its format says."""
    code, letter, _ = TYPES[name]
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)
    return header + struct.pack(f">{len(values)}{letter}", *values)


def nested(values, shape):
    """Nest a flat list, the last dimension running fastest."""
    if len(shape) == 1:
        return list(values)
    step = len(values) // shape[0]
    return [nested(values[step * i : step * (i + 1)], shape[1:]) for i in range(shape[0])]


PIXELS = idx_bytes("u1", (2, 3, 4), range(24))


@pytest.fixture
def written(tmp_path):
    """Write these bytes to a file with a name that says nothing; return its path."""

    def write(content):
        path = tmp_path / "some-file"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", TYPES)
def test_every_type_in_every_shape(written, name, shape, pack):
    """Values, shape and type come back, in the machine's byte order, and the array can be written to."""
    count = np.prod(shape)
    values = list(itertools.islice(itertools.cycle(TYPES[name][2]), count))
    array = read_idx(written(pack(idx_bytes(name, shape, values))))
    assert array.tolist() == nested(values, shape)
    assert array.dtype == np.dtype(name)
    assert array.dtype.isnative
    assert array.shape == shape
    array[...] = 1
    assert (array == 1).all()


@st.composite
def idx_contents(draw):
    """Type name, shape and values."""
    name = draw(st.sampled_from(sorted(TYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    if name in {"f4", "f8"}:
        element = st.floats(width=int(name[1]) * 8, allow_nan=False)
    else:
        info = np.iinfo(name)
        element = st.integers(int(info.min), int(info.max))
    size = int(np.prod(shape))
    return name, shape, draw(st.lists(element, min_size=size, max_size=size))


@given(content=idx_contents(), zipped=st.booleans())
@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_was_written_is_read(tmp_path, content, zipped):
    """Any values of any type and shape come back to the bit."""
    name, shape, values = content
    data = idx_bytes(name, shape, values)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(data, 1) if zipped else data)
    array = read_idx(path)
    assert array.shape == shape
    assert array.dtype == np.dtype(name)
    assert struct.pack(f">{len(values)}{TYPES[name][1]}", *array.ravel().tolist()) == data[4 + 4 * len(shape) :]


def test_path_may_be_text_and_its_name_plays_no_part(tmp_path):
    """A gzipped file without .gz and a plain one with .gz are both told apart by content."""
    (tmp_path / "plain.gz").write_bytes(PIXELS)
    (tmp_path / "zipped").write_bytes(gzip.compress(PIXELS))
    for name in ("plain.gz", "zipped"):
        assert read_idx(str(tmp_path / name)).tolist() == nested(range(24), (2, 3, 4))


def test_gzip_in_two_members_is_one_file(written):
    """A gzip may consist of several members, one after the other."""
    assert read_idx(written(gzip.compress(PIXELS[:11]) + gzip.compress(PIXELS[11:]))).shape == (2, 3, 4)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("length", range(len(PIXELS)))
def test_file_that_breaks_off(written, refuses, length, pack):
    """Cut at any byte, in magic, header or content, a file is refused by name, with what was found."""
    path = written(pack(PIXELS[:length]))
    expected = "is not an IDX file" if length < 4 else "is truncated"
    with refuses(DataError, path, expected):
        read_idx(path)


def test_truncated_content_says_how_much_is_missing(written, refuses):
    """The message gives the bytes found and the bytes that the header announces."""
    with refuses(DataError, "23 bytes", "declares 24", "[2, 3, 4]"):
        read_idx(written(PIXELS[:-1]))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("extra", [1, 100, 3_000_000])
def test_over_long_file(written, refuses, extra, pack):
    """A single byte more than the header announces is refused."""
    path = written(pack(PIXELS + bytes(extra)))
    with refuses(DataError, path, "too long", "at least 25 bytes", "declares 24"):
        read_idx(path)


@pytest.mark.parametrize(
    "magic",
    [
        b"\x00\x01\x08\x03",  # the second byte is not zero
        b"\x01\x00\x08\x03",  # the first byte is not zero
        b"\x03\x08\x00\x00",  # the other byte order
        b"\x00\x00\x00\x03",  # no such type
        b"\x00\x00\x0a\x03",  # a code between two known ones
        b"\x00\x00\x0f\x03",
        b"\x00\x00\xff\x03",
        b"\x00\x00\x08\x00",  # no dimensions
        b"\x89PNG",
        b"<!DO",
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_wrong_magic(written, refuses, magic, pack):
    """A wrong magic number is refused, and the message shows the bytes that were found."""
    path = written(pack(magic + PIXELS[4:]))
    with refuses(DataError, path, "not an IDX file", magic.hex(" ")):
        read_idx(path)


def test_gzip_that_breaks_off_anywhere(written, refuses):
    """A gzip that is cut at any byte, in header, content, CRC or length, is refused."""
    noise = random.Random(0).randbytes(60)
    zipped = gzip.compress(idx_bytes("u1", (3, 20), noise))
    for length in range(len(zipped)):
        path = written(zipped[:length])
        with refuses(DataError, path):
            read_idx(path)
    assert read_idx(written(zipped)).tobytes() == noise


@pytest.mark.parametrize("position", [-8, -5, -4, -1], ids=["crc", "crc end", "length", "length end"])
def test_gzip_with_wrong_trailer(written, refuses, position):
    """A wrong CRC-32 or a wrong length at the end of the gzip is refused, though the content could be read."""
    zipped = bytearray(gzip.compress(PIXELS))
    zipped[position] ^= 1
    path = written(zipped)
    with refuses(DataError, path, "gzip", "damaged"):
        read_idx(path)


def test_gzip_with_damaged_content(written, refuses):
    """One wrong byte anywhere in the compressed content is never read as numbers."""
    zipped = gzip.compress(idx_bytes("u1", (3, 20), random.Random(1).randbytes(60)))
    for position in range(10, len(zipped)):
        broken = bytearray(zipped)
        broken[position] ^= 0xFF
        path = written(broken)
        with refuses(DataError, path):
            read_idx(path)


def test_rubbish_after_the_gzip(written, refuses):
    """Bytes after the end of the gzip are refused."""
    path = written(gzip.compress(PIXELS) + b"rubbish")
    with refuses(DataError, path):
        read_idx(path)


def test_no_such_file(tmp_path, refuses):
    """A file that is not there is refused by name, with the system's reason."""
    with refuses(DataError, tmp_path / "absent", "No such file"):
        read_idx(tmp_path / "absent")


def test_a_folder(tmp_path, refuses):
    """A folder in place of a file is refused by name, with the system's reason."""
    with refuses(DataError, tmp_path, "s a directory"):
        read_idx(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_unreadable_file(written, refuses):
    """A file without read permission is refused by name, with the system's reason."""
    path = written(PIXELS)
    path.chmod(0)
    with refuses(DataError, path, "Permission denied"):
        read_idx(path)


def peak_bytes(path, refuses):
    """The most memory that a refused reading ever held."""
    tracemalloc.start()
    try:
        with refuses(DataError, path):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "content"),
    [((0, 2**32 - 1, 2**32 - 1), b""), ((1,) * 65, b"\7"), ((2**32 - 1,) * 255, b"")],
    ids=["empty but huge", "65 dimensions", "255 dimensions"],
)
def test_shape_that_no_array_can_have(written, refuses, shape, content):
    """A shape beyond what numpy can hold is refused, in a line that can be read, even where the content fits it."""
    path = written(idx_bytes("u1", shape, content))
    with refuses(DataError, path) as caught:
        read_idx(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**32 - 1,) * 4], ids=["2**40", "2**128"])
def test_huge_announcement_costs_no_memory(written, refuses, shape, pack):
    """A header that announces a terabyte or more costs no more memory than what is really there."""
    path = written(pack(idx_bytes("u1", shape, range(10))))
    assert peak_bytes(path, refuses) < 8 << 20


def test_gzip_bomb_costs_no_memory(written, refuses):
    """Of a gzip that holds far more than its header announces, no more than that is ever held."""
    deflate = zlib.compressobj(1, wbits=31)
    bomb = deflate.compress(PIXELS)
    for _ in range(40):
        bomb += deflate.compress(bytes(1 << 20))
    path = written(bomb + deflate.flush())
    assert peak_bytes(path, refuses) < 8 << 20
