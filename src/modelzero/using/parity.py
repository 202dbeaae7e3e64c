"""Check that a file computes what modelzero computes, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelzero.errors import ExportError

TOLERANCE = 1e-5
BATCH = 256

Asked = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Parity:
    """How two sets of probabilities of the same images differ.

    Args:
        pictures: number of images.
        other_classes: images with another predicted class, ties not counted.
        ties: images with another predicted class, to which modelzero gives the same probability to within 1e-5.
        largest: the largest difference in any probability; NaN if one of them is NaN.
        beyond: images with a difference above 1e-5, or with NaN.
    """

    pictures: int
    other_classes: int
    ties: int
    largest: float
    beyond: int

    @property
    def holds(self) -> bool:
        """Whether every class is the same and every probability is within 1e-5."""
        return self.other_classes == 0 and self.beyond == 0


def compare(own: NDArray[np.float32], other: NDArray[np.float32]) -> Parity:
    """Compare probabilities [N, classes] of modelzero with those of a file.

    >>> own = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    >>> compare(own, own[:, ::-1])
    Parity(pictures=2, other_classes=1, ties=0, largest=0.5, beyond=1)

    Raises:
        ExportError: the shapes differ.
    """
    if other.shape != own.shape:
        raise ExportError(f"the file returns {list(other.shape)}: expected probabilities of shape {list(own.shape)}")
    differences = np.abs(own.astype(np.float64) - other).max(axis=1)
    rows = np.arange(len(own))
    mine, theirs = own.argmax(axis=1), other.argmax(axis=1)
    even = (mine != theirs) & (own[rows, mine] - own[rows, theirs] <= TOLERANCE)
    return Parity(
        pictures=len(own),
        other_classes=int(np.count_nonzero((mine != theirs) & ~even)),
        ties=int(np.count_nonzero(even)),
        largest=float(differences.max()),
        beyond=int(np.count_nonzero(~(differences <= TOLERANCE))),
    )


def ask(function: Asked, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a file on images [N, C, H, W], in batches, the first image alone: it must take any number.

    Raises:
        ExportError: it fails, or does not return probabilities for each image.
    """
    return np.concatenate(list(_answers(function, images)))


def _answers(function: Asked, images: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    for start, end in ((0, 1), *((at, at + BATCH) for at in range(1, len(images), BATCH))):
        batch = np.ascontiguousarray(images[start:end])
        try:
            answer = np.asarray(function(batch))
        except Exception as error:  # whatever the library that runs it raises
            words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ExportError(f"the file fails on images of shape {list(batch.shape)}: {words}") from None
        if answer.ndim != 2 or len(answer) != len(batch) or answer.dtype != np.float32:
            raise ExportError(
                f"for {len(batch)} images the file returns {answer.dtype} {list(answer.shape)}: expected float32 "
                "probabilities [N, classes]"
            )
        yield answer


def refuse(parity: Parity, what: str) -> None:
    """Refuse a file that disagrees with the run.

    Raises:
        ExportError: with the figures.
    """
    if parity.holds:
        return
    raise ExportError(
        f"{what} does not compute what the run computes: of {parity.pictures:,} test images {parity.other_classes:,} "
        f"get a different class, and {parity.beyond:,} a probability that differs by more than {TOLERANCE:g}; the "
        f"largest difference is {parity.largest:.3g}"
    )
