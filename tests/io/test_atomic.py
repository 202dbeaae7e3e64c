"""Files that are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from modelzero.io.atomic import append_bytes, replacing, whole_file, write_whole


def test_a_file_is_replaced_at_the_end_of_the_block():
    """Until then the old one is there; afterwards nothing else is."""
    Path("a.txt").write_text("old")
    with whole_file(Path("a.txt")) as temporary:
        temporary.write_text("new")
        assert Path("a.txt").read_text() == "old"
    assert {each.name: each.read_text() for each in Path().iterdir()} == {"a.txt": "new"}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk")])
def test_whatever_happens_the_old_file_stays(error):
    Path("a.txt").write_text("old")

    def write():
        with whole_file(Path("a.txt")) as temporary:
            temporary.write_text("new")
            raise error

    with pytest.raises(type(error)):
        write()
    assert {each.name: each.read_text() for each in Path().iterdir()} == {"a.txt": "old"}


def test_a_replaced_file_keeps_its_permissions():
    Path("a.csv").write_text("old")
    Path("a.csv").chmod(0o640)
    with replacing("a.csv", [".csv"]) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(Path("a.csv").stat().st_mode) == 0o640


def test_bytes_are_appended_and_written_whole(monkeypatch):
    """Also where the system takes one byte at a time."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, content: write(file, bytes(content[:1])))
    write_whole(Path("a"), b"abc")
    append_bytes(Path("a"), b"def")
    assert Path("a").read_bytes() == b"abcdef"
