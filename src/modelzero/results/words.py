"""Show a ladder: tables for the terminal and the notebook, and the verdict in words."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from modelzero.errors import counted
from modelzero.results.account import Account
from modelzero.results.comparison import Comparison
from modelzero.results.findings import Findings, Price
from modelzero.runs.record import NOT_NEEDED
from modelzero.runs.run import Run
from modelzero.statistics.intervals import most_failures
from modelzero.text import ends, in_bytes, interval, percent, plain, points, seconds
from modelzero.training.learned import why_not_learned

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


_HEADINGS = (
    "rung",
    "accuracy",
    "95 % interval",
    "seeds",
    "sd (noise)",
    "train s",
    "predicted/s",
    "parameters",
    "bytes",
)
_COMPARED = (
    "rung",
    "against",
    "difference",
    "adjusted interval",
    "p adjusted",
    "verdict",
    "at most apart",
    "detectable",
    "images gained, lost",
)
# What the intervals cover, and what they do not.
COVERS = (
    "Intervals: 95 %, for models trained on these training images; another training set may move them. Those of "
    "differences are adjusted like p, and exclude 0 exactly where the verdict is better or worse."
)
# Ratio of prediction times from which the verdict mentions it.
_NOTABLE = 2.0
_WIDTH = 200  # wide enough for every table
# Long names are shortened to beginning and end: names that differ in neither are rare, and ids of runs always do.
_FIRST_LETTERS, _LAST_LETTERS = 20, 19
_WHY_LETTERS = 400
_LEAST_LETTERS = 8  # least width of a column of names, which wraps them
# For runs that were collected after training.
NOT_DECLARED = (
    "Exploratory: these comparisons were not declared before training. Adding seeds, or choosing models, until a "
    "difference shows makes false claims more often than 5 %; a climb declares both first."
)


def rung_table(ladder: Findings) -> Table:
    """Draw the accounts; during a climb, also the waiting rungs and the number of finished trainings."""
    accounts = {rung.name: rung for rung in ladder.rungs}
    rows = []
    for rung in ladder.record.rungs:
        name, planned = rung.name, rung.seeds
        row = _rung_row(accounts[name]) if name in accounts else [_named(name), *[""] * (len(_HEADINGS) - 1)]
        if ladder.record.status == "running" and planned:
            cells = [cell for cell in ladder.record.cells_of(name) if cell.status != NOT_NEEDED]
            row[3] = f"{sum(cell.status != 'planned' for cell in cells)} of {len(cells)}"
        elif name not in accounts:
            continue
        rows.append(row)
    return _table(_HEADINGS, rows)


def account_table(accounts: Sequence[Account]) -> Table:
    """Draw accounts, one in each row."""
    return _table(_HEADINGS, [_rung_row(account) for account in accounts])


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Draw the comparisons."""
    return _table(_COMPARED, [_comparison_row(comparison) for comparison in comparisons], left=(0, 1, 5))


def sentences(ladder: Findings) -> list[str]:
    """Return the verdict as sentences, one finding each."""
    if not ladder.rungs:
        return ["No rung has a finished run."]
    said = []
    price = ladder.price
    if price is not None:
        times = price.times_the_training_time
        name = str(ladder.worth_it)
        cost = f" for {_times(times)} the training time" if times and times >= 1 else ", with less training time"
        of = next(c.of for c in ladder.comparisons if c.rung == name)
        said.append(
            f"Worth it: {_named(name)}, {points(price.gain)} ({ends(price.gain_low, price.gain_high)}) over "
            f"{_named(price.against)}{cost}{_predicts(price)}{_speaks_of(of)}."
        )
    elif len(ladder.rungs) > 1:
        compared = any(c.verdict != "no verdict" for c in ladder.comparisons)
        what = "is shown to be better than" if compared else "could be compared with"
        said.append(f"No rung {what} the best one below it.")
    else:
        (only,) = ladder.rungs
        said.append(f"One rung: {_named(only.name)}, {percent(only.accuracy)} ({interval(only.low, only.high)}).")
    best = ladder.best
    assert best is not None
    near = ladder.rung(str(ladder.nearly_as_good))
    if near is not best:
        said.append(
            f"Nearly as good: {_named(near.name)}, at most {100 * ladder.behind[near.name]:.2f} points behind the best "
            f"rung, in {seconds(near.train_seconds)} s of training instead of {seconds(best.train_seconds)} s for "
            f"{_named(best.name)}."
        )
    said += [
        f"Worse than a cheaper one: {_named(c.rung)}, {points(c.difference)} ({ends(c.low, c.high)}) against "
        f"{_named(str(c.against))}{_speaks_of(c.of)}."
        for c in ladder.comparisons
        if c.verdict == "worse"
    ]
    said += [
        f"{c.verdict.capitalize()}: {_named(c.rung)} against {_named(str(c.against))}; at most "
        f"{100 * c.at_most:.1f} points apart{_speaks_of(c.of)}. {_detectable(c)}"
        for c in ladder.comparisons
        if c.verdict in ("cannot tell", "no different")
    ]
    said += _failures(ladder)
    single = [_named(rung.name) for rung in ladder.rungs if rung.random and rung.learned == 1 and rung.all_learned]
    if single and len(ladder.record.seeds) > 1:
        said.append(f"Trained once: {', '.join(single)}; these statements apply to the trained model, not the method.")
    said += [
        f"Repeated: {counted(rung.second_chances, 'training')} of {_named(rung.name)} did not learn at first, and "
        f"{'was' if rung.second_chances == 1 else 'were'} repeated with a third of the learning rate; their times "
        "include the finished epochs of both."
        for rung in ladder.rungs
        if rung.second_chances
    ]
    said += [
        f"Unstable: {_named(rung.name)}, whose seeds spread {_times(rung.sd / rung.sd_expected)} as far as test-set "
        "noise does."
        for rung in ladder.rungs
        if rung.unstable
    ]
    if ladder.comparisons and not ladder.record.declared:
        said.append(NOT_DECLARED)
    if ladder.looks > 1:
        said.append(
            f"Exploratory: this is look {ladder.looks} at these rungs, with some of the same seeds. Adding seeds until "
            "a difference shows makes false claims more often than 5 %; for a verdict that counts, climb once with a "
            "--seed never used before."
        )
    said += _grouping(ladder)
    said += _leak_sentences(ladder, best)
    return said + [
        f"Left out: {_named(each.name)}, {plain(each.why, _WHY_LETTERS)}." for each in ladder.record.left_out
    ]


