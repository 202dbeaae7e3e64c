"""Methods against each other, from the predictions that their runs have stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelzero.climbing.account import Account, account
from modelzero.errors import RunError, SettingError
from modelzero.runs.record import Run
from modelzero.statistics.family import compare_with_best_below, verdict

MARGIN = 0.003


@dataclass(frozen=True)
class Comparison:
    """A rung against the best cheaper one below it. Differences are fractions.

    Args:
        rung: its name.
        against: the rung below it with the highest mean accuracy.
        difference: accuracy of the one minus accuracy of the other.
        low: lower end of the 95 % interval of that difference.
        high: its upper end.
        p: p-value of "no difference".
        p_adjusted: adjusted for the family of comparisons that was declared before training (Holm).
        verdict: `better`, `worse`, `no different` or `cannot tell`.
        least_detectable: the least difference that these seeds and pictures could have shown.
        gained: test pictures that the one gets right and the other wrong, on average over pairs of their seeds.
        lost: the other way round.
        of: what it speaks of: methods, or these trained models.
    """

    rung: str
    against: str
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: str
    least_detectable: float
    gained: int
    lost: int
    of: str


def compare_accounts(
    accounts: Sequence[Account], *, margin: float = MARGIN, size: int | None = None
) -> list[Comparison]:
    """Compare each account but the first with the best one before it, as one family.

    Args:
        accounts: in ladder order, on the same test pictures.
        margin: differences below this fraction are practically none.
        size: how many comparisons were declared, if some could not be made.
    """
    if len(accounts) < 2:
        return []
    compared = compare_with_best_below(
        [rung.right for rung in accounts], [not rung.random for rung in accounts], size=size
    )
    return [
        Comparison(
            rung=accounts[each.rung].name,
            against=accounts[each.best_below].name,
            difference=each.difference.difference,
            low=each.difference.low,
            high=each.difference.high,
            p=each.difference.p,
            p_adjusted=each.p_adjusted,
            verdict=verdict(each.difference, each.p_adjusted, margin=margin),
            least_detectable=each.difference.least_detectable,
            gained=each.difference.gained,
            lost=each.difference.lost,
            of=each.difference.of,
        )
        for each in compared
    ]


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
        run_a: what B is compared with.
        run_b: what the difference is in favour of, if it is positive.
        margin: differences below this fraction are practically none.

    Raises:
        RunError: a run that is not finished or cannot be read, or runs on different data.
        SettingError: several runs with the same seed in place of one method.
    """
    methods = [_as_runs(run_a), _as_runs(run_b)]
    return compare_accounts(accounts_of(methods), margin=margin)[0]


def accounts_of(methods: Sequence[Sequence[Run]]) -> list[Account]:
    """Sum up each method; where two have one name, they are called by the ids of their first runs.

    Raises:
        RunError, SettingError: see `compare`.
    """
    check_same_data([run for runs in methods for run in runs])
    names = [str(runs[0].record["model"]) for runs in methods]
    for name, runs in zip(names, methods, strict=True):
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            raise SettingError(
                f"{len(runs)} runs of {name} with seeds {', '.join(map(str, sorted(seeds)))}: each seed once is "
                "needed, the same training twice says nothing new"
            )
    return [
        account(name if names.count(name) == 1 else runs[0].id, "", runs[:1] if not runs[0].record["random"] else runs)
        for name, runs in zip(names, methods, strict=True)
    ]


def methods_of(runs: Sequence[Run]) -> list[list[Run]]:
    """Put runs of one model and recipe together as the seeds of one method; if all are, each stands for itself."""
    groups: list[list[Run]] = []
    for run in runs:
        same = (
            group for group in groups if all(group[0].record[key] == run.record[key] for key in ("model", "recipe"))
        )
        group = next(same, None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    return groups if len(groups) > 1 else [[run] for run in runs]


def check_same_data(runs: Sequence[Run]) -> None:
    """Raise RunError unless all runs were trained and tested on the same pictures."""
    first = runs[0]
    for run in runs[1:]:
        ours, theirs = first.record["data"], run.record["data"]
        if ours["fingerprint"] != theirs["fingerprint"]:
            fields = ("name", "classes", "train_images", "test_images", "image_shape", "fingerprint")
            differing = ", ".join(
                f"{field} {_short(ours[field])} and {_short(theirs[field])}"
                for field in fields
                if ours[field] != theirs[field]
            )
            raise RunError(
                f"runs {first.id} and {run.id} are of different data ({differing}): "
                "runs on the same pictures are needed"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:12] + "..."


def _as_runs(given: Run | str | Path | Sequence[Run]) -> list[Run]:
    if isinstance(given, Run):
        return [given]
    if isinstance(given, str | Path):
        return [Run.read(given)]
    if not given:
        raise RunError("no run given: at least one finished run on each side is needed")
    return list(given)
