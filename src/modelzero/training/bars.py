"""Progress bars in terminals and notebooks; silent elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from tqdm.auto import tqdm

from modelzero.runs.record import Epoch
from modelzero.text import plain

# An epoch gets a bar of its own only when it takes longer than this.
_LONG_EPOCH_SECONDS = 2
_LABEL_LETTERS = 24


class Progress(Protocol):
    """An object that is informed about the progress of a training."""

    def begin_epoch(self, epoch: int) -> None:
        """Note that epoch `epoch`, counted from 1, begins."""

    def step(self, images: int) -> None:
        """Note that this many more images of the epoch are done."""

    def end_epoch(self, epoch: Epoch) -> None:
        """Note that the epoch has ended and its figures are recorded."""


class Silence:
    """Show nothing, without even the lock that tqdm shares between processes."""

    def begin_epoch(self, epoch: int) -> None:
        """Do nothing."""

    def step(self, images: int) -> None:
        """Do nothing."""

    def end_epoch(self, epoch: Epoch) -> None:
        """Do nothing."""


class Bars:
    """A bar over the epochs, and one within each long epoch. Drawn at most a few times a second.

    Args:
        label: text before the bar.
        epochs: total number of epochs.
        images: images per epoch.
        show: whether to draw; None means only in terminals and notebooks.
        done: number of epochs already done.
    """

    def __init__(self, label: str, epochs: int, images: int, *, show: bool | None, done: int = 0) -> None:
        if show is None and "ipykernel" not in sys.modules:
            self._disable = None  # tqdm checks whether it writes to a terminal
        else:
            self._disable = show is False
        self._label, self._epochs, self._images = plain(label, _LABEL_LETTERS), epochs, images
        self._done = done
        self._outer: Any = None
        self._inner: Any = None

    def __enter__(self) -> Bars:
        self._outer = self._bar(desc=self._label, total=self._epochs, initial=self._done, unit="epoch")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in (self._inner, self._outer):
            if bar is not None:
                bar.close()

    def begin_epoch(self, epoch: int) -> None:
        """Open the bar of this epoch; it shows only if the epoch is long."""
        self._inner = self._bar(
            desc=f"epoch {epoch}", total=self._images, unit="img", leave=False, delay=_LONG_EPOCH_SECONDS
        )

    def step(self, images: int) -> None:
        """Advance the bar of the epoch."""
        self._inner.update(images)

    def end_epoch(self, epoch: Epoch) -> None:
        """Close the bar of the epoch and advance the outer one."""
        self._inner.close()
        self._outer.set_postfix_str(f"test accuracy {epoch.test_accuracy:.2%}", refresh=False)
        self._outer.update()

    def _bar(self, **settings: Any) -> Any:
        return tqdm(disable=self._disable, mininterval=0.25, dynamic_ncols=True, **settings)
