"""Checksums of records."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelzero.runs.record import StoredFile
from modelzero.runs.seal import DamagedError, fingerprint, sealed, unsealed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner: st.lists(inner)
)
RECORDS = st.dictionaries(st.text(), VALUES).map(lambda record: {**record, "format": 1})


@given(RECORDS)
def test_what_was_sealed_is_read_back(record):
    """With its checksum, whatever is in it; sealing it once more changes nothing."""
    whole, text = sealed(record)
    assert unsealed(text)["checksum"] == whole["checksum"]
    assert sealed(whole) == (whole, text)
    assert json.loads(text)["format"] == record["format"]


@given(st.data())
def test_every_flipped_bit_is_noticed(data):
    """Wherever it is, also in the checksum and in the words around it."""
    _, text = sealed({"format": 1, "status": "finished", "history": [{"epoch": 1, "loss": 0.25}], "note": "é"})
    content = bytearray(text.encode())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError):  # noqa: PT011 - no JSON, no text, or another checksum
        unsealed(content.decode())


@given(st.data())
def test_every_cut_end_is_noticed(data):
    """Even if only the last line break is missing."""
    _, text = sealed({"format": 1, "seed": 42})
    with pytest.raises(ValueError):  # noqa: PT011
        unsealed(text[: data.draw(st.integers(0, len(text) - 1))])


def test_records_without_a_checksum_are_read():
    """Those of earlier versions, and those that others wrote."""
    assert unsealed('{"format": 1, "seed": 42}') == {"format": 1, "seed": 42}


def test_a_changed_record_can_be_looked_at_if_one_wants_to():
    """As `replay` does."""
    _, text = sealed({"format": 1, "seed": 42})
    changed = text.replace("42", "43")
    with pytest.raises(DamagedError):
        unsealed(changed)
    assert unsealed(changed, check=False)["seed"] == 43


def test_fingerprint_is_that_of_sha256sum(tmp_path):
    """Of a file's bytes."""
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(tmp_path / "file") == StoredFile(3, expected)
