"""Download a file from the first mirror that has the right content."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm.auto import tqdm

from modelzero.errors import DataError

_CHUNK = 1 << 18
_TRIES_PER_MIRROR = 4  # each resumes where the previous one was interrupted
_SLOWEST_BYTES_PER_SECOND = 1000  # the largest dataset would take a week; slower counts as silent


def download(
    urls: Sequence[str],
    target: Path,
    check: Callable[[Path], object],
    *,
    max_bytes: int,
    timeout_seconds: float = 20,
    progress: bool | None = None,
) -> str:
    """Download `target` from the first of `urls` whose content passes `check`.

    The bytes go into `<target>.part`, which gets its final name only after the check. An interrupted `.part` is
    resumed, by this call or by a later one; one that fails the check is deleted and downloaded again.

    Args:
        urls: the mirrors, the preferred one first.
        target: the file to create. Its folder is created if it is missing.
        check: raises DataError if the file that it is given is not the right one.
        max_bytes: a file that grows beyond this many bytes is refused.
        timeout_seconds: how long a server may send nothing, or hardly anything.
        progress: show a bar; None means only in a terminal.

    Returns:
        The URL that the file came from.

    Raises:
        DataError: no mirror has the right content; the message names each with its reason.
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
    """Return the path of a lock among the temporary files, since a lock file cannot be deleted safely."""
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
    """Download from one mirror; return None if `target` is complete, else the reason."""
    reason = ""
    for _ in range(_TRIES_PER_MIRROR):
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch(url, part, max_bytes, timeout_seconds, progress)
            check(part)
        except DataError as error:  # the wrong content
            part.unlink(missing_ok=True)
            reason = f"wrong content: {error}"
            if before == 0:
                return reason
        except (OSError, http.client.HTTPException, ValueError) as error:  # no content, or not all of it
            # The text of an HTTPError has the status code; the reason of a URLError is clearer than its text.
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
    """Append the missing bytes of `url` to `part`, or start over if the server cannot resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "modelzero", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the addresses come from our catalog
    try:
        answer = urllib.request.build_opener(_Http, _Https).open(request, timeout=timeout_seconds)
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
                    raise DataError(f"more than {max_bytes} bytes received: this is not the right file")
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise ConnectionError(f"interrupted after {have} of {total} bytes")


class _Paced(io.RawIOBase):
    """A stream from a socket that raises TimeoutError if it is too slow.

    A socket's own timeout only detects silence: a server that sends a byte now and then could block us for ever, in
    headers or content. So each interval of that length must bring a minimum of bytes.
    """

    def __init__(self, raw: io.RawIOBase, timeout_seconds: float) -> None:
        self._raw = raw
        self._timeout_seconds = timeout_seconds
        self._begin: float | None = None  # of this interval; the first one begins with the first byte
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer)
        now = time.monotonic()
        self._bytes += count or 0
        if self._begin is None:
            self._begin = now
        seconds = now - self._begin
        if count and seconds >= self._timeout_seconds:
            if self._bytes < _SLOWEST_BYTES_PER_SECOND * seconds:
                raise TimeoutError(f"too slow: {self._bytes} bytes in {seconds:.1f} seconds")
            self._begin, self._bytes = now, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose headers and content are read through `_Paced`."""

    def __init__(self, sock: Any, *args: Any, **keywords: Any) -> None:
        super().__init__(sock, *args, **keywords)
        timeout_seconds = sock.gettimeout()
        if timeout_seconds is not None:
            self.fp = io.BufferedReader(_Paced(self.fp.detach(), timeout_seconds))


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)
