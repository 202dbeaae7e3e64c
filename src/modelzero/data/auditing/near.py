"""Find near duplicates: test images that are a training image mirrored, moved, brightened or recompressed.

Two images are near duplicates when one of the 18 variants of the second (as it is or mirrored, and in place or moved
by one pixel in any of 8 directions) agrees with the first:

- the cosine of their mean-removed pixels is at least `LEAST_COSINE`, and
- once both have the same mean and contrast, they differ by at most `MOST_RMS` grey levels in the root mean square and
  by at most `MOST_DIFFERENCE` in any pixel, as after a JPEG of quality 75. Without these two, 39 % of Fashion-MNIST's
  test images would be reported, a tenth of their pairs with different labels (`benchmarks/near_duplicates.py`).

Colour images are compared by their brightness; their mean colours must agree too. Comparing every pair in 18 variants
would take minutes, so a coarse view comes first: the lowest frequencies of each image, where mirroring is a change of
sign. Only the few training images that look most like a test image are compared pixel by pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad
from tqdm.auto import tqdm

from modelzero.data.auditing.duplicates import LEAST_CONTRAST, blocks, contrast

LEAST_COSINE, MOST_RMS, MOST_DIFFERENCE = 0.95, 12.0, 60.0  # the latter two in grey levels of 0..255
LEAST_PIXELS = 64  # of an image; a resemblance of smaller ones means nothing
_MOST_TINT = 24.0  # grey levels by which a channel's mean, relative to the brightness, may differ
CANDIDATES = 16  # training images that are compared pixel by pixel with each test image

_FREQUENCIES = 8  # along each side: 63 numbers represent an image in the coarse view
# A moved image of noise keeps this cosine in the coarse view, which includes the pixels that enter at the border.
_COARSE_COSINE = 0.6
_LEAST_SIDE_TO_SHIFT = 8  # in a smaller image one pixel is too much
_SHIFTS = [(0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))]
_TEST_BLOCK, _TRAIN_BLOCK = 256, 1024  # a block of scores takes 1 MB, which stays in a core's cache
_COMPARED_PIXELS = 1 << 20  # of the pairs that are compared at once
_TIE = 1e-6  # a variant must be better by more than rounding to be preferred over the plain one
_LUMA = (0.299, 0.587, 0.114)
_SILENT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class NearPair:
    """A test image that is nearly a training image.

    Args:
        train: position in the training split.
        test: position in the test split.
        cosine: of the mean-removed pixels where both overlap, in the variant that agrees best.
        mirrored: whether the training image was flipped left to right.
        shift: (down, right) in pixels by which the training image was then moved.
    """

    train: int
    test: int
    cosine: float
    mirrored: bool
    shift: tuple[int, int]


def near_duplicates(train: Tensor, test: Tensor, *, progress: bool | None = None) -> list[NearPair]:
    """Find the test images that are nearly the same as a training image; those with equal pixels are excluded.

    Images of fewer than `LEAST_PIXELS` pixels, or with less contrast than `LEAST_CONTRAST`, are not compared.
    Memory: 252 bytes for each training image, plus about 200 MB; images are converted to floats block by block.

    >>> import torch
    >>> train = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    >>> near_duplicates(train, train[7:8].flip(3))
    [NearPair(train=7, test=0, cosine=1.0, mirrored=True, shift=(0, 0))]

    Args:
        train: uint8 [N, C, H, W].
        test: uint8 [M, C, H, W], of the same shape.
        progress: show a bar if it takes longer than two seconds; None means only in a terminal.

    Returns:
        Pairs in the order of the test images, the best matches first; at most `CANDIDATES` for each.
    """
    height, width = train.shape[2:]
    if height * width < LEAST_PIXELS:
        return []
    shifts = _SHIFTS if min(height, width) >= _LEAST_SIDE_TO_SHIFT else _SHIFTS[:1]
    views = torch.empty(len(train), min(_FREQUENCIES, height) * min(_FREQUENCIES, width) - 1)
    visible = torch.empty(len(train), dtype=torch.bool)
    for start, block in blocks(train):
        bright, place = _brightness(block), slice(start, start + len(block))
        views[place] = _coarse(bright, shifts[:1])[0]
        visible[place] = contrast(bright) >= LEAST_CONTRAST
    positions = torch.nonzero(visible).flatten()
    views = views if len(positions) == len(views) else views[positions]

    def search(start: int) -> list[NearPair]:
        bright = _brightness(test[start : start + _TEST_BLOCK])
        seen = torch.nonzero(contrast(bright) >= LEAST_CONTRAST).flatten()
        if not len(seen) or not len(positions):
            return []
        of_test, of_train = _candidates(_coarse(bright[seen], shifts), views, height, width)
        return _compared(train, test, positions[of_train], seen[of_test] + start, shifts)

    pairs: list[NearPair] = []
    bar = tqdm(
        desc="near duplicates",
        total=len(test),
        unit="image",
        delay=_SILENT_SECONDS,
        disable=None if progress is None else not progress,
    )
    with bar:
        for found in _side_by_side(search, range(0, len(test), _TEST_BLOCK)):
            pairs += found
            bar.update(min(_TEST_BLOCK, len(test) - bar.n))
    return pairs


def near_duplicates_within(images: Tensor, *, progress: bool | None = None) -> list[tuple[int, int]]:
    """Find the images that are nearly the same as another one in the same split; those with equal pixels are excluded.

    >>> import torch
    >>> images = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    >>> near_duplicates_within(torch.cat([images, images[7:8].flip(3)]))
    [(7, 50)]

    Args:
        images: uint8 [N, C, H, W].
        progress: as for `near_duplicates`.

    Returns:
        Pairs of positions, the lower one first, each pair once, in ascending order.
    """
    found = near_duplicates(images, images, progress=progress)
    return sorted({(min(pair.train, pair.test), max(pair.train, pair.test)) for pair in found})


def _side_by_side(search: Callable[[int], list[NearPair]], starts: range) -> Iterator[list[NearPair]]:
    """Search blocks in parallel, one thread each, on as many threads as torch may use; yield the results in order.

    Threads that share each operation wait for one another thousands of times: with another program on one of two cores,
    that took four times as long.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(search, starts)
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C no new block starts
        torch.set_num_threads(threads)


