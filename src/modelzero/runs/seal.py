"""Checksums: what is stored says itself whether it is what was written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelzero.io.json import from_json, to_json
from modelzero.runs.record import StoredFile

# What a sealed document says near its beginning, so that one whose end was damaged is not taken for one without.
_SEALED = {"sealed": "sha256"}
_DOCUMENT = re.compile('(.*),\n  "checksum": "([0-9a-f]{64})"\n}\n', re.DOTALL)


class DamagedError(ValueError):
    """Not what was written."""


def sealed(record: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a record with the checksum of its JSON up to there as the last field, and its JSON.

    >>> record, text = sealed({"format": 1, "seed": 42})
    >>> list(record)
    ['format', 'sealed', 'seed', 'checksum']
    >>> unsealed(text) == record
    True
    >>> unsealed(text.replace("42", "43"))
    Traceback (most recent call last):
    modelzero.runs.seal.DamagedError: checksum mismatch
    """
    rest = {key: value for key, value in record.items() if key != "checksum"}
    first = {"format": record["format"]} if "format" in record else {}
    whole = {**first, **_SEALED, **rest}
    body = to_json(whole).removesuffix("\n}")
    checksum = _hash(body)
    return {**whole, "checksum": checksum}, f'{body},\n  "checksum": "{checksum}"\n}}\n'


def unsealed(text: str, *, check: bool = True) -> dict[str, Any]:
    """Read what `sealed` wrote, or an older record without a checksum.

    Raises:
        DamagedError: it was changed after it was written; with `check` only.
        ValueError: no JSON.
    """
    record: dict[str, Any] = from_json(text)
    if not isinstance(record, dict):
        raise ValueError("no record")  # noqa: TRY004 - as of other text that is none
    if check and ("sealed" in record or "checksum" in record):
        parts = _DOCUMENT.fullmatch(text)
        if parts is None or parts[2] != _hash(parts[1]):
            raise DamagedError("checksum mismatch")
    return record


def fingerprint(path: Path) -> StoredFile:
    """Return size and SHA-256 of a file."""
    with path.open("rb") as file:
        return StoredFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
