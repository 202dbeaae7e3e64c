"""`Ladder`: the results of a climb, computed from records on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from modelzero.errors import RunError
from modelzero.results.account import Account, account, groups_of
from modelzero.results.comparison import Comparison
from modelzero.results.findings import Findings, Price
from modelzero.results.leaks import Cleaned
from modelzero.results.words import as_html, as_text, sentences
from modelzero.runs.ladders import read_ladder_record
from modelzero.runs.record import FORMAT, LadderRecord, Leaks, LeftOut
from modelzero.runs.run import Run
from modelzero.text import plain


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
        runs: the finished runs; see `read`.
        accounts: accounts of methods collected from single runs; None computes one from each rung's runs.
    """

    def __init__(
        self, path: Path, record: LadderRecord, runs: Sequence[Run], accounts: Sequence[Account] | None = None
    ) -> None:
        self.path = path
        self._given = accounts
        self._accounts: dict[str, tuple[tuple[str, ...], Account]] = {}
        self.update(record, runs)

    @classmethod
    def read(cls, path: str | Path) -> Ladder:
        """Read a ladder from its folder, and its runs from the folders beside it.

        Raises:
            RunError: there is no ladder, it is damaged, or all its runs are missing.
        """
        path = Path(path)
        return cls(path, *_read_finished(path, read_ladder_record(path)))

    def update(self, record: LadderRecord, runs: Sequence[Run]) -> None:
        """Update record and runs; accounts of rungs with the same runs as before are kept."""
        self.record = record
        self.runs = list(runs)
        self._findings: Findings | None = None

    @property
    def findings(self) -> Findings:
        """Everything that follows from the accounts."""
        if self._findings is None:
            accounts = self._given if self._given is not None else self._account_each()
            self._findings = Findings(self.record, accounts)
        return self._findings

    def _account_each(self) -> list[Account]:
        """Compute the account of each rung that has a finished run, in ladder order."""
        by_rung: dict[str, list[Run]] = {}
        for run in self.runs:
            by_rung.setdefault(run.record.model, []).append(run)
        groups = groups_of(self.runs)
        nothing_yet = Findings(self.record, ())
        accounts = []
        for rung in self.record.rungs:
            runs = sorted(by_rung.get(rung.name, []), key=lambda run: run.seed)
            if not runs:
                continue
            diverged = nothing_yet.diverged(rung.name)
            key = (*(run.id for run in runs), *(f"diverged {each['seed']}" for each in diverged))
            if rung.name not in self._accounts or self._accounts[rung.name][0] != key:
                self._accounts[rung.name] = key, account(rung.name, rung.adds, runs, diverged=diverged, groups=groups)
            accounts.append(self._accounts[rung.name][1])
        return accounts

    @property
    def rungs(self) -> Sequence[Account]:
        """The account of each rung that has a finished run, in ladder order."""
        return self.findings.rungs

    @property
    def comparisons(self) -> list[Comparison]:
        """Each rung but the first against the best cheaper one below it, as one family."""
        return self.findings.comparisons

    @property
    def worth_it(self) -> str | None:
        """The last rung whose gain over the best cheaper one is `better`; None if there is none."""
        return self.findings.worth_it

    @property
    def price(self) -> Price | None:
        """What `worth_it` gains over the best cheaper rung, and how much more time it takes."""
        return self.findings.price

    @property
    def best(self) -> Account | None:
        """The most accurate rung among those whose trainings all learned, or among all if there is none."""
        return self.findings.best

    @property
    def behind(self) -> Mapping[str, float]:
        """Upper bound of how far each rung is behind the best one; all bounds hold jointly with 95 % confidence."""
        return self.findings.behind

    @property
    def nearly_as_good(self) -> str | None:
        """The rung with the least training time that is shown to be at most 1 point behind the best one."""
        return self.findings.nearly_as_good

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """Missing rungs and trainings, each with the reason."""
        return self.record.left_out

    @property
    def leaks(self) -> Leaks | None:
        """The test images that are also among the training images; None if not searched for."""
        return self.record.leaks

    @property
    def looks(self) -> int:
        """How often such rungs have been compared with overlapping but different seeds; 1 for the first time."""
        return self.findings.looks

    @property
    def without_leaks(self) -> list[Cleaned]:
        """The accuracy of each rung with and without the leaked images; empty if there are none."""
        return self.findings.without_leaks

    @property
    def comparisons_without_leaks(self) -> list[Comparison]:
        """The comparisons without the leaked images; empty if there are none."""
        return self.findings.comparisons_without_leaks

    def rung(self, name: str) -> Account:
        """Return the account of a rung by name."""
        return self.findings.rung(name)

    def verdict(self) -> list[str]:
        """Return the verdict as sentences."""
        return sentences(self.findings)

    def table(self) -> str:
        """Return the tables and the verdict as plain text."""
        return as_text(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `modelzero climb --json`."""
        record, found = self.record.as_dict(), self.findings
        return {
            "format": FORMAT,
            "id": self.path.name,
            "status": record["status"],
            "data": record["data"],
            "rungs": [rung.as_dict() for rung in found.rungs],
            "comparisons": [asdict(comparison) for comparison in found.comparisons],
            "worth_it": found.worth_it,
            "price": None if found.price is None else asdict(found.price),
            "nearly_as_good": found.nearly_as_good,
            "verdict": self.verdict(),
            "left_out": record["left_out"],
            "leaks": found.leaks_as_dict(),
            "runs": [str(run.path) for run in self.runs],
            "ladder": str(self.path),
            "family": record["family"],
            "margin": record["margin"],
            "seconds": record.get("seconds"),
            "behind": dict(found.behind),
            "looks": found.looks,
            "grouping": record.get("grouping"),
        }

    def __repr__(self) -> str:
        rungs = ", ".join(f"{plain(rung.name)} {rung.accuracy:.4f}" for rung in self.rungs)
        return f"Ladder({self.path.name!r}, {self.record.status}, {rungs or 'no rung yet'})"

    def _repr_html_(self) -> str:
        return as_html(self.findings)


def _read_finished(path: Path, record: LadderRecord) -> tuple[LadderRecord, list[Run]]:
    """Read the finished runs; missing ones are marked as lost in the record, and can be trained again."""
    runs, lost = [], {}
    finished = [cell.run for cell in record.cells if cell.status == "finished" and cell.run]
    for name in finished:
        try:
            runs.append(Run.read(path.parent / name))
        except RunError as error:
            lost[name] = str(error)
    if finished and not runs:
        raise RunError(next(iter(lost.values())))
    cells = [replace(cell, status="lost", why=lost[cell.run]) if cell.run in lost else cell for cell in record.cells]
    left_out = list(record.left_out)
    for rung in record.rungs:
        own = [cell for cell in cells if cell.rung == rung.name]
        gone = [cell for cell in own if cell.status == "lost"]
        if gone:
            left_out.append(LeftOut(rung.name, f"{len(gone)} of {len(own)} trainings lost: {gone[0].why}"))
    return replace(record, cells=tuple(cells), left_out=tuple(left_out)), runs
