"""Names and messages that others chose, made fit to be printed and drawn. It uses nothing, so every room may use it."""

from __future__ import annotations

import re
import unicodedata

_JOINER = "\u200d"  # within emoji and some scripts, the only invisible character that belongs to what is seen
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols by their category, but blank

_ADDRESS = re.compile(r"<(?:\w+\.)*(\w+) object at 0x[0-9a-f]+>")


def plain(text: str, most: int | None = 40) -> str:
    r"""Return one line of visible characters, shortened; what could turn, hide or break a line is spelled out.

    Control characters, marks that change the direction of writing, blanks that are no spaces and halves of surrogate
    pairs become escapes. What would be nothing but blank is spelled out as a whole.

    >>> plain("two\nlines"), plain("\u202egnp.exe"), plain("x" * 300, most=5)
    ('two lines', '\\u202egnp.exe', 'xxxx…')
    >>> plain(" "), plain("\u200b"), plain("\x1b[31mred")
    ('\\u0020', '\\u200b', '\\u001b[31mred')

    Args:
        text: any string.
        most: characters to keep; None keeps all.
    """
    line = " ".join(text.split())
    if text and not line:
        line = "".join(map(_escaped, text))
    kept = line if most is None else line[: most + 1]  # an escape is longer than what it stands for
    shown = "".join(
        character if character == _JOINER and _joins(line, place) else _visible(character)
        for place, character in enumerate(kept)
    )
    return shown if most is None or len(shown) <= most else shown[: most - 1].rstrip(_JOINER) + "…"


def reason(error: BaseException, most: int = 120) -> str:
    r"""Return what somebody else's code says went wrong, in one line that can be printed.

    >>> reason(ValueError("no such\n byte \x0f")), reason(KeyError())
    ('no such byte \\u000f', 'KeyError')
    >>> reason(ValueError(f"malformed node {object()!r}"))
    'malformed node object'
    """
    return plain(_ADDRESS.sub(r"\1", str(error)), most) or type(error).__name__


def _visible(character: str) -> str:
    return _escaped(character) if _is_hidden(character) else character


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" or character in _FILLERS


def _joins(line: str, place: int) -> bool:
    """Whether a joiner has something to join on both sides."""
    return 0 < place < len(line) - 1 and not any(
        neighbour == " " or _is_hidden(neighbour) for neighbour in (line[place - 1], line[place + 1])
    )


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