def _leak_sentences(ladder: Findings, best: Account) -> list[str]:
    """Describe the accuracy of the best rung without the leaked test images."""
    leaks = ladder.record.leaks
    if leaks is None:
        return []
    unknown = [f"Near duplicates of training images: {leaks.why}."] if leaks.why else []
    if not leaks.positions:
        return unknown
    kinds = [f"{n:,} {words}" for n, words in ((leaks.exact, "equal"), (leaks.near, "nearly equal")) if n]
    n, count = ladder.record.data.test_images, len(leaks.positions)
    of = f"{count:,} of {n:,} test images {'is' if count == 1 else 'are'} also among the training images"
    cleaned = next(each for each in ladder.without_leaks if each.rung == best.name)
    if math.isnan(cleaned.without):
        return [f"Leaked: {of} ({', '.join(kinds)}): the accuracy on new images is unknown.", *unknown]
    without = f"{_named(best.name)} {percent(cleaned.without)} ({percent(cleaned.accuracy)} with)"
    other = [
        f"{_named(c.rung)} against {_named(str(c.against))} {c.verdict} ({points(c.difference)})"
        for c, before in zip(ladder.comparisons_without_leaks, ladder.comparisons, strict=True)
        if (c.verdict, c.against) != (before.verdict, before.against)
    ]
    verdicts = f"; verdicts then: {', '.join(other)}" if other else "; no verdict changes" if ladder.comparisons else ""
    return [f"Leaked: {of} ({', '.join(kinds)}); without them: {without}{verdicts}.", *unknown]


def _detectable(comparison: Comparison) -> str:
    if comparison.least_detectable is None:
        return "Too few seeds or images to detect any difference."
    return f"A difference of about {100 * comparison.least_detectable:.1f} points is detectable."


def _failures(ladder: Findings) -> list[str]:
    """Describe which trainings did not learn, and which failure rate is not ruled out for the others."""
    said = no_verdicts(ladder.rungs)
    said += [_no_verdict(name, trainings, 0) for name, trainings in ladder.all_diverged.items()]
    crashed = {cell.rung for cell in ladder.record.cells if cell.status == "failed"}
    by_seeds: dict[int, list[str]] = {}
    for rung in ladder.rungs:
        if rung.random and rung.all_learned and rung.seeds > 1 and rung.name not in crashed:
            by_seeds.setdefault(rung.seeds, []).append(_named(rung.name))
    return said + [
        f"All {count} trainings of {', '.join(names)} learned; a failure rate of up to "
        f"{100 * most_failures(count):.0f} % is not ruled out."
        for count, names in by_seeds.items()
    ]


def no_verdicts(accounts: Sequence[Account]) -> list[str]:
    """Describe how many trainings of each method did not learn, and why."""
    return [_no_verdict(rung.name, rung.not_learned, rung.learned) for rung in accounts if rung.not_learned]


def no_verdict_on(runs: Sequence[Run]) -> str:
    """Describe a method without finished runs, because their loss became NaN or infinite."""
    trainings = [{"seed": run.seed, **(run.not_learned or {})} for run in runs]
    return _no_verdict(runs[0].record.model, trainings, 0)


