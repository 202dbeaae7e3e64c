"""Compare methods by the stored predictions of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelzero.errors import RunError, SettingError
from modelzero.models.recipe import Recipe
from modelzero.results.account import Account, account, groups_of
from modelzero.runs.ladders import read_ladder_record
from modelzero.runs.run import Run
from modelzero.statistics.family import compare_with_best_below, verdict
from modelzero.statistics.margin import MARGIN


@dataclass(frozen=True)
class Comparison:
    """A rung against the best cheaper one below it. Differences are fractions.

    Args:
        rung: name of the rung.
        against: the rung below it with the highest mean accuracy; None if there is none to compare with.
        difference: accuracy of `rung` minus accuracy of `against`.
        low: lower end of the interval of that difference, adjusted like the p-value: it excludes 0 exactly if the
            verdict is `better` or `worse`.
        high: its upper end.
        p: p-value of "no difference".
        p_adjusted: p-value adjusted for the family of comparisons declared before training (Holm).
        verdict: `better`, `worse`, `no different`, `cannot tell`, or `no verdict` if trainings of the rung, or of all
            below it, did not learn: then the numbers do not describe the method.
        least_detectable: the difference that would be detected in about 80 % of the cases with as many seeds and
            images; None if they are too few for any.
        gained: test images that `rung` gets right and `against` wrong, on average over pairs of their seeds.
        lost: the reverse.
        of: what it applies to: methods, or these trained models.
        level: largest probability that the interval misses the true difference.
        at_most: upper bound of the distance between both.
    """

    rung: str
    against: str | None
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: str
    least_detectable: float | None
    gained: int
    lost: int
    of: str
    level: float
    at_most: float


def compare_accounts(
    accounts: Sequence[Account], *, margin: float = MARGIN, size: int | None = None
) -> list[Comparison]:
    """Compare each account but the first with the best one before it, as one family.

    Accounts with trainings that did not learn are excluded from all comparisons.

    Args:
        accounts: accounts in ladder order, on the same test images.
        margin: differences below this fraction count as practically none.
        size: number of declared comparisons, if some could not be made.
    """
    if len(accounts) < 2:
        return []
    size = max(len(accounts) - 1, size or 0)
    compared = compare_with_best_below(
        [rung.right for rung in accounts],
        [not rung.random for rung in accounts],
        groups=accounts[0].groups,
        usable=[rung.all_learned for rung in accounts],
        size=size,
    )
    by_rung = {each.rung: each for each in compared}
    comparisons = []
    for place, rung in enumerate(accounts[1:], 1):
        each = by_rung.get(place)
        if each is not None:
            comparisons.append(
                Comparison(
                    rung=rung.name,
                    against=accounts[each.best_below].name,
                    difference=each.difference.difference,
                    low=each.low,
                    high=each.high,
                    p=each.difference.p,
                    p_adjusted=each.p_adjusted,
                    verdict=verdict(each.difference.difference, each.p_adjusted, each.at_most, margin=margin),
                    least_detectable=each.detectable,
                    gained=each.difference.gained,
                    lost=each.difference.lost,
                    of=each.difference.of,
                    level=each.level,
                    at_most=each.at_most,
                )
            )
        else:  # some of its trainings did not learn, or there is no usable rung below
            below = [other for other in accounts[:place] if other.all_learned]
            best = max(below, key=lambda other: other.accuracy, default=None)
            comparisons.append(_no_verdict(rung, best, size))
    return comparisons


def _no_verdict(rung: Account, best: Account | None, size: int) -> Comparison:
    """Return the comparison for a rung with trainings that did not learn: no verdict."""
    return Comparison(
        rung=rung.name,
        against=None if best is None else best.name,
        difference=float("nan") if best is None else rung.accuracy - best.accuracy,
        low=-1.0,
        high=1.0,
        p=1.0,
        p_adjusted=1.0,
        verdict="no verdict",
        least_detectable=None,
        gained=0,
        lost=0,
        of="methods",
        level=0.05 / size,
        at_most=1.0,
    )


def compare(
    run_a: Run | str | Path | Sequence[Run], run_b: Run | str | Path | Sequence[Run], *, margin: float = MARGIN
) -> Comparison:
    """Compare B with A, each a run, the folder of one, or the runs of one method with several seeds.

    >>> import tempfile, modelzero as mz
    >>> folder = tempfile.mkdtemp()
    >>> a, b = (mz.train("digits", model, runs_dir=folder) for model in ("majority", "centroid"))
    >>> result = mz.compare(a, b)
    >>> result.rung, result.against, result.verdict
    ('centroid', 'majority', 'better')

    Args:
        run_a: the baseline.
        run_b: what is compared with it; a positive difference means that B is better.
        margin: differences below this fraction count as practically none.

    Raises:
        RunError: a run is not finished or cannot be read, or the runs used different data.
        SettingError: several runs of one method have the same seed.
    """
    return compare_accounts(accounts_of([_as_runs(run_a), _as_runs(run_b)]), margin=margin)[0]


def accounts_of(methods: Sequence[Sequence[Run]]) -> list[Account]:
    """Summarise each method; methods with the same name are called by the ids of their first runs.

    Runs whose loss became NaN or infinite count as trainings that did not learn, beside those that finished.

    Raises:
        RunError, SettingError: see `compare`.
    """
    check_same_data([run for runs in methods for run in runs])
    names = [runs[0].record.model for runs in methods]
    for name, runs in zip(names, methods, strict=True):
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            raise SettingError(
                f"{len(runs)} runs of {name} with seeds {', '.join(map(str, sorted(seeds)))}: expected each seed once, "
                "because repeating a training adds no information"
            )
    finished = [[run for run in runs if not has_diverged(run)] or list(runs) for runs in methods]
    check_same_groups([run for runs in finished for run in runs])
    groups = groups_of([run for runs in finished for run in runs])
    return [
        account(
            name if names.count(name) == 1 else runs[0].id,
            "",
            done,
            diverged=[{"seed": run.seed, "run": run.id, **(run.not_learned or {})} for run in runs if run not in done],
            groups=groups,
        )
        for name, runs, done in zip(names, methods, finished, strict=True)
    ]


def has_diverged(run: Run) -> bool:
    """Return whether the loss of a run became NaN or infinite, so that it has no predictions; not if repeated."""
    return run.status == "failed" and run.learned is False and run.record.repeated_as is None


def intended(run: Run) -> dict[str, Any]:
    """Return the recipe of a run, with the rate of the training that it repeats."""
    first, recipe = run.record.second_of, {**run.record.recipe}
    if run.record.engine:  # older records have fewer settings
        recipe |= Recipe.recorded(recipe)
    return recipe | ({} if first is None else {"learning_rate": first.learning_rate})


def methods_of(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs with the same model and recipe as seeds of one method; if there is only one, each run is a method."""
    groups: list[list[Run]] = []
    for run in runs:
        same = (
            group
            for group in groups
            if group[0].record.model == run.record.model and intended(group[0]) == intended(run)
        )
        group = next(same, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups if len(groups) > 1 else [[run] for run in runs]


def were_declared(runs: Sequence[Run]) -> bool:
    """Return whether these are all finished runs of one ladder, whose comparisons were declared before training.

    For other runs it is unknown whether seeds were added, or rungs chosen, until a difference showed, which makes
    false claims more frequent.
    """
    (name, *others) = {run.record.ladder for run in runs}
    if others or name is None:
        return False
    try:
        record = read_ladder_record(runs[0].path.parent / name)
    except RunError:  # missing or damaged: unknown
        return False
    cells = {cell.run for cell in record.cells if cell.status == "finished"}
    return cells == {run.id for run in runs if run.status == "finished"}


def check_same_data(runs: Sequence[Run]) -> None:
    """Raise RunError unless all runs were trained and tested on the same images."""
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = first.record.data, run.record.data
        if ours.fingerprint != theirs.fingerprint:
            fields = ("name", "classes", "train_images", "test_images", "image_shape", "fingerprint")
            differing = ", ".join(
                f"{field} {_short(getattr(ours, field))} and {_short(getattr(theirs, field))}"
                for field in fields
                if getattr(ours, field) != getattr(theirs, field)
            )
            raise RunError(
                f"runs {first.id} and {run.id} used different data ({differing}): expected runs on the same images"
            )


def check_same_groups(runs: Sequence[Run]) -> None:
    """Raise RunError unless all finished runs with groups have the same groups of test images."""
    grouped = [run for run in runs if run.test_groups is not None]
    for run in grouped[1:]:
        if not np.array_equal(_numbered(run), _numbered(grouped[0])):
            raise RunError(
                f"runs {grouped[0].id} and {run.id} put the test images into different groups "
                f"({_grouped_by(grouped[0])} and {_grouped_by(run)}): expected the same groups"
            )


def _numbered(run: Run) -> np.ndarray:
    """Return the test groups, renumbered in order of first appearance."""
    assert run.test_groups is not None
    _, first, index = np.unique(run.test_groups.numpy(), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index]


def _grouped_by(run: Run) -> str:
    groups = run.record.data.groups
    return "groups" if groups is None else str(groups.by)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:12] + "..."


def _as_runs(given: Run | str | Path | Sequence[Run]) -> list[Run]:
    if isinstance(given, Run):
        return [given]
    if isinstance(given, str | Path):
        return [Run.read(given)]
    if not given:
        raise RunError("no run given: expected at least one finished run on each side")
    return list(given)
