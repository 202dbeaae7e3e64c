"""Find duplicate images, by a hash of their pixels, and images without content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

# Images that vary by less (standard deviation in grey levels) show nothing recognisable.
LEAST_CONTRAST = 4.0
_BLOCK_PIXELS = 1 << 20


def same_pixels(images: Sequence[Tensor]) -> list[list[tuple[int, int]]]:
    """Find duplicate images, within one set or across several.

    >>> import torch
    >>> a = torch.tensor([1, 2, 1], dtype=torch.uint8).view(3, 1, 1, 1)
    >>> same_pixels([a, a[1:2]])
    [[(0, 0), (0, 2)], [(0, 1), (1, 0)]]

    Args:
        images: sets of uint8 [N, C, H, W].

    Returns:
        Groups of equal images, each a list of (set, position), in the order in which they first appear.
    """
    groups: dict[tuple[torch.Size, bytes], list[tuple[int, int]]] = {}
    for number, split_images in enumerate(images):
        for start, block in blocks(split_images):
            for position, pixels in enumerate(block.contiguous().numpy(), start):
                digest = hashlib.blake2b(pixels, digest_size=20).digest()
                groups.setdefault((split_images.shape[1:], digest), []).append((number, position))
    return [group for group in groups.values() if len(group) > 1]


def constant_and_faint(images: Tensor) -> tuple[Tensor, Tensor]:
    """Find images without content: those of one colour, and those that vary by less than `LEAST_CONTRAST`.

    >>> import torch
    >>> images = torch.tensor([[7, 7], [7, 9], [0, 99]], dtype=torch.uint8).view(3, 1, 1, 2)
    >>> constant, faint = constant_and_faint(images)
    >>> constant.tolist(), faint.tolist()
    ([0], [1])

    Args:
        images: uint8 [N, C, H, W].

    Returns:
        Two int64 tensors of positions; no image is in both.
    """
    constant, faint = [], []
    for start, block in blocks(images):
        flat = block.flatten(2)
        one = (flat.amin(2) == flat.amax(2)).all(1)
        low = contrast(block.flatten(0, 1).to(torch.float32)).view(len(block), -1).amax(1) < LEAST_CONTRAST
        constant.append(torch.nonzero(one).flatten() + start)
        faint.append(torch.nonzero(low & ~one).flatten() + start)
    return torch.cat(constant), torch.cat(faint)


def blocks(images: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield a set in blocks of about a million numbers, each with the position at which it begins."""
    size = max(1, _BLOCK_PIXELS // max(1, images[0].numel()))
    for start in range(0, len(images), size):
        yield start, images[start : start + size]


def contrast(bright: Tensor) -> Tensor:
    """Return the standard deviation of each image [n, H, W]; `Tensor.std` takes several times as long."""
    centred = bright.flatten(1)
    centred = centred - centred.mean(1, keepdim=True)
    return centred.square_().mean(1).sqrt()
