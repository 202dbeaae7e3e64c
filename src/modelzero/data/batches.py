"""The order of the batches, and `Loader`, which yields them.

Both match `torch.utils.data.DataLoader` draw for draw. At the start of each iteration a DataLoader draws one int64
(its "base seed", for workers). If it shuffles, its sampler draws another one at the first batch and seeds a new
generator with it for `torch.randperm`. (torch 2.10 to 2.13, `utils/data/dataloader.py` and `utils/data/sampler.py`.)
So `torch.manual_seed(42)` gives the same batches here as there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from modelzero.data.dataset import Split
from modelzero.errors import DataError, check_count

# Images are gathered and scaled for several batches at once: one large operation instead of many small ones, small
# enough for a core's cache.
_GATHERED_BYTES = 1 << 20


def to_float(images: Tensor) -> Tensor:
    """Scale uint8 images to float32 in [0, 1], bit for bit as torchvision's `ToTensor` does.

    Division, not multiplication by 1/255: the two differ in the last bit.
    """
    return images.to(torch.float32).div_(255)


def epoch_order(seed: int, epoch: int, images: int) -> Tensor:
    """Return the order in which a training run visits its images: a pure function of seed and epoch.

    A loop sees the same order if it calls `torch.manual_seed(seed)` and then, in each epoch, iterates over a shuffling
    DataLoader for training and over a non-shuffling one for the test.

    >>> epoch_order(seed=42, epoch=0, images=5)
    tensor([3, 2, 1, 4, 0])

    Args:
        seed: the seed of the training.
        epoch: counted from 0.
        images: the number of images.

    Returns:
        int64 [images], a permutation.
    """
    generator = Generator().manual_seed(seed)
    draws_of_one_epoch = 3  # base seed of the training loader, its sampler's seed, base seed of the test loader
    for _ in range(draws_of_one_epoch * epoch + 1):
        _draw(generator)
    return torch.randperm(images, generator=Generator().manual_seed(_draw(generator)))


def batches(
    split: Split, batch_size: int, order: Tensor | None = None, first: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (float32 [B, C, H, W] in [0, 1], int64 [B]) in the given order, or in the split's own.

    The last batch may be shorter. Works on the device of the split; `order` must be on the same device. Begins with the
    batch `first`, counted from 0. This does not change how each batch is placed in memory, because the order in which a
    library adds numbers may depend on their alignment.
    """
    image_bytes = 4 * split.images[0].numel()
    step = batch_size * max(1, _GATHERED_BYTES // (batch_size * image_bytes))
    total = len(split) if order is None else len(order)
    skipped = first * batch_size // step * step
    for start in range(skipped, total, step):
        end = min(start + step, total)
        if order is None:  # cloned: a slice is a view of the data itself, and no loop may write into that
            labels, pixels = split.labels[start:end].clone(), split.images[start:end]
        else:  # index_select takes a third of the time of split.images[order]
            chosen = order[start:end]
            labels, pixels = split.labels.index_select(0, chosen), split.images.index_select(0, chosen)
        images = to_float(pixels)
        gathered = zip(images.split(batch_size), labels.split(batch_size), strict=True)
        yield from itertools.islice(gathered, max(0, first - start // batch_size), None)


class Loader:
    """A drop-in replacement for `torch.utils.data.DataLoader` over images in memory, without per-image Python.

    It yields the same batches as `DataLoader(dataset, batch_size, shuffle=..., drop_last=..., generator=...)` over the
    same images, and draws the same random numbers at the same time, so your own loop keeps its results.

    >>> import modelzero as mz
    >>> data = mz.load("digits")
    >>> _ = torch.manual_seed(42)
    >>> for images, labels in mz.Loader(data.train, batch_size=32, shuffle=True):
    ...     pass  # your training step
    >>> images.shape, labels.dtype
    (torch.Size([29, 1, 8, 8]), torch.int64)

    Args:
        split: the images, such as `data.train`.
        batch_size: images in a batch.
        shuffle: visit them in a new random order in each iteration.
        drop_last: drop the last batch if it is shorter than the others.
        generator: the source of random numbers; None means torch's default generator.

    Yields:
        Pairs of float32 images [B, C, H, W] in [0, 1] and int64 labels [B].

    Raises:
        SettingError: a batch size that is not a whole number of at least 1.
        DataError: `split` is not a `Split`.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int = 32,
        shuffle: bool = False,  # noqa: FBT002 - by position too, as in DataLoader
        *,
        drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(split, Split):
            raise DataError(
                f"cannot load from a {type(split).__name__}: expected a Split, such as data.train or data.test"
            )
        self.split = split
        self.batch_size = check_count("batch_size", batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    @property
    def dataset(self) -> Split:
        """The split, under its DataLoader name: `len(loader.dataset)` counts the images."""
        return self.split

    def __len__(self) -> int:
        """Return the number of batches in one iteration."""
        whole, rest = divmod(len(self.split), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        _draw(self.generator)  # the base seed, drawn at once: other draws may come before the first batch
        return self._shuffled() if self.shuffle else self._in_order()

    def _in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _, batch in zip(range(len(self)), batches(self.split, self.batch_size), strict=False):
            yield batch

    def _shuffled(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.split)
        generator = self.generator or Generator().manual_seed(_draw(None))
        order = torch.randperm(n, generator=generator).to(self.split.images.device)
        short_last = n % self.batch_size > 0 and not self.drop_last
        for index, batch in zip(range(len(self)), batches(self.split, self.batch_size, order), strict=False):
            if short_last and index == len(self) - 1:
                self._exhaust_sampler()
            yield batch
        if not short_last:
            self._exhaust_sampler()

    def _exhaust_sampler(self) -> None:
        """Draw the permutation that DataLoader's sampler draws and discards when it runs out of images.

        It only matters for a generator that the user passes: DataLoader does not draw it from the default one.
        """
        if self.generator is not None:
            torch.randperm(len(self.split), generator=self.generator)


def _draw(generator: Generator | None) -> int:
    """Draw one int64, as DataLoader and its sampler do."""
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())
