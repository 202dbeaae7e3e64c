"""JSON of records and documents: valid everywhere, with NaN and infinity as strings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

_PLAIN = (str, int, bool)
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def to_json(value: object, *, indent: int | None = 2) -> str:
    """Write JSON with NaN and infinity as strings, since JSON has no such numbers.

    Escape lone surrogates, which stand for the bytes of a name that is not UTF-8: the result is UTF-8.

    >>> to_json({"loss": float("nan")}, indent=None)
    '{"loss": "NaN"}'
    """
    text = json.dumps(_spelled(value), indent=indent, ensure_ascii=False, allow_nan=False)
    # A lone surrogate cannot be encoded; its escape can, and means the same.
    return _HALF_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def from_json(text: str) -> Any:
    """Read JSON written by `to_json`; NaN and infinity remain strings, which `float` accepts."""
    return json.loads(text)


def _spelled(value: object) -> object:
    if value is None or type(value) in _PLAIN:  # most values; the checks below take longer
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _spelled(asdict(value))
    return value
