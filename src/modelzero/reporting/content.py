"""Gather the content of a report from the records and stored predictions of a ladder or of runs.

All values are plain: `Report.as_dict()` is what `--json` prints, and the page shows no other figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelzero.data.again import find_again
from modelzero.data.auditing.audit import audit
from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, counted, quoted
from modelzero.reporting.collected import collect
from modelzero.reporting.front import on_front
from modelzero.reporting.mistakes import Confused, Mistake, is_equally_sure, most_confident_mistakes, most_confused
from modelzero.reporting.repeat import repeat
from modelzero.results.account import Account
from modelzero.results.calibrated import Calibrated, calibrated, temperature_of
from modelzero.results.ladder import Ladder
from modelzero.runs.run import Run

MOST_MISTAKES = 24
_LARGE = 48 * 48 * 3  # bytes: of larger images half as many are shown
# The audit is repeated up to this many bytes of images, which takes 0.2 s; Fashion-MNIST would take 3 s.
_QUICKLY_AUDITED = 5_000_000
_MEASURED = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Band:
    """The mean, lowest and highest value of a figure of one epoch over the seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RungReport:
    """What a report shows of one rung.

    Args:
        account: its accuracy and cost.
        on_front: no other rung is at least as good in less training time.
        shown: the id of the run whose calibration and mistakes are shown: the one of the first seed.
        epochs: for each epoch the number of seeds and the bands of losses and accuracies; empty for a single epoch.
        calibration: of the shown run; None if the test split is too small.
        temperatures: the fitted temperature of each seed's run.
        mistakes: of the shown run, the most confident first.
        equally_sure: whether the shown run gives the same confidence to all predictions.
        confused: the most confused pairs of classes, over all seeds.
        recipe: as recorded.
        engine: the training engine.
    """

    account: Account
    on_front: bool
    shown: str
    epochs: list[dict[str, Any]]
    calibration: Calibrated | None
    temperatures: list[float]
    mistakes: list[Mistake]
    equally_sure: bool
    confused: list[Confused]
    recipe: Mapping[str, Any]
    engine: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the rung as `--json` prints it: the fields of `climb --json`, and more."""
        more = {
            name: getattr(self, name)
            for name in ("on_front", "shown", "epochs", "temperatures", "equally_sure", "recipe", "engine")
        }
        return {
            **self.account.as_dict(),
            **more,
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "mistakes": [asdict(each) for each in self.mistakes],
            "confused": [asdict(each) for each in self.confused],
        }


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Args:
        ladder: the ladder; for single runs, one combined from them.
        is_ladder: whether it is a recorded ladder.
        rungs: in ladder order.
        runs: id, rung, seed, status and why of every run, including unfinished ones.
        found: sentences about the data, from records and audit.
        data: the images, if they could be loaded again.
        without_pictures: why they could not; empty if they could.
    """

    ladder: Ladder
    is_ladder: bool
    rungs: list[RungReport]
    runs: list[dict[str, Any]]
    found: list[str]
    data: ImageData | None = field(repr=False)
    without_pictures: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything except the images, as `modelzero report --json` prints it."""
        first = self.ladder.runs[0].record if self.ladder.runs else self.ladder.record
        environment = first.environment
        return {
            **self.ladder.as_dict(),
            "ladder": str(self.ladder.path) if self.is_ladder else None,
            "rungs": [rung.as_dict() for rung in self.rungs],
            "created": self.ladder.record.created,
            "environment": None if environment is None else environment.as_dict(),
            "environments": _differing(self.ladder.runs),
            "recorded_runs": self.runs,
            "audit": self.found,
            "without_pictures": self.without_pictures,
            "repeat": repeat(self.ladder, is_ladder=self.is_ladder),
        }


def gather(
    sources: Sequence[Ladder | Run | str | Path],
    *,
    images: bool = True,
    data: str | Path | ImageData | None = None,
    data_dir: str | Path | None = None,
) -> Report:
    """Gather the content of a report of one ladder, or of runs.

    Unfinished runs, and runs without readable predictions, are listed but counted in no figure.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "softmax"], seeds=2, runs_dir=tempfile.mkdtemp())
    >>> report = gather([ladder])
    >>> [rung.account.name for rung in report.rungs], report.without_pictures
    (['majority', 'softmax'], '')

    Args:
        sources: one ladder, or runs; or their folders. A ladder among several sources stands for its runs.
        images: load the images, to show mistakes and repeat the audit.
        data: the images, or where they are; None takes the recorded source.
        data_dir: the folder to search first for named datasets.

    Raises:
        RunError: a source cannot be read, or the runs are on different data.
        DataError: `data` are not the images of the runs.
    """
    ladder, is_ladder, listed = collect(sources)
    described = ladder.record.data
    found, why = None, "they were not requested"
    if images or isinstance(data, ImageData):
        found, why = find_again(described, data, data_dir)
    if data is not None and found is None and images:
        named = "the images given" if isinstance(data, ImageData) else quoted(str(data), 200)
        raise DataError(
            f"{named}: not the images of these runs, whose fingerprint is {described.fingerprint[:12]} ({why}): "
            "give those, or leave out --data (data= in Python)"
        )
    return Report(
        ladder=ladder,
        is_ladder=is_ladder,
        rungs=_rungs(ladder),
        runs=listed,
        found=_of_the_data(ladder, found),
        data=found,
        without_pictures=why,
    )


def _rungs(ladder: Ladder) -> list[RungReport]:
    by_id = {run.id: run for run in ladder.runs}
    size = int(np.prod(ladder.record.data.image_shape))
    most = MOST_MISTAKES if size <= _LARGE else MOST_MISTAKES // 2
    described = []
    for rung in ladder.rungs:
        runs = [by_id[run] for run in rung.runs]
        shown = runs[0]
        described.append(
            RungReport(
                account=rung,
                on_front=on_front(rung, ladder.rungs),
                shown=shown.id,
                epochs=_epochs(runs),
                calibration=calibrated(shown),
                temperatures=[temperature_of(run) for run in runs],
                mistakes=most_confident_mistakes(shown, most),
                equally_sure=is_equally_sure(shown),
                confused=most_confused(shown.test_labels.numpy(), [run.test_predictions.numpy() for run in runs]),
                recipe=shown.record.recipe,
                engine=shown.record.engine,
            )
        )
    return described


def _epochs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    longest = max(len(run.history) for run in runs)
    if longest < 2:
        return []
    bands = []
    for number in range(longest):
        epochs = [run.history[number] for run in runs if number < len(run.history)]
        values = {name: [getattr(epoch, name) for epoch in epochs] for name in _MEASURED}
        band = {name: asdict(Band(float(np.mean(of)), min(of), max(of))) for name, of in values.items()}
        bands.append({"epoch": number + 1, "seeds": len(epochs), **band})
    return bands


def _of_the_data(ladder: Ladder, data: ImageData | None) -> list[str]:
    """Say what the records and, if the images are available, the audit know about the data."""
    described = ladder.record.data
    said = list(described.notes)
    if described.left_out:
        said.append(f"{counted(described.left_out, 'unreadable file')} skipped.")
    if data is not None and data.train.images.nbytes + data.test.images.nbytes <= _QUICKLY_AUDITED:
        said += audit(data, near=False, progress=False).sentences(beyond_records=True)
    leaks = ladder.record.leaks
    if leaks is None:
        said.append("These records do not say whether test images are also training images.")
    elif leaks.why:
        said.append(f"Near duplicates of training images: {leaks.why}.")
    elif not leaks.positions:
        said.append("No test image equals or nearly equals a training image.")
    else:
        said.append(
            f"{len(leaks.positions):,} of {described.test_images:,} test images are also among the training images: "
            f"{leaks.exact:,} equal, {leaks.near:,} nearly equal."
        )
    return said


def _differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """List the fields in which the environments of the runs differ."""
    flat = [run.record.environment.flat() for run in runs]
    names = list(dict.fromkeys(name for each in flat for name in each))
    values = {name: list(dict.fromkeys(str(each.get(name)) for each in flat)) for name in names}
    return {name: of for name, of in values.items() if len(of) > 1}
