"""The settings of how images are read, split and sized: default, help and check in one place.

`mz.load`, the commands, the record and "how to repeat" use `LoadOptions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from modelzero.errors import SettingError, as_number, check_seed, nearest

FORMATS = ("folder", "idx", "npz", "npy", "csv", "parquet", "archive")
FITS = ("pad", "crop")
_MOST_PIXELS = 4096


def option(default: Any, help: str, *, flag: str | None = None, kind: type | None = None) -> Any:  # noqa: A002
    """Declare a field of a frozen dataclass that is also an option of the command line.

    Args:
        default: the default value.
        help: one line; it describes the default in brackets if that is not a plain value.
        flag: the option's name, if it differs from the field's.
        kind: the type on the command line, if it differs from the field's, such as a string that is parsed later.
    """
    return field(default=default, metadata={"help": help, "flag": flag, "kind": kind})


def flag_of(setting: Field[Any]) -> str:
    """Return the command-line option of a field."""
    return str(setting.metadata.get("flag") or f"--{setting.name.replace('_', '-')}")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """The settings of how images are read, split and sized.

    >>> LoadOptions(size="48x64").size, LoadOptions().test_share
    ((48, 64), 0.2)
    >>> LoadOptions(fit="crop", seed=3).words()
    ['--fit', 'crop', '--split-seed', '3']

    Raises:
        SettingError: a value outside its range.
    """

    format: str | None = option(None, "folder, idx, npz, npy, csv, parquet or archive.  [default: detected]")
    size: tuple[int, int] | None = option(
        None, "Resize images to this height x width, such as 64 or 48x64.  [default: from the sizes found]", kind=str
    )
    fit: str = option("pad", "pad: fit the longer side and pad; crop: fit the shorter side and crop.")
    test_share: float = option(
        0.2, "Fraction of each class to draw as the test split, if the source has none.", kind=float
    )
    seed: int = option(0, "Seed for drawing that split and --share.", flag="--split-seed")
    group: str | None = option(
        None,
        "Keep images together that share a value in this column, or a match of this pattern in their names.",
    )
    share: float = option(1.0, "Fraction of each class of the training split to use.")
    allow_unreadable: bool = option(default=False, help="Continue even if more than 1 % of the images are unreadable.")
    data_dir: str | Path | None = option(
        None, "Search this folder first for named datasets (or set MODELZERO_DATA).", kind=Path
    )

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise SettingError(f"unknown format {str(self.format)[:40]!r}: {nearest(str(self.format), FORMATS)}")
        object.__setattr__(self, "size", parse_size(self.size))
        if self.fit not in FITS:
            raise SettingError(f"fit {str(self.fit)[:40]!r}: expected 'pad' or 'crop'")
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "test_share", _fraction("test share", self.test_share))
        object.__setattr__(self, "share", _fraction("share", self.share, whole=True))
        if self.group is not None and not (isinstance(self.group, str) and self.group):
            raise SettingError(f"group {repr(self.group)[:40]}: expected the name of a column or a pattern")

    def given(self, *names: str) -> list[str]:
        """Return which of these settings, or of all if none are named, differ from their defaults."""
        return [each.name for each in fields(self) if each.name in (names or _NAMES) and _is_given(self, each)]

    @classmethod
    def flag(cls, name: str) -> str:
        """Return the command-line option of a setting.

        >>> LoadOptions.flag("test_share"), LoadOptions.flag("seed")
        ('--test-share', '--split-seed')
        """
        return flag_of(next(each for each in fields(cls) if each.name == name))

    def words(self) -> list[str]:
        """Return the command-line arguments for these settings."""
        words: list[str] = []
        for each in fields(self):
            value = getattr(self, each.name)
            if _is_given(self, each):
                words.append(flag_of(each))
                if value is not True:
                    words.append("x".join(map(str, value)) if isinstance(value, tuple) else str(value))
        return words


_NAMES = tuple(each.name for each in fields(LoadOptions))
# In the order of records; a new option comes last.
_FIRST = ("data_dir", "size", "format", "fit", "test_share", "seed", "group", "share", "allow_unreadable")
_RECORDED = (*_FIRST, *(name for name in _NAMES if name not in _FIRST))


@dataclass(frozen=True)
class Origin:
    """Where data came from and how it was loaded: everything needed to load it again.

    >>> origin = Origin.of("digits", LoadOptions(size="8x8", share=0.5))
    >>> origin.as_dict()["size"], Origin.from_dict(origin.as_dict()) == origin
    ([8, 8], True)

    Args:
        source: a catalog name, or the absolute path of a folder or file.
        options: the options of `load`.
        more: settings added by a newer version.
    """

    source: str
    options: LoadOptions
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str | Path, options: LoadOptions, *, is_name: bool = True) -> Origin:
        """Return the origin with absolute paths."""
        folder = options.data_dir
        settings = {name: getattr(options, name) for name in _NAMES}
        settings["data_dir"] = str(Path(folder).absolute()) if folder else None
        return cls(str(source) if is_name else str(Path(source).absolute()), LoadOptions(**settings))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Origin:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not that.
        """
        settings = {name: stored[name] for name in _NAMES if name in stored}
        try:
            options = LoadOptions(**settings)
        except SettingError as error:  # whoever reads a record takes it for damaged
            raise ValueError(str(error)) from None
        more = {name: value for name, value in stored.items() if name not in (*_NAMES, "source")}
        return cls(str(stored["source"]), options, more)

    def as_dict(self) -> dict[str, Any]:
        """Return it as stored in records."""
        settings = {name: getattr(self.options, name) for name in _RECORDED}
        size = self.options.size
        return {"source": self.source, **settings, "size": None if size is None else list(size), **self.more}


def parse_size(size: object) -> tuple[int, int] | None:
    """Return height and width of a size: 64, (48, 64), "64" or "48x64".

    >>> parse_size("48x64"), parse_size(64)
    ((48, 64), (64, 64))

    Raises:
        SettingError: anything else.
    """
    if size is None:
        return None
    sides: Any = size
    if isinstance(size, str):
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", size.strip())
        sides = [int(side) for side in (found[1], found[2] or found[1])] if found else size
    elif hasattr(size, "__index__"):
        sides = (size, size)
    whole = isinstance(sides, list | tuple) and len(sides) == 2 and all(hasattr(each, "__index__") for each in sides)
    if not whole or any(isinstance(each, bool) or not 1 <= each <= _MOST_PIXELS for each in sides):
        raise SettingError(
            f"size {repr(size)[:40]}: expected a number of pixels from 1 to {_MOST_PIXELS}, or height x width, such as "
            "64 or 48x64"
        )
    return int(sides[0]), int(sides[1])


def _fraction(name: str, value: object, *, whole: bool = False) -> float:
    """Return a fraction above 0 and below 1, or with `whole` also 1; or raise SettingError."""
    number = as_number(value)
    if not (0 < number < 1 or (whole and number == 1)):
        raise SettingError(
            f"{name} {repr(value)[:40]}: expected a fraction above 0 and {'at most' if whole else 'below'} 1, such as "
            "0.2 for a fifth"
        )
    return number


def _is_given(options: LoadOptions, each: Any) -> bool:
    return bool(getattr(options, each.name) != each.default)
