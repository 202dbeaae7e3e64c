"""Format the values of a JSON document, with one function for each kind.

Values may be None (unknown), or the strings "NaN" and "Infinity".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from modelzero.text import in_bytes, percent, seconds

UNKNOWN = "-"


def show(value: Any, how: str) -> str:
    """Format a value as `how` says.

    >>> show(0.8341, "percent"), show(0.00489, "points"), show(1234, "count"), show(None, "seconds")
    ('83.41 %', '+0.49', '1,234', '-')
    >>> show("NaN", "percent"), show("Infinity", "decimal"), show(0.99999, "confidence")
    ('-', '∞', '> 99.99 %')
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return {"NaN": UNKNOWN, "Infinity": "∞", "-Infinity": "-∞"}[value]
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else "∞" if value > 0 else "-∞"
    return _HOW[how](value)


def _confidence(value: float) -> str:
    return "> 99.99 %" if 0.99995 <= value < 1 else percent(value)


def _p(value: float) -> str:
    return f"{value:.3g}" if value >= 1e-4 else "< 0.0001"


_HOW: dict[str, Callable[[Any], str]] = {
    "percent": percent,
    "bare_percent": lambda value: f"{100 * value:.2f}",
    "confidence": _confidence,
    "points": lambda value: f"{100 * value:+.2f}",
    "bare_points": lambda value: f"{100 * value:.2f}",
    "plain": str,
    "count": lambda value: f"{value:,}",
    "rate": lambda value: f"{value:,.0f}",
    "seconds": lambda value: f"{value:.4f}" if value < 0.01 else seconds(value),
    "decimal": lambda value: f"{value:.3f}",
    "loss": lambda value: f"{value:.4f}",
    "short": lambda value: f"{value:.3g}",
    "p": _p,
    "bytes": in_bytes,
}
