"""Decode the images of a listing once, into a uint8 file in the cache that later loads map into memory.

    decoded/<content>.npy    uint8 [n, C, H, W]
    decoded/<content>.json   which images these are, the unreadable ones, what was decided, hashes of the pixels;
                             written last
    decoded/<looks>.seen     the value of `content` for files of these names, sizes and times

`content` is a hash of the bytes of all files and of the settings, so the same images are decoded once wherever they
are. Reading all bytes on each load would be slow, so `looks`, a hash of the names, sizes and times of the files, leads
to `content`. If one of them has changed, all files are read again.
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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from modelzero.data.decoding.bundles import decode_files, look_at_files
from modelzero.data.decoding.cache import cache_folder, sweep, temporary_file
from modelzero.data.decoding.image import Header
from modelzero.data.readers.listing import Item
from modelzero.errors import DataError, quoted
from modelzero.io.cores import available_cores
from modelzero.io.processes import Processes, in_bundles

# Changes whenever the same bytes would be decoded to different pixels.
VERSION = 2
LARGEST_SIDE = 64  # of the size that is chosen by default
MOST_UNREADABLE = 0.01  # as a share of the images
_SECONDS = 10.0  # limit for one image
_FEW = 200  # images; fewer are not worth a second process
# Limits of one bundle for a worker: images, and bytes to read or pixels to decode in about half a second.
_IMAGES_AT_ONCE, _BYTES_AT_ONCE, _PIXELS_AT_ONCE = 100, 100 << 20, 20_000_000
_BLOCK = 8 << 20  # bytes of pixels in one hash
# A file that changed so recently may change again without its time changing.
_SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Decoded:
    """Decoded images.

    Args:
        images: uint8 [n, C, H, W], mapped from a file; writes to it stay in this process.
        kept: int64 [n], the positions of their items.
        unreadable: name and reason of the others.
        notes: what was decided, one sentence each.
    """

    images: NDArray[np.uint8]
    kept: NDArray[np.int64]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def decode_items(
    items: Sequence[Item], *, size: tuple[int, int] | None, fit: str, allow_unreadable: bool, progress: bool | None
) -> Decoded:
    """Decode the images of a listing in parallel, or map them from the cache.

    Args:
        items: the images.
        size: height and width to resize all images to. None keeps the size of the images if all have the same, of at
            most 64 pixels; else it takes the median height and width, shrunk to 64 pixels for the longer side.
        fit: `pad` or `crop`; see `decode`.
        allow_unreadable: accept more than 1 % of unreadable images.
        progress: show a bar; None means only in a terminal.

    Raises:
        DataError: all or too many images are unreadable, or there is no disk space for the result.
    """
    folder = cache_folder() / "decoded"
    looks, sizes, settled = _looks(items, size, fit)
    found = _read_seen(folder, looks)
    if found is None:
        with Processes(1 if len(items) < _FEW else available_cores()) as processes:
            looked = _look_at(items, sizes, processes, progress)
            content = _digest([VERSION, size, fit, looked.digests])
            found = _read_stored(folder, content) or _decode(
                items,
                looked,
                folder / content,
                processes,
                size=size,
                fit=fit,
                allow_unreadable=allow_unreadable,
                progress=progress,
            )
        if settled:
            with contextlib.suppress(OSError):
                _write(folder / f"{looks}.seen", content.encode())
    images, described = found
    unreadable = tuple((items[place].name, why) for place, why in described["unreadable"])
    _check_share(unreadable, len(items), allow_unreadable=allow_unreadable)
    return Decoded(images, np.array(described["kept"], np.int64), unreadable, tuple(described["notes"]))


def _looks(items: Sequence[Item], size: tuple[int, int] | None, fit: str) -> tuple[str, list[int], bool]:
    """Hash names, sizes and times of the files; also return the sizes, and whether no file changed recently."""
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
            status = os.stat(item.content)  # noqa: PTH116 - a Path for each would only cost time
        except (OSError, ValueError):
            looks.append(["missing", item.content])
            sizes.append(0)
            continue
        path = os.path.join(here, item.content)  # noqa: PTH118
        looks.append([path, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
        sizes.append(status.st_size)
        newest = max(newest, status.st_mtime, status.st_ctime)
    return _digest(looks), sizes, time.time() - newest > _SETTLED_SECONDS


class _Looked(NamedTuple):
    """The hash of each file's bytes; the headers of those that are images, and the reasons of the others."""

    digests: list[str]
    headers: dict[int, Header]
    reasons: dict[int, str]


