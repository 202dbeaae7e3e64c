"""Names that others chose, made fit to be printed and drawn."""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"  # within emoji, the only invisible character that belongs to what is seen


def plain(text: str, most: int = 40) -> str:
    r"""Return one line of visible characters, shortened; what could turn, hide or break a line is spelled out.

    Control characters, marks that change the direction of writing and halves of surrogate pairs become escapes.

    >>> plain("two\nlines"), plain("\u202egnp.exe"), plain("x" * 300, most=5)
    ('two lines', '\\u202egnp.exe', 'xxxx…')

    Args:
        text: any string.
        most: characters to keep.
    """
    text = "".join(_visible(character) for character in " ".join(text.split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def _visible(character: str) -> str:
    if unicodedata.category(character)[0] != "C" or character == _JOINER:
        return character
    return f"\\u{ord(character):04x}"
