"""Decode once: the images of a listing become one uint8 file in the cache, which later loads map into memory.

    decoded/<content>.npy    uint8 [n, C, H, W]
    decoded/<content>.json   which images these are, which could not be read, what was decided, hashes of the pixels;
                             written last
    decoded/<looks>.seen     the content that files of these names, sizes and times had

`content` is a hash of the bytes of all files and of the settings, so the same images are decoded once wherever they
lie. Reading all bytes to compute it would take longer than need be; so names, sizes and times of the files lead to it,
and where one of them has changed, all are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from modelzero.data.decoding.bundles import decode_files, look_at_files
from modelzero.data.decoding.cache import cache_folder, sweep, temporary_file
from modelzero.data.decoding.image import Header
from modelzero.data.readers.listing import Item
from modelzero.errors import DataError, quoted
from modelzero.io.processes import Processes, in_bundles

# Changes whenever the same bytes would be decoded to other numbers.
VERSION = 2
LARGEST_SIDE = 64  # of the size that is chosen where none is asked for
MOST_UNREADABLE = 0.01  # as a share of the images
_SECONDS = 10.0  # that one image may take
_FEW = 200  # images that are not worth a second process
# What a process is handed at once: images, and bytes to look at or pixels to decode, which takes about half a second.
_PICTURES_AT_ONCE, _BYTES_AT_ONCE, _PIXELS_AT_ONCE = 100, 100 << 20, 20_000_000
_BLOCK = 8 << 20  # bytes of pixels under one hash
# A file that changed so recently may change again without its time changing.
_SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Decoded:
    """Images that were decoded.

    Args:
        images: uint8 [n, C, H, W], mapped from a file; what is written into it stays in this process.
        kept: int64 [n], which items these are.
        unreadable: name and reason of the others.
        notes: what was decided, a sentence each.
    """

    images: NDArray[np.uint8]
    kept: NDArray[np.int64]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def decode_items(
    items: Sequence[Item], *, size: tuple[int, int] | None, fit: str, allow_unreadable: bool, progress: bool | None
) -> Decoded:
    """Decode the images of a listing, in parallel, or find them decoded in the cache.

    Args:
        items: the images.
        size: height and width that all are brought to; None chooses: that of the images where all have one of at most
            64 pixels, else the median height and width, shrunk to 64 pixels for the longer side.
        fit: `pad` or `crop`; see `decode`.
        allow_unreadable: go on where more than 1 % cannot be read.
        progress: show a bar; None means only in a terminal.

    Raises:
        DataError: nothing can be read, or too much cannot, or there is no room for the result.
    """
    folder = cache_folder() / "decoded"
    looks, sizes, settled = _looks(items, size, fit)
    found = _read_seen(folder, looks)
    if found is None:
        with Processes(1 if len(items) < _FEW else _cores()) as processes:
            digests, headers, reasons = _look_at(items, sizes, processes, progress)
            content = _digest([VERSION, size, fit, digests])
            found = _read_stored(folder, content) or _decode(
                items,
                headers,
                reasons,
                folder,
                content,
                processes,
                size=size,
                fit=fit,
                allow_unreadable=allow_unreadable,
                progress=progress,
            )
        if settled:
            with contextlib.suppress(OSError):
                _write(folder / f"{looks}.seen", content.encode())
    images, told = found
    unreadable = tuple((items[place].name, why) for place, why in told["unreadable"])
    _check_share(unreadable, len(items), allow_unreadable=allow_unreadable)
    return Decoded(images, np.array(told["kept"], np.int64), unreadable, tuple(told["notes"]))


def _looks(items: Sequence[Item], size: tuple[int, int] | None, fit: str) -> tuple[str, list[int], bool]:
    """Hash what the files look like from outside; say also their sizes, and whether all were at rest for a while."""
    looks: list[object] = [VERSION, size, fit]
    sizes = []
    newest = 0.0
    here = os.getcwd()  # noqa: PTH109
    for item in items:
        if isinstance(item.content, bytes):
            looks.append(hashlib.sha256(item.content).hexdigest())
            sizes.append(len(item.content))
            continue
        try:
            status = os.stat(item.content)  # noqa: PTH116 - a Path of each would be made for nothing
        except (OSError, ValueError):
            looks.append(["missing", item.content])
            sizes.append(0)
            continue
        path = os.path.join(here, item.content)  # noqa: PTH118
        looks.append([path, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
        sizes.append(status.st_size)
        newest = max(newest, status.st_mtime, status.st_ctime)
    return _digest(looks), sizes, time.time() - newest > _SETTLED_SECONDS


def _look_at(
    items: Sequence[Item], sizes: Sequence[int], processes: Processes, progress: bool | None
) -> tuple[list[str], dict[int, Header], dict[int, str]]:
    """Read all files: the hash of each one's bytes, what its header says, or why it cannot be read."""
    digests, headers, reasons = [""] * len(items), {}, {}
    jobs = [item.content for item in items]
    bundles = in_bundles(sizes, _PICTURES_AT_ONCE, _BYTES_AT_ONCE)
    with _bar("reading", len(items), progress) as bar:
        for place, answer in processes.each(look_at_files, jobs, bundles, _SECONDS):
            bar.update()
            if isinstance(answer, str):
                reasons[place] = digests[place] = answer
                continue
            digests[place], header = answer
            if isinstance(header, Header):
                headers[place] = header
            else:
                reasons[place] = header
    return digests, headers, reasons


