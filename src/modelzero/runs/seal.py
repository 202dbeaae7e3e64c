"""Checksums that show whether a stored document or file is intact."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelzero.io.json import from_json, to_json
from modelzero.runs.record import StoredFile

# Stands near the beginning of a sealed document, so that one with a damaged end is not mistaken for an unsealed one.
_SEALED = {"sealed": "sha256"}
_DOCUMENT = re.compile('(.*),\n  "checksum": "([0-9a-f]{64})"\n}\n', re.DOTALL)


class DamagedError(ValueError):
    """The document was changed after it was written."""


def sealed(record: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Add the checksum of a record's JSON to the record as its last field; return the record and its JSON.

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
        DamagedError: it was changed after it was written; only with `check`.
        ValueError: the text is not JSON.
    """
    record: dict[str, Any] = from_json(text)
    if not isinstance(record, dict):
        raise ValueError("not a record")  # noqa: TRY004 - the same error as for other text
    if check and ("sealed" in record or "checksum" in record):
        parts = _DOCUMENT.fullmatch(text)
        if parts is None or parts[2] != _hash(parts[1]):
            raise DamagedError("checksum mismatch")
    return record


def fingerprint(path: Path) -> StoredFile:
    """Return the size and SHA-256 of a file."""
    with path.open("rb") as file:
        return StoredFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
