"""What a report says, gathered from the records and stored predictions of a ladder or of some runs.

Everything is a plain value here: `Report.as_dict()` is what `--json` prints, and the page is filled from nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelzero.data.auditing.audit import audit
from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, quoted
from modelzero.report.again import load_again
from modelzero.report.collected import collect
from modelzero.report.front import on_front
from modelzero.report.mistakes import Confused, Mistake, is_equally_sure, most_confused, surest_mistakes
from modelzero.report.repeat import repeat
from modelzero.results.account import Account
from modelzero.results.calibrated import Calibrated, calibrated, temperature_of
from modelzero.results.ladder import Ladder
from modelzero.runs.record import Run

MOST_MISTAKES = 24
_LARGE = 48 * 48 * 3  # bytes of an image from which half as many are shown
# Bytes of all images up to which the audit is made again: a fifth of a second; three seconds for Fashion-MNIST.
_QUICKLY_AUDITED = 5_000_000
_MEASURED = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Band:
    """A figure of one epoch over the seeds: its mean, the lowest and the highest."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RungReport:
    """What is shown of one rung besides its account.

    Args:
        account: how good it is and what it costs.
        on_front: no other rung is at least as good in less training time.
        shown: the id of the run that calibration and mistakes are taken from: that of the first seed.
        epochs: of each epoch, how many seeds have it and the bands of losses and accuracies; empty for one epoch.
        calibration: of the shown run; None where the test split is too small.
        temperatures: the fitted temperature of each seed's run.
        mistakes: of the shown run, the surest first.
        equally_sure: whether the shown run is as sure of each prediction as of any other.
        confused: pairs of classes, over all seeds.
        recipe: as the record has it.
        engine: what trained it.
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
        """Return it as `--json` prints it: the account, as `climb --json` has it, and the rest beside it."""
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
    """Everything that a report says.

    Args:
        ladder: the ladder; for runs that belong to none, one that was put together from them.
        is_ladder: whether it was climbed.
        rungs: in ladder order.
        runs: id, rung, seed, status and why of every run, also of those that did not finish.
        found: sentences on the data, from records and audit.
        data: the images, where they could be loaded again.
        without_pictures: why they could not; empty where they could.
    """

    ladder: Ladder
    is_ladder: bool
    rungs: list[RungReport]
    runs: list[dict[str, Any]]
    found: list[str]
    data: ImageData | None = field(repr=False)
    without_pictures: str

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the images themselves, as `modelzero report --json` prints it."""
        first = self.ladder.runs[0].record if self.ladder.runs else self.ladder.record
        return {
            **self.ladder.as_dict(),
            "ladder": str(self.ladder.path) if self.is_ladder else None,
            "rungs": [rung.as_dict() for rung in self.rungs],
            "created": self.ladder.record.get("created"),
            "environment": first.get("environment"),
            "environments": _differing(self.ladder.runs),
            "recorded_runs": self.runs,
            "audit": self.found,
            "without_pictures": self.without_pictures,
            "repeat": repeat(self.ladder, is_ladder=self.is_ladder),
        }


def gather(
    sources: Sequence[Ladder | Run | str | Path],
    *,
    pictures: bool = True,
    data: str | Path | ImageData | None = None,
    data_dir: str | Path | None = None,
) -> Report:
    """Gather what a report says of one ladder, or of runs.

    Runs that did not finish, or whose predictions are gone, are named and left out of every figure.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "softmax"], seeds=2, runs_dir=tempfile.mkdtemp())
    >>> report = gather([ladder])
    >>> [rung.account.name for rung in report.rungs], report.without_pictures
    (['majority', 'softmax'], '')

    Args:
        sources: one ladder, or runs; or the folders of either. A ladder beside others stands for its runs.
        images: look for the images, to show mistakes and audit the data once more.
        data: the images, or where they are; None looks where the record says.
        data_dir: where named sets are looked for first.

    Raises:
        RunError: nothing that can be read, or runs on different data.
        DataError: `data` is not what the runs were tested on.
    """
    ladder, is_ladder, listed = collect(sources)
    described = ladder.record["data"]
    found, why = None, "they were not looked for"
    if isinstance(data, ImageData):
        found, why = (data, "") if data.fingerprint == described["fingerprint"] else (None, "other images were given")
    elif pictures:
        found, why = load_again(described, data, data_dir)
    if data is not None and found is None and pictures:
        named = "the images given" if isinstance(data, ImageData) else quoted(str(data), 200)
        raise DataError(
            f"{named}: not the images of these runs, whose fingerprint is {described['fingerprint'][:12]} ({why}): "
            "give those, or leave them out"
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
    picture = int(np.prod(ladder.record["data"]["image_shape"]))
    most = MOST_MISTAKES if picture <= _LARGE else MOST_MISTAKES // 2
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
                mistakes=surest_mistakes(shown, most),
                equally_sure=is_equally_sure(shown),
                confused=most_confused(shown.test_labels.numpy(), [run.test_predictions.numpy() for run in runs]),
                recipe=shown.record["recipe"],
                engine=shown.record.get("engine"),
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
    """Say what records and, where the images are there, the audit know of the data."""
    described = ladder.record["data"]
    said = list(described.get("notes", []))
    if left_out := described.get("left_out"):
        said.append(f"Left out, for they could not be read: {left_out:,} file{'s' * (left_out > 1)}.")
    if data is not None and data.train.images.nbytes + data.test.images.nbytes <= _QUICKLY_AUDITED:
        known = {*said, "Near duplicates were not searched for."}
        said += [sentence for sentence in audit(data, near=False, progress=False).sentences() if sentence not in known]
    leaks = ladder.leaks
    if leaks.get("why"):
        said.append(f"Near duplicates of training images: {leaks['why']}.")
    elif leaks and not leaks.get("positions"):
        said.append("No test image is equal, or nearly equal, to a training image.")
    elif leaks:
        n = described["test_images"]
        said.append(
            f"{len(leaks['positions']):,} of {n:,} test images are also among the training images: "
            f"{leaks['exact']:,} equal, {leaks['near']:,} nearly equal."
        )
    else:
        said.append("These records do not say whether test images are also among the training images.")
    return said


def _differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """List what differs between the environments of the runs, field by field."""
    flat = [
        {**{k: v for k, v in (run.record.get("environment") or {}).items() if k != "versions"},
         **(run.record.get("environment") or {}).get("versions", {})}
        for run in runs
    ]  # fmt: skip
    names = list(dict.fromkeys(name for each in flat for name in each))
    values = {name: list(dict.fromkeys(str(each.get(name)) for each in flat)) for name in names}
    return {name: of for name, of in values.items() if len(of) > 1}
