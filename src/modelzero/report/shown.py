"""How figures are written: one function for each kind, from the values of a JSON document.

Values may be None (nobody knows), or the words that JSON has for what is no number: "NaN", "Infinity".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from modelzero.results import words

UNKNOWN = "-"


def show(value: Any, how: str) -> str:
    """Write a value as `how` says.

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
    return "> 99.99 %" if 0.99995 <= value < 1 else words.percent(value)


def _p(value: float) -> str:
    return f"{value:.3g}" if value >= 1e-4 else "< 0.0001"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


_HOW: dict[str, Callable[[Any], str]] = {
    "percent": words.percent,
    "bare_percent": lambda value: f"{100 * value:.2f}",
    "confidence": _confidence,
    "points": lambda value: f"{100 * value:+.2f}",
    "bare_points": lambda value: f"{100 * value:.2f}",
    "plain": str,
    "count": lambda value: f"{value:,}",
    "rate": lambda value: f"{value:,.0f}",
    "seconds": lambda value: f"{value:.4f}" if value < 0.01 else words.seconds(value),
    "decimal": lambda value: f"{value:.3f}",
    "loss": lambda value: f"{value:.4f}",
    "short": lambda value: f"{value:.3g}",
    "p": _p,
    "bytes": _bytes,
}
