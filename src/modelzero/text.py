"""Format numbers, and make names and messages safe to print. This module imports nothing of modelzero."""

from __future__ import annotations

import re
import unicodedata

_JOINER = "\u200d"  # part of emoji and some scripts: the only invisible character that is kept
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols by category, but blank

_ADDRESS = re.compile(r"<(?:\w+\.)*(\w+) object at 0x[0-9a-f]+>")


def plain(text: str, most: int | None = 40) -> str:
    r"""Return a text as one line of visible characters, shortened.

    Escape control characters, marks that change the direction of writing, invisible blanks and lone surrogates. Escape
    a text of nothing but blanks as a whole.

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
    r"""Return the message of an exception of other code, as one printable line.

    >>> reason(ValueError("no such\n byte \x0f")), reason(KeyError())
    ('no such byte \\u000f', 'KeyError')
    >>> reason(ValueError(f"malformed node {object()!r}"))
    'malformed node object'
    """
    return plain(_ADDRESS.sub(r"\1", str(error)), most) or type(error).__name__


def percent(share: float) -> str:
    """Show a fraction in percent, with two decimals.

    >>> percent(0.8341)
    '83.41 %'
    """
    return f"{100 * share:.2f} %"


def points(difference: float) -> str:
    """Show a difference of fractions in points, with its sign.

    >>> points(0.0489), points(-0.001)
    ('+4.89 points', '-0.10 points')
    """
    return f"{100 * difference:+.2f} points"


def ends(low: float, high: float) -> str:
    """Show the ends of an interval of a difference, in points.

    >>> ends(-0.001, 0.02)
    '-0.10 to +2.00'
    """
    return f"{100 * low:+.2f} to {100 * high:+.2f}"


def seconds(value: float) -> str:
    """Show seconds with about three digits.

    >>> seconds(0.123), seconds(12.34), seconds(1234.5)
    ('0.12', '12.3', '1,234')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def about(value: float) -> str:
    """Show a predicted time with one or two digits.

    >>> about(4.2), about(75), about(770), about(9000)
    ('4 s', '75 s', '13 min', '2.5 h')
    """
    if value < 100:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def interval(low: float, high: float) -> str:
    """Show an interval of fractions in percent.

    >>> interval(0.8, 0.905)
    '80.00 to 90.50 %'
    """
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def in_bytes(size: float) -> str:
    """Show a number of bytes with three digits.

    >>> in_bytes(999), in_bytes(31_400), in_bytes(2.5e9)
    ('999 B', '31.4 kB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _visible(character: str) -> str:
    return _escaped(character) if _is_hidden(character) else character


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character)[0] == "C" or character in _FILLERS


def _joins(line: str, place: int) -> bool:
    """Return whether a joiner has something to join on both sides."""
    return 0 < place < len(line) - 1 and not any(
        neighbour == " " or _is_hidden(neighbour) for neighbour in (line[place - 1], line[place + 1])
    )


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