def _look_at(items: Sequence[Item], sizes: Sequence[int], processes: Processes, progress: bool | None) -> _Looked:
    """Read all files; return the hash of each one's bytes, and its header or the reason why it is unreadable."""
    digests, headers, reasons = [""] * len(items), {}, {}
    jobs = [item.content for item in items]
    bundles = in_bundles(sizes, _IMAGES_AT_ONCE, _BYTES_AT_ONCE)
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
    return _Looked(digests, headers, reasons)


def _decode(
    items: Sequence[Item],
    looked: _Looked,
    kept_as: Path,
    processes: Processes,
    *,
    size: tuple[int, int] | None,
    fit: str,
    allow_unreadable: bool,
    progress: bool | None,
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Decode everything into one file, and move it into the cache if that is writable."""
    headers, reasons, folder = looked.headers, looked.reasons, kept_as.parent
    bad = tuple((items[place].name, reasons[place]) for place in sorted(reasons))
    _check_share(bad, len(items), allow_unreadable=allow_unreadable)
    height, width = size or chosen_size(list(headers.values()))
    notes = _notes(list(headers.values()), (height, width), fit, asked=size is not None)
    places = sorted(headers)
    channels = 1 if all(header.grey for header in headers.values()) else 3
    shape = (len(places), channels, height, width)
    with _room(folder, shape) as temporary:
        jobs = [(items[place].content, row, str(temporary), shape, fit) for row, place in enumerate(places)]
        pixels = [headers[place].height * headers[place].width for place in places]
        bundles = in_bundles(pixels, _IMAGES_AT_ONCE, _PIXELS_AT_ONCE)
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
        described = {"kept": kept, "unreadable": unreadable, "notes": notes}
        if not kept:
            _check_share(tuple((items[p].name, why) for p, why in unreadable), len(items), allow_unreadable=True)
        images = _keep(temporary, folder, kept_as.name, described, (len(kept), *shape[1:]))
    return images, described


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


def _notes(headers: Sequence[Header], size: tuple[int, int], fit: str, *, asked: bool) -> list[str]:
    """Describe what was done to the images."""
    notes = []
    heights, widths = ([getattr(header, side) for header in headers] for side in ("height", "width"))
    changed = sum((header.height, header.width) != size for header in headers)
    if changed:
        how = "padded with black" if fit == "pad" else "cropped to the middle"
        why = "" if asked else ", the median of the sizes found"
        why += "" if asked or max(size) < LARGEST_SIDE else f", the longer side at most {LARGEST_SIDE}"
        notes.append(
            f"{changed:,} of {len(headers):,} images were resized to {size[0]} x {size[1]} pixels (height x width"
            f"{why}) and {how}; their heights were {min(heights)} to {max(heights)}, their widths {min(widths)} to "
            f"{max(widths)}"
        )
    modes = Counter(header.mode for header in headers)
    if len(modes) > 1:
        listed = ", ".join(f"{count:,} {mode}" for mode, count in modes.most_common())
        kind = "grey" if all(header.grey for header in headers) else "RGB"
        notes.append(f"images of several modes ({listed}) were converted to {kind}")
    for count, what in (
        (sum(header.alpha for header in headers), "with transparency were blended onto white"),
        (sum(header.turned for header in headers), "were rotated or mirrored according to their EXIF orientation"),
        (sum(header.mode.startswith("I") for header in headers), "of 16 bits were reduced to the upper 8"),
    ):
        if count:
            notes.append(f"{count:,} images {what}")
    return notes


def _check_share(unreadable: Sequence[tuple[str, str]], count: int, *, allow_unreadable: bool) -> None:
    """Raise DataError if too many images are unreadable."""
    most = count - 1 if allow_unreadable else MOST_UNREADABLE * count
    if len(unreadable) <= most:
        return
    first = "; ".join(f"{_shown(name)}: {why}" for name, why in unreadable[:3])
    more = f"; and {len(unreadable) - 3:,} more" if len(unreadable) > 3 else ""
    needed = (
        "expected at least one readable image"
        if len(unreadable) == count
        else f"expected at most {MOST_UNREADABLE:.0%}; repair or remove them, or give --allow-unreadable"
    )
    raise DataError(f"{len(unreadable):,} of {count:,} images cannot be read ({first}{more}): {needed}")


def _shown(name: str) -> str:
    """Return a name unchanged, or quoted if it is long or not printable."""
    return name if name.isprintable() and len(name) <= 200 else quoted(name, 200)


@contextlib.contextmanager
def _room(folder: Path, shape: tuple[int, ...]) -> Iterator[Path]:
    """Create the file to decode into: in the cache, or else in the folder for temporary files."""
    sweep(folder)
    trouble: OSError | None = None
    for place in (folder, Path(tempfile.gettempdir())):
        with contextlib.ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                path = stack.enter_context(temporary_file(place, "decoding"))
                np.lib.format.open_memmap(path, "w+", np.uint8, shape)
                with path.open("r+b") as file:  # on a full disk, writing into a hole of a file kills the process
                    if hasattr(os, "posix_fallocate"):
                        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                trouble = error
                continue
            yield path
            return
    assert trouble is not None
    raise DataError(
        f"no disk space for {np.prod(shape) / 1e6:,.0f} MB of decoded images in {folder} or {tempfile.gettempdir()} "
        f"({trouble.strerror or trouble}): free some space, or choose a smaller --size"
    )


def _drop(path: Path, shape: tuple[int, ...], failed: dict[int, str]) -> None:
    """Close the gaps of images that turned out to be unreadable."""
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
        assert file.tell() == start  # numpy reserves space for a growing first dimension
        file.truncate(start + len(kept) * int(np.prod(shape[1:])))


def _keep(
    temporary: Path, folder: Path, content: str, described: dict[str, Any], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Give the file its name in the cache, write its description, and map it."""
    if temporary.parent == folder:
        try:
            _sync(temporary)
            target = folder / f"{content}.npy"
            os.replace(temporary, target)
            images = _mapped(target)
            _write(
                folder / f"{content}.json", json.dumps(described | {"shape": shape, "blocks": _hashes(images)}).encode()
            )
            return images  # noqa: TRY300 - the code below is for a cache that is not writable
        except OSError:  # this load can still use it
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
    """Map images that were decoded earlier; return None if there are none or they are damaged."""
    try:
        described = json.loads((folder / f"{content}.json").read_text(encoding="utf-8"))
        images = _mapped(folder / f"{content}.npy")
        if (
            list(images.shape) != described["shape"]
            or images.dtype != np.uint8
            or len(described["kept"]) != len(images)
        ):
            return None
        _ = described["unreadable"], described["notes"]
        if _hashes(images) != described["blocks"]:  # damaged by the disk, or edited
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return images, described


def _hashes(images: NDArray[np.uint8]) -> list[str]:
    """Hash the pixels block by block, on all cores: nearly as fast as memory can be read."""
    pixels = images.reshape(-1)
    blocks = [pixels[start : start + _BLOCK] for start in range(0, len(pixels), _BLOCK)]
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(lambda block: hashlib.sha256(block.data).hexdigest(), blocks))


def _mapped(path: Path) -> NDArray[np.uint8]:
    mapped: NDArray[np.uint8] = np.load(path, mmap_mode="c", allow_pickle=False)
    return mapped


def _write(path: Path, content: bytes) -> None:
    """Write a small file atomically."""
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


def _bar(what: str, total: int, progress: bool | None) -> Any:
    return tqdm(desc=what, total=total, unit="img", disable=None if progress is None else not progress, delay=1)
