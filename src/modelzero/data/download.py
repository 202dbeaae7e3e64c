"""Fetch one file from the first mirror that gives the right content."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock
from tqdm.auto import tqdm

from modelzero.errors import DataError

_CHUNK = 1 << 18
_TRIES_PER_MIRROR = 4  # each goes on where the one before was cut


def download(
    urls: Sequence[str],
    target: Path,
    check: Callable[[Path], object],
    *,
    max_bytes: int,
    timeout_seconds: float = 20,
    progress: bool | None = None,
) -> str:
    """Fetch `target` from the first of `urls` whose content passes `check`.

    The bytes go into `<target>.part`, which gets its final name only after the check. A `.part` that was cut is
    resumed, by this call or by a later one; one that fails the check is deleted and fetched anew.

    Args:
        urls: the mirrors, the preferred one first.
        target: the file to make. Its folder is made where it is missing.
        check: raises DataError when the file that it is given is not the right one.
        max_bytes: a file that grows beyond this many bytes cannot be the right one.
        timeout_seconds: how long a server may stay silent.
        progress: show a bar; None means only in a terminal.

    Returns:
        The address that gave it.

    Raises:
        DataError: no mirror gave the right content; the message names each with its reason.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock_path(target)):  # one process at a time writes the .part
            reasons = []
            for url in urls:
                reason = _fetch_checked(url, part, target, check, max_bytes, timeout_seconds, progress)
                if reason is None:
                    return url
                reasons.append(f"{url} ({' '.join(reason.split())})")
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}): choose another folder") from None
    raise DataError(f"{target.name} could not be downloaded: tried {'; '.join(reasons)}")


def _lock_path(target: Path) -> Path:
    """Put the lock where temporary files go: a lock file cannot be deleted safely, and the cache stays clean."""
    digest = hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"modelzero-{digest}.lock"


def _fetch_checked(
    url: str,
    part: Path,
    target: Path,
    check: Callable[[Path], object],
    max_bytes: int,
    timeout_seconds: float,
    progress: bool | None,
) -> str | None:
    """Fetch from one mirror; return None when `target` is in place, else why it is not."""
    reason = ""
    for _ in range(_TRIES_PER_MIRROR):
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch(url, part, max_bytes, timeout_seconds, progress)
            check(part)
        except DataError as error:  # the wrong content
            part.unlink(missing_ok=True)
            reason = f"not the right content: {error}"
            if before == 0:
                return reason
        except (OSError, http.client.HTTPException, ValueError) as error:  # no content, or not all of it
            # An HTTPError's text has the number, an URLError's reason is clearer than its text.
            cause = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
            reason = str(cause) or type(error).__name__
            after = part.stat().st_size if part.exists() else 0
            if after <= before:
                return reason
        else:
            os.replace(part, target)
            return None
    return reason


def _fetch(url: str, part: Path, max_bytes: int, timeout_seconds: float, progress: bool | None) -> None:
    """Append what is missing of `url` to `part`, or start anew where the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "modelzero", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the addresses come from our catalog
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_seconds)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is missing: let the check decide
            return
        raise
    with answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT and (
            answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        )
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                desc=part.name.removesuffix(".part"),
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                disable=None if progress is None else not progress,
            ) as bar,
        ):
            while piece := answer.read(_CHUNK):
                file.write(piece)
                have += len(piece)
                bar.update(len(piece))
                if have > max_bytes:
                    raise DataError(f"more than {max_bytes} bytes arrived: this is not the file")
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"cut after {have} of {total} bytes")
