"""What came out of a climb: accounts, comparisons and the verdict, computed from records when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelzero.errors import RunError
from modelzero.results.account import Account, account, groups_of
from modelzero.results.comparison import Comparison, compare_accounts
from modelzero.results.leaks import Cleaned, keep_unleaked, without_leaks
from modelzero.runs.process import still_there
from modelzero.runs.record import FORMAT, LADDER_RECORD, RECORD, Run
from modelzero.runs.seal import unsealed
from modelzero.statistics.family import furthest_behind
from modelzero.text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from modelzero.data.dataset import ImageData

# A rung is named as nearly as good where it is shown to be at most this much behind the best one.
NEARLY = 0.01


class Ladder:
    """A climb: its rungs with their accounts, the comparisons, and whether the next rung is worth it.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "centroid"], runs_dir=tempfile.mkdtemp())
    >>> [rung.name for rung in ladder.rungs], ladder.worth_it
    (['majority', 'centroid'], 'centroid')
    >>> ladder.comparisons[0].verdict
    'better'

    Args:
        path: the folder of the ladder.
        record: the content of its `ladder.json`.
        runs: the finished runs, in the order of the rungs; see `read`.
    """

    def __init__(self, path: Path, record: Mapping[str, Any], runs: Sequence[Run]) -> None:
        self.path = path
        self.record = record
        self.runs = list(runs)

    @classmethod
    def read(cls, path: str | Path) -> Ladder:
        """Read a ladder from its folder, and its runs from the folders beside it.

        Raises:
            RunError: no ladder there, or a damaged one, or one whose runs are gone.
        """
        path = Path(path)
        record = read_ladder_record(path)
        runs = [cell["run"] for cell in record["cells"] if cell["status"] == "finished"]
        return cls(path, record, _still_whole(path, record, runs))

    @cached_property
    def rungs(self) -> list[Account]:
        """The account of each rung that has a finished run, in ladder order."""
        by_rung: dict[str, list[Run]] = {}
        for run in self.runs:
            by_rung.setdefault(run.record["model"], []).append(run)
        adds = {rung["name"]: rung["adds"] for rung in self.record["rungs"]}
        groups = groups_of(self.runs)
        return [
            account(
                name,
                adds[name],
                sorted(by_rung[name], key=lambda run: run.seed),
                diverged=self._diverged(name),
                groups=groups,
            )
            for name in adds
            if name in by_rung
        ]

    def _diverged(self, name: str) -> list[dict[str, Any]]:
        """List the trainings of a rung whose loss became NaN or infinite; they left no predictions."""
        return [
            {"seed": cell["seed"], "run": None, **cell["not_learned"]}
            for cell in self.record.get("cells", [])
            if cell["rung"] == name and cell["status"] == "failed" and cell.get("not_learned")
        ]

    @property
    def all_diverged(self) -> dict[str, list[dict[str, Any]]]:
        """The same of each rung that has no finished training."""
        known = {rung.name for rung in self.rungs}
        diverged = {rung["name"]: self._diverged(rung["name"]) for rung in self.record["rungs"]}
        return {name: trainings for name, trainings in diverged.items() if trainings and name not in known}

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Each rung but the first against the best cheaper one below it, as one family."""
        return self._compared(self.rungs)

    def _compared(self, rungs: Sequence[Account]) -> list[Comparison]:
        return compare_accounts(rungs, margin=self.record["margin"], size=len(self.record["family"]))

    @property
    def worth_it(self) -> str | None:
        """The last rung whose gain over the best cheaper one is `better`; None if there is none."""
        better = [comparison.rung for comparison in self.comparisons if comparison.verdict == "better"]
        return better[-1] if better else None

    @property
    def price(self) -> dict[str, Any] | None:
        """What `worth_it` gains over the best cheaper rung, and how many times its time that takes."""
        for comparison in self.comparisons:
            if comparison.rung == self.worth_it and comparison.verdict == "better":
                rung, against = self.rung(comparison.rung), self.rung(str(comparison.against))
                times = rung.train_seconds / against.train_seconds if against.train_seconds else None
                return {
                    "against": against.name,
                    "gain": comparison.difference,
                    "gain_low": comparison.low,
                    "gain_high": comparison.high,
                    "times_the_training_time": times,
                    "times_the_prediction_time": rung.test_seconds / against.test_seconds,
                }
        return None

    @property
    def best(self) -> Account | None:
        """The most accurate rung among those whose trainings all learned; of all, where there is none."""
        usable = [rung for rung in self.rungs if rung.all_learned] or self.rungs
        return max(usable, key=lambda rung: rung.accuracy, default=None)

    @cached_property
    def behind(self) -> dict[str, float]:
        """How far each rung is behind the best one at most; all bounds hold together with 95 % confidence.

        Rungs with trainings that did not learn have none.
        """
        usable = [rung for rung in self.rungs if rung.all_learned]
        bounds = furthest_behind(
            [rung.right for rung in usable],
            [not rung.random for rung in usable],
            groups=usable[0].groups if usable else None,
        )
        return {rung.name: bound for rung, bound in zip(usable, bounds, strict=True)}

    @property
    def nearly_as_good(self) -> str | None:
        """The rung with the least training time that is shown to be at most 1 point behind the best one.

        Where none is shown to be, the best one itself.
        """
        if self.best is None:
            return None
        near = [rung for rung in self.rungs if self.behind.get(rung.name, 1.0) <= NEARLY]
        cheapest = min([*near, self.best], key=lambda rung: rung.train_seconds)
        return cheapest.name

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """Rungs and seeds that are not in it, each with the reason."""
        return list(self.record["left_out"])

    @property
    def leaks(self) -> dict[str, Any]:
        """What is known of test images that are also among the training images; empty if nobody looked."""
        return dict(self.record.get("leaks", {}))

    @cached_property
    def without_leaks(self) -> list[Cleaned]:
        """The accuracy of each rung with and without those; empty where there are none."""
        positions = self.leaks.get("positions")
        return without_leaks(self.rungs, positions) if positions else []

    @cached_property
    def comparisons_without_leaks(self) -> list[Comparison]:
        """The comparisons made once more without those; empty where there are none, or where nothing is left."""
        kept = keep_unleaked(self.rungs, self.leaks.get("positions") or ())
        return self._compared(kept) if self.leaks.get("positions") and kept else []

    @property
    def looks(self) -> int:
        """How many times such rungs were looked at, with other numbers of seeds; 1 where this is the first time."""
        return int(self.record.get("looks", 1))

    def rung(self, name: str) -> Account:
        """Return the account of a rung by name."""
        return next(rung for rung in self.rungs if rung.name == name)

    def verdict(self) -> list[str]:
        """Say in sentences what came out."""
        from modelzero.results.words import sentences

        return sentences(self)

    def table(self) -> str:
        """Return the tables and the verdict as plain text."""
        from modelzero.results.words import as_text

        return as_text(self)

    def report(self, path: str | Path = "report.html", *, data: str | Path | ImageData | None = None) -> Path:
        """Write all of it as one HTML file that opens anywhere; see `modelzero.report.page.write_report`.

        Images that the record does not find again, such as those of arrays, are given as `data`.
        """
        from modelzero.report.page import write_report

        return write_report([self], path, data=data)

    def plot(self) -> Figure:
        """Draw accuracy against training time with matplotlib."""
        from modelzero.plots import ladder_figure

        return ladder_figure(self)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as `modelzero climb --json` prints it."""
        return {
            "format": FORMAT,
            "id": self.path.name,
            "status": self.record["status"],
            "data": self.record["data"],
            "rungs": [rung.as_dict() for rung in self.rungs],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "worth_it": self.worth_it,
            "price": self.price,
            "nearly_as_good": self.nearly_as_good,
            "verdict": self.verdict(),
            "left_out": self.left_out,
            "leaks": self._leaks_as_dict() if self.leaks else None,
            "runs": [str(run.path) for run in self.runs],
            "ladder": str(self.path),
            "family": self.record["family"],
            "margin": self.record["margin"],
            "seconds": self.record.get("seconds"),
            "behind": self.behind,
            "looks": self.looks,
            "grouping": self.record.get("grouping"),
        }

    def _leaks_as_dict(self) -> dict[str, Any]:
        return {
            **self.leaks,
            "rungs": [asdict(each) for each in self.without_leaks],
            "comparisons": [asdict(each) for each in self.comparisons_without_leaks],
        }

    def __repr__(self) -> str:
        rungs = ", ".join(f"{plain(rung.name)} {rung.accuracy:.4f}" for rung in self.rungs)
        return f"Ladder({self.path.name!r}, {self.record['status']}, {rungs or 'no rung yet'})"

    def _repr_html_(self) -> str:
        from modelzero.results.words import as_html

        return as_html(self)


def read_ladder_record(path: Path) -> dict[str, Any]:
    """Read the record of a ladder alone; one whose process died is `interrupted`.

    Raises:
        RunError: no ladder there, or a damaged one.
    """
    try:
        record: dict[str, Any] = unsealed((path / LADDER_RECORD).read_bytes().decode())
        if record["format"] > FORMAT:
            raise RunError(f"{path} was written by a newer modelzero (format {record['format']}): update modelzero")
        for key in ("rungs", "family", "cells"):
            record.setdefault(key, [])
        _ = [(cell["run"], cell["status"]) for cell in record["cells"]]
        _ = record["status"], record["data"]["name"], [rung["name"] for rung in record["rungs"]]
        if record.get("status") == "running" and still_there(record.get("process")) is False:
            record["status"] = "interrupted"
    except OSError as error:
        if (path / RECORD).is_file():
            raise RunError(f"{path} is one run, no ladder: the folder of a ladder is needed") from None
        raise RunError(f"{path} holds no ladder ({error.strerror}): the folder of a ladder is needed") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path / LADDER_RECORD} is damaged: a whole record is needed; climb again") from None
    return record


def read_ladder_records(runs_dir: str | Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read the records of all ladders in a folder of runs, by id, the oldest first; say what could not be read."""
    records: dict[str, dict[str, Any]] = {}
    trouble: list[str] = []
    try:
        paths = sorted(Path(runs_dir).glob(f"*/{LADDER_RECORD}"))
    except (OSError, ValueError):  # too long a name: whoever writes there says so
        return records, trouble
    for path in paths:
        if not path.parent.name.startswith("."):
            try:
                records[path.parent.name] = read_ladder_record(path.parent)
            except RunError as error:
                trouble.append(str(error))
    return records, trouble


def _still_whole(path: Path, record: dict[str, Any], names: list[str]) -> list[Run]:
    """Read the finished runs; what was lost since is said in the record, and can be trained again."""
    runs, lost = [], {}
    for name in names:
        try:
            runs.append(Run.read(path.parent / name))
        except RunError as error:
            lost[name] = str(error)
    if names and not runs:
        raise RunError(next(iter(lost.values())))
    for rung in record["rungs"]:
        cells = [cell for cell in record["cells"] if cell["rung"] == rung["name"]]
        gone = [cell for cell in cells if cell["run"] in lost]
        for cell in gone:
            cell.update(status="lost", why=lost[cell["run"]])
        if gone:
            why = f"{len(gone)} of {len(cells)} trainings lost: {gone[0]['why']}"
            left_out = {"name": rung["name"], "why": why, "predicted_seconds": None, "failed": False}
            record["left_out"] = [*record.get("left_out", []), left_out]
    return runs
