"""A progress bar over the trainings of a climb, in terminals and notebooks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

from modelzero.results.ladder import Ladder
from modelzero.runs.record import NOT_NEEDED
from modelzero.text import about, plain

_LABEL_LETTERS = 24


def is_watched() -> bool:
    """Return whether somebody sees a bar: in a notebook, or if standard error is a terminal."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


class Bar:
    """A bar that advances with each training that ends; in a block, it is closed at its end.

    Called with the ladder, like each listener of `climb`.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._shown: set[str] = set()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, ladder: Ladder) -> None:
        """Show how many trainings have ended, and the last one."""
        record = ladder.record
        cells = [cell for cell in record.cells if cell.status != NOT_NEEDED]
        if self._bar is None:
            label = plain(record.data.name, _LABEL_LETTERS)
            if record.expected_seconds is not None and record.budget_seconds is None:
                label += f", about {about(record.expected_seconds)}"
            self._bar = tqdm(desc=label, total=len(cells), unit="training", mininterval=0.25, dynamic_ncols=True)
        self._bar.total, self._bar.n = len(cells), sum(cell.status != "planned" for cell in cells)
        for run in ladder.runs:
            if run.id not in self._shown:
                self._shown.add(run.id)
                accuracy = f"{(run.kept or run.history[-1]).test_accuracy:.2%}"
                last = f"{plain(run.record.model, _LABEL_LETTERS)} seed {run.seed}: {accuracy}"
                self._bar.set_postfix_str(last, refresh=False)
        self._bar.refresh()