def _no_verdict(name: str, not_learned: Sequence[Mapping[str, Any]], learned: int) -> str:
    first = {each["kind"]: each for each in reversed(not_learned)}  # the first of each kind
    whys = "; ".join(f"seed {each['seed']}: {why_not_learned(each)}" for each in reversed(first.values()))
    trained = len(not_learned) + learned
    return (
        f"No verdict: {_named(name)}, {len(not_learned)} of {trained} training{'s' * (trained > 1)} did not learn "
        f"({whys})."
    )


def _grouping(ladder: Findings) -> list[str]:
    """Warn that test images seem to come in groups that were not given."""
    hint = ladder.record.grouping
    return [] if hint is None else [f"Groups: {hint.sentence()}"]


def as_text(ladder: Findings) -> str:
    """Return everything as plain text."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=_WIDTH, highlight=False, markup=False, emoji=False, no_color=True)
    for part in parts(ladder):
        console.print(part, soft_wrap=isinstance(part, str))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def parts(ladder: Findings) -> list[RenderableType]:
    """List the printed parts of a ladder, from top to bottom."""
    drawn: list[RenderableType] = [rung_table(ladder)]
    if ladder.comparisons:
        drawn += ["", "Each rung against the best one above it in the table:", comparison_table(ladder.comparisons)]
    return [*drawn, "", *sentences(ladder), COVERS]


def as_html(ladder: Findings) -> str:
    """Return tables and verdict as HTML for a notebook."""
    drawn = _html_table(_HEADINGS, [_rung_row(rung) for rung in ladder.rungs])
    if ladder.comparisons:
        drawn += _html_table(_COMPARED, [_comparison_row(comparison) for comparison in ladder.comparisons])
    return drawn + "".join(f"<p>{html.escape(sentence)}</p>" for sentence in [*sentences(ladder), COVERS])


def _named(name: str) -> str:
    """Shorten a rung's name, which may be any text, for a line or a table; JSON has the full name."""
    shown = plain(name, None)
    if len(shown) <= _FIRST_LETTERS + 1 + _LAST_LETTERS:
        return shown
    return f"{shown[:_FIRST_LETTERS]}…{shown[-_LAST_LETTERS:]}"


def _rung_row(rung: Account) -> list[str]:
    spread = f"{100 * rung.sd:.2f} ({100 * rung.sd_expected:.2f})" if not math.isnan(rung.sd) else ""
    return [
        _named(rung.name),
        percent(rung.accuracy),
        f"{100 * rung.low:.2f} to {100 * rung.high:.2f} %" if rung.learned else "did not learn",
        seeds_of(rung),
        spread,
        seconds(rung.train_seconds),
        f"{rung.test_images_per_second:,.0f}",
        "" if rung.parameters is None else f"{rung.parameters:,}",
        "" if rung.model_bytes is None else in_bytes(rung.model_bytes),
    ]


def seeds_of(rung: Account) -> str:
    """Show how many trainings count, and out of how many if some did not learn."""
    if rung.not_learned:
        return f"{rung.learned} of {rung.learned + len(rung.not_learned)}"
    return str(rung.seeds) if rung.random else "fixed"


def _comparison_row(comparison: Comparison) -> list[str]:
    against = "" if comparison.against is None else _named(comparison.against)
    if comparison.verdict == "no verdict":
        return [_named(comparison.rung), against, "", "", "", comparison.verdict, "", "", ""]
    least = comparison.least_detectable
    return [
        _named(comparison.rung),
        against,
        points(comparison.difference),
        ends(comparison.low, comparison.high),
        f"{comparison.p_adjusted:.3g}" if comparison.p_adjusted >= 1e-4 else "< 0.0001",
        comparison.verdict,
        f"{100 * comparison.at_most:.2f}",
        "too few" if least is None else f"{100 * least:.2f}",
        f"{comparison.gained:,}, {comparison.lost:,}",
    ]


def _table(headings: tuple[str, ...], rows: list[list[str]], left: tuple[int, ...] = (0,)) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column, heading in enumerate(headings):
        side: Literal["left", "right"] = "left" if column in left else "right"
        if heading in ("rung", "against"):  # in a narrow terminal, names wrap before figures are cut
            least = min(_LEAST_LETTERS, max((len(row[column]) for row in rows), default=0))
            table.add_column(heading, justify=side, overflow="fold", min_width=least)
        else:
            table.add_column(heading, justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _html_table(headings: tuple[str, ...], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times" if ratio < 10 else f"{ratio:,.0f} times"


def _predicts(price: Price) -> str:
    """Describe the prediction time if it differs notably from that of the cheaper rung."""
    ratio = price.times_the_prediction_time
    if ratio <= 1 / _NOTABLE:
        return f"; it predicts {_times(1 / ratio)} as fast"
    return f"; it takes {_times(ratio)} as long to predict" if ratio >= _NOTABLE else ""


def _speaks_of(of: str) -> str:
    return "" if of == "methods" else f" ({of}, not the methods)"
