"""Store a fitted scikit-learn classifier as a file of skops, which is data, not a pickle, and read it back.

skops (the extra `sklearn-files`) names every type in a file before it creates anything, so that a file cannot make its
reader run code of the file's choice.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import shlex
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

from modelzero.errors import ModelError
from modelzero.models.rungs import look_in_this_folder

INSTALL = "pip install 'modelzero[sklearn-files]'"
# The functions there compute statistics of columns; SelectKBest stores one of them.
_SCORES = "sklearn.feature_selection._univariate_selection"
_LONGEST_MESSAGE = 300


def is_installed() -> bool:
    """Return whether skops is installed; importing it takes seconds, because it imports all of scikit-learn."""
    return importlib.util.find_spec("skops") is not None


def as_file(classifier: Any) -> bytes:
    """Return the content of a file that holds a fitted classifier.

    Raises:
        ModelError: skops cannot store it, or could not read it back, because it holds a lambda or a local class.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from skops.io import dumps, get_untrusted_types

            content: bytes = dumps(classifier)
            for name in get_untrusted_types(data=content):
                _found(name)
    except Exception as error:
        raise ModelError(f"a {type(classifier).__name__} that skops cannot store: {_short(error)}") from error
    return content


def from_file(content: bytes, trusted: Sequence[str] = ()) -> Any:
    """Read a classifier that `as_file` wrote.

    Trusted are the types that skops trusts (estimators of scikit-learn, arrays and mathematical functions of numpy and
    scipy), all other classes that scikit-learn defines, such as its trees, and those named in `trusted`.

    Args:
        content: of the file.
        trusted: names of further types, such as `mine.Blur`, whose modules may be imported.

    Raises:
        ModelError: skops is not installed, the file holds other types, or one of them cannot be imported.
        ValueError: the file is damaged.
    """
    if not is_installed():
        raise ModelError(f"a classifier stored with skops, which is not installed: {INSTALL}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skops.io import get_untrusted_types, loads
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.infolist()):
                raise ValueError("it is compressed")  # noqa: TRY301 - a small file could fill the memory
        named = get_untrusted_types(data=content)
    except Exception as error:
        raise ValueError(_short(error)) from error
    unknown = [name for name in named if name not in trusted and not _is_of_sklearn(name)]
    if unknown:
        raise ModelError(
            f"the stored classifier uses {', '.join(unknown)}: expected only types of scikit-learn, numpy and scipy; "
            f"if you trust that code, add {' '.join(f'--trust {shlex.quote(name)}' for name in unknown)} "
            f"(trusted={unknown!r} in Python)"
        )
    if trusted:
        look_in_this_folder()
    for name in named:
        try:
            _found(name)
        except Exception as error:
            raise ModelError(
                f"the stored classifier uses {name}, which cannot be imported ({_short(error)}): "
                "expected the code that it was trained with"
            ) from error
    try:
        return loads(content, trusted=named)
    except Exception as error:
        raise ValueError(_short(error)) from error


def _short(error: Exception) -> str:
    """Describe an error in one line, without the paths of this machine, because it may be stored in a record."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_MESSAGE]}"


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _is_of_sklearn(name: str) -> bool:
    """Return whether a name is that of a class that scikit-learn itself defines, or of a score of columns.

    Not of any function: some remove folders.
    """
    if not name.startswith("sklearn."):
        return False
    try:
        found = _found(name)
    except (ImportError, AttributeError):
        return False
    if inspect.isclass(found):
        return found.__module__.startswith("sklearn.")  # not one that scikit-learn only imports
    return inspect.isfunction(found) and found.__module__ == _SCORES