def _brightness(images: Tensor) -> Tensor:
    """Convert uint8 [n, C, H, W] to float32 [n, H, W], in grey levels."""
    if images.shape[1] == 1:
        return images[:, 0].to(torch.float32)
    if images.shape[1] == len(_LUMA):
        return sum((images[:, c] * weight for c, weight in enumerate(_LUMA)), torch.zeros(()))
    return images.to(torch.float32).mean(1)


def _coarse(bright: Tensor, shifts: Sequence[tuple[int, int]]) -> Tensor:
    """Return the lowest frequencies of images [n, H, W], moved by each shift, without the mean: unit [shifts, n, D]."""
    height, width = bright.shape[1:]
    down, right = _cosines(height), _cosines(width)
    padded = pad(bright[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    views = []
    for y, x in shifts:
        moved = padded[:, 1 - y : 1 - y + height, 1 - x : 1 - x + width]
        view = (down @ moved @ right.T).flatten(1)[:, 1:]
        views.append(view / view.norm(dim=1, keepdim=True).clamp_min(1e-6))
    return torch.stack(views)


def _cosines(size: int) -> Tensor:
    """Return the first rows of the orthonormal cosine transform (DCT-II) of that size."""
    rows = torch.arange(min(_FREQUENCIES, size))[:, None]
    basis = torch.cos(math.pi * rows * (torch.arange(size) + 0.5) / size) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def _candidates(queries: Tensor, views: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Choose the training views nearest to each test image, over all its shifts, mirrored or not.

    Returns:
        Positions in the queries and in the views, pair by pair.
    """
    columns = min(_FREQUENCIES, width)
    odd = (torch.arange(min(_FREQUENCIES, height) * columns) % columns % 2 == 1)[1:]  # those that mirroring negates
    query_even, query_odd = queries[:, :, ~odd], queries[:, :, odd]
    # Allocated before the loop: small results kept between large freed ones would fragment a gigabyte of memory.
    best = torch.full((queries.shape[1], -(-len(views) // _TRAIN_BLOCK) * CANDIDATES), -1.0)
    found = torch.zeros(best.shape, dtype=torch.int64)
    for number, start in enumerate(range(0, len(views), _TRAIN_BLOCK)):
        block = views[start : start + _TRAIN_BLOCK]
        even, uneven = block[:, ~odd].T.contiguous(), block[:, odd].T.contiguous()
        scores = torch.full((queries.shape[1], len(block)), -1.0)
        for part_even, part_odd in zip(query_even, query_odd, strict=True):
            # The better of an image and its mirror image: a + b and a - b.
            torch.maximum(scores, (part_even @ even).add_((part_odd @ uneven).abs_()), out=scores)
        values, places = scores.topk(min(CANDIDATES, len(block)), dim=1)
        columns_of_block = slice(number * CANDIDATES, number * CANDIDATES + values.shape[1])
        best[:, columns_of_block], found[:, columns_of_block] = values, places + start
    values, order = best.topk(min(CANDIDATES, len(views)), dim=1)
    near = values >= _COARSE_COSINE  # it is -1 where a block had fewer images than candidates
    return torch.nonzero(near)[:, 0], found.gather(1, order)[near]


def _compared(
    train: Tensor, test: Tensor, of_train: Tensor, of_test: Tensor, shifts: Sequence[tuple[int, int]]
) -> list[NearPair]:
    """Compare images pixel by pixel in all variants; return the pairs that are near duplicates, but not equal."""
    pairs = []
    size = max(1, _COMPARED_PIXELS // train[0].numel())
    for start in range(0, len(of_train), size):
        here, there = of_test[start : start + size], of_train[start : start + size]
        a, b = _brightness(test[here]), _brightness(train[there])
        a, b = (each - each.mean((1, 2), keepdim=True) for each in (a, b))  # keeps the sums below small and exact
        best, which = torch.full((len(a),), -1.0), torch.zeros(len(a), dtype=torch.int64)
        variants = [(mirrored, shift) for mirrored in (False, True) for shift in shifts]
        for number, variant in enumerate(variants):
            cosine = _cosine(*_overlap(a, b, *variant))
            better = cosine > best + _TIE
            best, which = torch.where(better, cosine, best), torch.where(better, number, which)
        for pair in torch.nonzero(best >= LEAST_COSINE).flatten().tolist():
            mirrored, shift = variants[int(which[pair])]
            x, y = _overlap(a[pair : pair + 1], b[pair : pair + 1], mirrored, shift)
            first, second = test[here[pair]], train[there[pair]]
            if _alike(x[0], y[0]) and _tints_agree(first, second) and not torch.equal(first, second):
                agreement = min(1.0, round(float(best[pair]), 6))
                pairs.append(NearPair(int(there[pair]), int(here[pair]), agreement, mirrored, shift))
    return sorted(pairs, key=lambda pair: (pair.test, -pair.cosine, pair.train))


def _overlap(a: Tensor, b: Tensor, mirrored: bool, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the overlap of images a with moved images b, both [n, H, W]: float [n, pixels] each.

    Pixels that a shift moves out of an image are lost, and those that it moves in are unknown: neither is compared.
    """
    b = b.flip(2) if mirrored else b
    for axis, by in enumerate(shift, 1):
        length = a.shape[axis] - abs(by)
        a, b = a.narrow(axis, max(by, 0), length), b.narrow(axis, max(-by, 0), length)
    return a.flatten(1), b.flatten(1)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of the mean-removed rows; -1 where one of them has too little contrast."""
    n = a.shape[1]
    mean_a, mean_b = a.mean(1), b.mean(1)
    var_a, var_b = (a * a).mean(1) - mean_a**2, (b * b).mean(1) - mean_b**2
    cosine = ((a * b).sum(1) / n - mean_a * mean_b) / (var_a * var_b).clamp_min(1e-6).sqrt()
    return torch.where(torch.minimum(var_a, var_b) >= LEAST_CONTRAST**2, cosine, -1.0)


def _alike(a: Tensor, b: Tensor) -> bool:
    """Return whether two images [pixels], at the larger one's contrast, differ no more than after recompression."""
    contrasts = [each.std(correction=0) for each in (a, b)]
    a, b = ((each - each.mean()) / contrast for each, contrast in zip((a, b), contrasts, strict=True))
    difference = (a - b) * max(contrasts)
    return bool(difference.square().mean().sqrt() <= MOST_RMS) and bool(difference.abs().max() <= MOST_DIFFERENCE)


def _tints_agree(a: Tensor, b: Tensor) -> bool:
    """Return whether the channels [C, H, W] of both have similar means, relative to the mean over all channels."""
    tints = []
    for each in (a, b):
        means = each.to(torch.float32).mean((1, 2))
        tints.append(means - means.mean())
    return bool((tints[0] - tints[1]).abs().max() <= _MOST_TINT)
