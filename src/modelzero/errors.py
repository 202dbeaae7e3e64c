"""Every error that modelzero raises on purpose.

    ModelZeroError
    ├── InputError            unusable input from the user: the commands exit with 2
    │   ├── DataError         images, labels, files, downloads
    │   │   └── DataUnavailableError   a named dataset that is neither on this machine nor downloadable
    │   ├── ModelError        a model's name, its factory, or what it returns
    │   ├── SettingError      a number or word outside its range
    │   └── RunError          a run folder that cannot be written or read
    ├── TrainingError         a training that started but could not finish: the commands exit with 1
    │   └── UnfinishedError   whose folder can no longer be written; it is a RunError too
    └── ExportError           a file that does not compute what the run computes: the commands exit with 1

Each message is one line: what was found, what was expected, what to do.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Sequence
from numbers import Real
from pathlib import Path


class ModelZeroError(Exception):
    """The base class of all errors that modelzero raises on purpose."""


class InputError(ModelZeroError):
    """Unusable input from the user."""


class DataError(InputError):
    """Unusable images, labels, files or downloads."""


class DataUnavailableError(DataError):
    """A named dataset that is neither on this machine nor downloadable."""


class ModelError(InputError):
    """A model that is unknown, cannot be built, or does not fit the data."""


class SettingError(InputError):
    """A setting outside its range."""


class RunError(InputError):
    """A run folder that cannot be written or read."""


class TrainingError(ModelZeroError):
    """A training that started but could not finish; its run is recorded as failed.

    Args:
        what: what happened.
        folder: where it is recorded; None if it is not.
    """

    def __init__(self, what: str, folder: Path | None = None) -> None:
        super().__init__(what if folder is None else f"{what}; recorded in {folder}")
        self.what = what


class UnfinishedError(TrainingError, RunError):
    """A training that started but whose folder can no longer be written; what was complete is still there."""


class ExportError(ModelZeroError):
    """A file for other programs that does not compute what the run computes."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known names, for the end of an "unknown name" message.

    >>> nearest("modle0", ["model0", "model1", "tinyvgg"])
    "did you mean 'model0' or 'model1'?"
    >>> nearest("zzz", ["model0"])
    "known: 'model0'"
    """
    known = list(known)
    close = difflib.get_close_matches(name.lower(), known, n=2)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"known: {', '.join(map(repr, known))}"


def some(names: Sequence[str], most: int = 3) -> str:
    """List the first few names for a message, each cut to 40 characters.

    >>> some(["a", "b", "c", "d", "e"])
    "'a', 'b', 'c' and 2 more"
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(quoted(name) for name in names[:most]) + more


def quoted(name: str, most: int = 40) -> str:
    """Quote a name for any terminal: escape what cannot be printed, and cut a long one."""
    return repr(name if len(name) <= most else name[: most - 3] + "...")


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Write a count with its noun, in the singular or plural.

    >>> counted(1, "class", "classes"), counted(2000, "file")
    ('1 class', '2,000 files')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def as_number(value: object) -> float:
    """Return a number as a float: NaN for what is no number, infinity for what is too large for a float.

    >>> as_number(3), as_number("3"), as_number(10**400)
    (3.0, nan, inf)
    """
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.inf


def check_count(name: str, value: object, most: int = 2**31 - 1) -> int:
    """Return the value as an int, or raise SettingError unless it is a whole number from 1 to `most`.

    numpy's integers are accepted, so that `for seeds in np.arange(1, 5)` works.

    >>> check_count("batch_size", 0)
    Traceback (most recent call last):
    modelzero.errors.SettingError: batch size 0: expected a whole number of at least 1
    """
    return _whole(name, value, 1, most)


def check_seed(seed: object) -> int:
    """Return the seed as an int, or raise SettingError unless it is a whole number from 0 to 2**63 - 1."""
    return _whole("seed", seed, 0, 2**63 - 1)


def check_margin(margin: object) -> float:
    """Return the margin as a float, or raise SettingError unless it is a fraction between 0 and 1."""
    if not isinstance(margin, float) or not 0 < margin < 1:
        raise SettingError(
            f"margin {repr(margin)[:40]}: expected a fraction between 0 and 1, such as 0.003 for 0.3 points"
        )
    return margin


def _whole(name: str, value: object, least: int, most: int) -> int:
    number = operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else None
    shown = f"{name.replace('_', ' ')} {repr(value)[:40]}"
    if number is None or number < least:
        raise SettingError(f"{shown}: expected a whole number of at least {least}")
    if number > most:
        raise SettingError(f"{shown}: expected at most {most}")
    return number