def _decode(
    items: Sequence[Item],
    headers: dict[int, Header],
    reasons: dict[int, str],
    folder: Path,
    content: str,
    processes: Processes,
    *,
    size: tuple[int, int] | None,
    fit: str,
    allow_unreadable: bool,
    progress: bool | None,
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Decode everything into one file, and put it into the cache where that can be written."""
    bad = tuple((items[place].name, reasons[place]) for place in sorted(reasons))
    _check_share(bad, len(items), allow_unreadable=allow_unreadable)
    height, width = size or chosen_size(list(headers.values()))
    notes = _told(list(headers.values()), (height, width), fit, asked=size is not None)
    places = sorted(headers)
    channels = 1 if all(header.grey for header in headers.values()) else 3
    shape = (len(places), channels, height, width)
    with _room(folder, shape) as temporary:
        jobs = [(items[place].content, row, str(temporary), shape, fit) for row, place in enumerate(places)]
        pixels = [headers[place].height * headers[place].width for place in places]
        bundles = in_bundles(pixels, _PICTURES_AT_ONCE, _PIXELS_AT_ONCE)
        failed: dict[int, str] = {}
        with _bar("decoding", len(jobs), progress) as bar:
            for row, why in processes.each(decode_files, jobs, bundles, _SECONDS):
                bar.update()
                if why is not None:
                    failed[row] = why
        if failed:
            _drop(temporary, shape, failed)
        unreadable = sorted([*reasons.items(), *((places[row], why) for row, why in failed.items())])
        kept = [place for row, place in enumerate(places) if row not in failed]
        told = {"kept": kept, "unreadable": unreadable, "notes": notes}
        if not kept:
            _check_share(tuple((items[p].name, why) for p, why in unreadable), len(items), allow_unreadable=True)
        images = _keep(temporary, folder, content, told, (len(kept), *shape[1:]))
    return images, told


def chosen_size(headers: Sequence[Header]) -> tuple[int, int]:
    """Choose height and width for images of these sizes.

    >>> chosen_size([Header(28, 28, True, "L", False, False)] * 2)
    (28, 28)
    >>> chosen_size([Header(300, 400, False, "RGB", False, False), Header(480, 640, False, "RGB", False, False)])
    (48, 64)
    """
    sizes = {(header.height, header.width) for header in headers}
    if len(sizes) == 1 and max(max(size) for size in sizes) <= LARGEST_SIDE:
        return sizes.pop()
    height, width = (float(np.median([getattr(header, side) for header in headers])) for side in ("height", "width"))
    scale = min(1.0, LARGEST_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _told(headers: Sequence[Header], size: tuple[int, int], fit: str, *, asked: bool) -> list[str]:
    """Say what was done to the images."""
    notes = []
    heights, widths = ([getattr(header, side) for header in headers] for side in ("height", "width"))
    changed = sum((header.height, header.width) != size for header in headers)
    if changed:
        how = "fitted into it and padded with black" if fit == "pad" else "cropped to the middle"
        why = "" if asked else ", the median of the sizes found"
        why += "" if asked or max(size) < LARGEST_SIDE else f", the longer side at most {LARGEST_SIDE}"
        notes.append(
            f"{changed:,} of {len(headers):,} images were brought to {size[0]} x {size[1]} pixels (height x width"
            f"{why}) and {how}; found were heights from {min(heights)} to {max(heights)} and widths from {min(widths)} "
            f"to {max(widths)}"
        )
    modes = Counter(header.mode for header in headers)
    if len(modes) > 1:
        listed = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
        kind = "greys" if all(header.grey for header in headers) else "three colours"
        notes.append(f"images of several kinds ({listed}) were brought to {kind}")
    for count, what in (
        (sum(header.alpha for header in headers), "with transparency were laid onto white"),
        (sum(header.turned for header in headers), "were turned or mirrored as their EXIF orientation says"),
        (sum(header.mode.startswith("I") for header in headers), "of 16 bits were cut to the upper 8"),
    ):
        if count:
            notes.append(f"{count:,} images {what}")
    return notes


def _check_share(unreadable: Sequence[tuple[str, str]], count: int, *, allow_unreadable: bool) -> None:
    """Refuse where too much cannot be read."""
    most = count - 1 if allow_unreadable else MOST_UNREADABLE * count
    if len(unreadable) <= most:
        return
    first = "; ".join(f"{_shown(name)}: {why}" for name, why in unreadable[:3])
    more = f"; and {len(unreadable) - 3:,} more" if len(unreadable) > 3 else ""
    needed = (
        "at least one is needed"
        if len(unreadable) == count
        else f"more than {MOST_UNREADABLE:.0%} are refused; mend or remove them, or give --allow-unreadable"
    )
    raise DataError(f"{len(unreadable):,} of {count:,} images cannot be read ({first}{more}): {needed}")


def _shown(name: str) -> str:
    """Return a name as it is, or quoted where it is long or cannot be printed."""
    return name if name.isprintable() and len(name) <= 200 else quoted(name, 200)


@contextlib.contextmanager
def _room(folder: Path, shape: tuple[int, ...]) -> Iterator[Path]:
    """Make the file that the images are decoded into: in the cache, or else among the temporary files."""
    sweep(folder)
    trouble: OSError | None = None
    for place in (folder, Path(tempfile.gettempdir())):
        with contextlib.ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                path = stack.enter_context(temporary_file(place, "decoding"))
                np.lib.format.open_memmap(path, "w+", np.uint8, shape)
                with path.open(
                    "r+b"
                ) as file:  # a hole in a file on a full disk would end the process that writes there
                    if hasattr(os, "posix_fallocate"):
                        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                trouble = error
                continue
            yield path
            return
    assert trouble is not None
    raise DataError(
        f"no room for {np.prod(shape) / 1e6:,.0f} MB of decoded images in {folder} or {tempfile.gettempdir()} "
        f"({trouble.strerror or trouble}): make room, or choose a smaller --size"
    )


def _drop(path: Path, shape: tuple[int, ...], failed: dict[int, str]) -> None:
    """Close the gaps that images left which turned out to be unreadable."""
    images = np.load(path, mmap_mode="r+")
    kept = [row for row in range(shape[0]) if row not in failed]
    for row, place in enumerate(kept):
        if row != place:
            images[row] = images[place]
    images.flush()
    del images
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        _, _, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        file.seek(0)
        np.lib.format.write_array_header_1_0(
            file, {"descr": dtype.str, "fortran_order": False, "shape": (len(kept), *shape[1:])}
        )
        assert file.tell() == start  # numpy keeps room for a growing first dimension
        file.truncate(start + len(kept) * int(np.prod(shape[1:])))


def _keep(
    temporary: Path, folder: Path, content: str, told: dict[str, Any], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Give the file its name in the cache, then its description; map it."""
    if temporary.parent == folder:
        try:
            _sync(temporary)
            target = folder / f"{content}.npy"
            os.replace(temporary, target)
            images = _mapped(target)
            _write(folder / f"{content}.json", json.dumps(told | {"shape": shape, "blocks": _hashes(images)}).encode())
            return images  # noqa: TRY300 - what follows is for a cache that cannot be written
        except OSError:  # it can be used all the same, once
            if not temporary.exists():
                return _mapped(folder / f"{content}.npy")
    return _mapped(temporary)


def _read_seen(folder: Path, looks: str) -> tuple[NDArray[np.uint8], dict[str, Any]] | None:
    try:
        content = (folder / f"{looks}.seen").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return _read_stored(folder, content) if content.isalnum() else None


def _read_stored(folder: Path, content: str) -> tuple[NDArray[np.uint8], dict[str, Any]] | None:
    """Map what was decoded before; None where nothing was, or where it is damaged."""
    try:
        told = json.loads((folder / f"{content}.json").read_text(encoding="utf-8"))
        images = _mapped(folder / f"{content}.npy")
        if list(images.shape) != told["shape"] or images.dtype != np.uint8 or len(told["kept"]) != len(images):
            return None
        _ = told["unreadable"], told["notes"]
        if _hashes(images) != told["blocks"]:  # a disk that lost some of it, or somebody's hand
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return images, told


def _hashes(images: NDArray[np.uint8]) -> list[str]:
    """Hash the pixels block by block, on all cores: as fast as they come from memory, near enough."""
    pixels = images.reshape(-1)
    blocks = [pixels[start : start + _BLOCK] for start in range(0, len(pixels), _BLOCK)]
    with ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(lambda block: hashlib.sha256(block.data).hexdigest(), blocks))


def _mapped(path: Path) -> NDArray[np.uint8]:
    mapped: NDArray[np.uint8] = np.load(path, mmap_mode="c", allow_pickle=False)
    return mapped


def _write(path: Path, content: bytes) -> None:
    """Write a small file whole, or not at all."""
    with temporary_file(path.parent, path.name) as temporary:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8", "surrogatepass")).hexdigest()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bar(what: str, total: int, progress: bool | None) -> Any:
    return tqdm(desc=what, total=total, unit="img", disable=None if progress is None else not progress, delay=1)
