"""Claim: false claims, coverage and power are as docs/statistics.md states, in each cell of a simulated grid.

python benchmarks/false_claims.py [--repeats 10000] [--workers 2] [--seed 0] [--quick] [--only WORD] [--json FILE]

Each ladder is drawn at random: n images, whose probabilities of being classified correctly follow a beta distribution
(mean accuracy 0.9 unless a cell says otherwise), and for each rung K seeds, each of which shifts the probabilities of
all images (clipped to 0 and 1). All rungs have the same probabilities, so every claim is false. A rung without
randomness has one run and no shift; its probabilities are the means over the shifts, so that it is exactly as good. If
images come in groups, those of one group share one probability, and four of five copy their group's outcome; each rung
finds different groups hard. All decisions come from the package's own code.

Power is measured at the difference for which it is promised: the first of two rungs is made worse by the difference
that the second one's line prints as detectable, and the script counts how often the second is found to be better.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numba
import numpy as np
import scipy
from scipy import optimize, stats

from modelzero.statistics.accuracy import OverUnits, interval_on_new_images
from modelzero.statistics.comparison import decide_seeds, decide_single
from modelzero.statistics.family import LEVEL, claims, holm_rows
from modelzero.statistics.intervals import accuracy_interval
from modelzero.statistics.units import Units

BITS = 16  # chances are whole multiples of 2**-16, and so are the 2**16 equally frequent kinds of images
ONE = 1 << BITS
COPIES = 0.8  # how often an image of a group has the outcome of its group
COLLAPSED, COLLAPSES = 0.8, 0.1  # what a collapsed training loses of its accuracy, and how often one collapses
MARGIN = 0.003


@dataclass(frozen=True)
class Cell:
    """What is drawn.

    Args:
        name: the part of the grid.
        n: images.
        seeds: of each rung; 0 for a rung without randomness.
        effect: standard deviation between seeds.
        accuracy: mean probability of being correct.
        groups: how many groups, 0 for independent images; their sizes are equal, or log-normal if `unequal`.
        own: each rung finds different images hard.
        kind: of the shifts: "normal", "skewed" (most a little up, few far down), "collapse" (one in ten trainings
            fails) or "hidden collapse" (the same, but unnoticed).
        power: measure the power at the printed detectable difference.
    """

    name: str
    n: int
    seeds: tuple[int, ...]
    effect: float = 0.0
    accuracy: float = 0.9
    groups: int = 0
    unequal: bool = False
    own: bool = False
    kind: str = "normal"
    power: bool = field(default=False, compare=False)

    def units(self) -> Units:
        """Return the units of its test split."""
        if not self.groups:
            return Units.of(self.n)
        sizes = np.ones(self.groups)
        if self.unequal:
            sizes = np.exp(stats.norm.ppf((np.arange(self.groups) + 0.5) / self.groups))
        edges = np.rint(np.cumsum(sizes) / sizes.sum() * self.n).astype(int)
        return Units.of(self.n, np.repeat(np.arange(self.groups), np.diff(edges, prepend=0)))


def grid():
    """List all cells."""
    cells = []
    for rungs in (2, 10):
        of_size = {"power": rungs == 2}
        for n in (500, 2000, 10000):
            cells += [
                Cell("equal seeds", n, (k,) * rungs, effect, **of_size)
                for k in (2, 3, 5, 10)
                for effect in (0.0, 0.003, 0.01)
            ]
        for n in (20, 49, 100):
            cells += [
                Cell("few images", n, (k,) * rungs, effect, **of_size) for k in (2, 3, 5, 10) for effect in (0.0, 0.03)
            ]
        for n in (49, 100, 500, 2000):
            cells += [
                Cell("99 %", n, (k,) * rungs, effect, 0.99, **of_size) for k in (3, 5, 10) for effect in (0.0, 0.003)
            ]
        for n, groups, unequal in ((500, 50, False), (2000, 100, False), (500, 50, True), (2000, 100, True),
                                   (100, 10, False), (100, 20, False)):  # fmt: skip
            cells += [
                Cell("groups", n, (k,) * rungs, effect, groups=groups, unequal=unequal, own=True, **of_size)
                for k in (0, 1, 3, 5, 10)
                for effect in ((0.0, 0.01) if k > 1 else (0.0,))
            ]
        cells += [Cell("groups, 99 %", 500, (k,) * rungs, 0.0, 0.99, 50, own=True) for k in (0, 1, 3, 10)]
        cells += [Cell("collapse", 2000, (k,) * rungs, 0.003, kind="collapse") for k in (3, 5, 10)]
        cells += [Cell("hidden collapse", 2000, (k,) * rungs, 0.003, kind="hidden collapse") for k in (3, 5, 10)]
    for n in (49, 500, 2000, 10000):
        for seeds in ((0, 5) * 5, (0, *(5,) * 9), (0, 2), (0, 3), (0, 5), (0, 10), (10, 2), (2, 10), (5, 2, 10)):
            cells += [Cell("mixed", n, seeds, effect) for effect in (0.0, 0.01)]
        # Without a seed effect: a claim about two trained models is false only where both are equally good.
        cells += [Cell("single runs", n, (1,) * rungs) for rungs in (2, 10)]
        cells += [Cell("own hard images", n, seeds, 0.01, own=True) for seeds in ((0,) * 10, (0, 10), (3, 3), (10, 10))]
    for n in (500, 2000, 10000):
        for effect in (0.01, 0.03):
            cells += [Cell("skewed", n, seeds, effect, kind="skewed") for seeds in ((0, 3), (0, 5), (0, 10))]
            cells += [Cell("skewed", n, seeds, effect, kind="skewed") for seeds in ((3, 3), (5, 5), (10, 10), (10, 3))]
    return cells


# The cells where no formula can hold the promise; they are shown apart, with their rate.
BEYOND = ("skewed", "hidden collapse")


@cache
def ease(accuracy):
    """Return the probability of each kind of image, from hard to easy."""
    return stats.beta.ppf((np.arange(ONE) + 0.5) / ONE, 2 * accuracy, 2 * (1 - accuracy))


def chances(accuracy=0.9, loss=0.0):
    """Return the probability of each kind of image; `loss` is the fraction of it that is taken away."""
    return np.minimum(ease(accuracy) * (1 - loss), 1.0)


def shifts_of(cell, random, shape):
    """Draw the shift of each seed."""
    if cell.kind == "skewed":
        return cell.effect * (1 - random.exponential(size=shape))
    shifts = random.normal(0, cell.effect, shape)
    if "collapse" in cell.kind:
        shifts -= np.where(random.random(shape) < COLLAPSES, COLLAPSED, 0.0)
    return shifts


@cache
def likely_shifts(cell):
    """Return equally likely shifts."""
    share = (np.arange(1000) + 0.5) / 1000
    if cell.kind == "skewed":
        return cell.effect * (1 - stats.expon.ppf(share))
    shifts = cell.effect * stats.norm.ppf(share)
    return np.concatenate([shifts] * 9 + [shifts - COLLAPSED]) if "collapse" in cell.kind else shifts


def mean_over_shifts(chance, cell):
    """Return the mean of `clip(chance + shift, 0, 1)` over the shifts of a cell."""
    shifts = likely_shifts(cell)
    if not shifts.any():
        return chance
    points = np.concatenate([np.linspace(0, 0.9, 300), np.linspace(0.9, 1, 300)])
    return np.interp(chance, points, np.clip(points[:, None] + shifts, 0, 1).mean(axis=1))


def loss_for(difference, cell):
    """Return the `loss` that makes a method worse by this much, on average over its seeds; see `chances`."""
    base = mean_over_shifts(chances(cell.accuracy), cell).mean()
    return optimize.brentq(
        lambda x: base - mean_over_shifts(chances(cell.accuracy, x), cell).mean() - difference, 0, 1, xtol=1e-6
    )


@numba.njit(cache=True)
def fill(state, words):
    """Fill with random bits by xoshiro256++ (D. Blackman and S. Vigna 2021, ACM TOMS 47:36)."""
    a, b, c, d = state[0], state[1], state[2], state[3]
    for i in range(len(words)):
        total = a + d
        words[i] = ((total << np.uint64(23)) | (total >> np.uint64(41))) + a
        moved = b << np.uint64(17)
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= moved
        d = (d << np.uint64(45)) | (d >> np.uint64(19))
    state[0], state[1], state[2], state[3] = a, b, c, d


@numba.njit(cache=True)
def draw(state, tables, seeds, shifts, unit, groups, own, copies, words, bits, kinds, right):
    """Draw one ladder: which images `right[j, k, i]` each seed k of each rung j gets right."""
    n = right.shape[2]
    chance, shared = np.empty(n, np.int32), np.empty(groups, np.uint16)
    for j in range(len(seeds)):
        if j == 0 or own:
            fill(state, words)
            kinds[:] = bits[:n]
        table = tables[j]
        if groups:
            for i in range(n):
                chance[i] = table[kinds[unit[i]]]
        else:
            for i in range(n):
                chance[i] = table[kinds[i]]
        for k in range(seeds[j]):
            if groups:
                fill(state, words)
                shared[:] = bits[:groups]
            fill(state, words)
            row, shift = right[j, k], shifts[j, k]
            for i in range(n):
                row[i] = np.int32(bits[i]) < chance[i] + shift
            if groups:
                fill(state, words)
                for i in range(n):
                    if np.int32(bits[i]) < copies:
                        row[i] = np.int32(shared[unit[i]]) < chance[i] + shift


@numba.njit(cache=True)
def unit_sums(values, unit, sums):
    """Add up values over the images of each unit."""
    sums[:] = 0
    for i in range(len(values)):
        sums[unit[i]] += values[i]


METHOD = ("mean", "squares", "products", "rare", "spread", "noise", "runs")
PAIR = ("difference", "variance", "gained", "lost", "best")


@numba.njit(cache=True)
def ladders(state, tables, seeds, shifts, usable, unit, sizes, correction, own, copies, right, methods, pairs):
    """Draw ladders and sum each up: `methods[l, j]` as METHOD names it, `pairs[l, j - 1]` as PAIR does.

    Each pair is a rung and the best usable one below it; if there is none, or the rung is not usable, best is -1.
    """
    n, groups = right.shape[2], 0 if len(sizes) == right.shape[2] else len(sizes)
    words = np.empty((n + 3) // 4, np.uint64)
    bits = words.view(np.uint16)
    kinds = np.empty(n, np.uint16)
    counts = np.empty((len(seeds), n), np.uint8)
    sums, own_sums = np.empty((len(seeds), groups), np.int64), np.empty(groups, np.int64)
    runs = np.empty(len(seeds), np.int64)
    squared_sizes = 0
    for g in range(len(sizes)):
        squared_sizes += sizes[g] * sizes[g]
    for ladder in range(len(shifts)):
        draw(state, tables, seeds, shifts[ladder], unit, groups, own, copies, words, bits, kinds, right)
        for j in range(len(seeds)):
            runs[j], count = seeds[j], counts[j]
            count[:] = 0
            total = squares_of_totals = 0.0
            for k in range(runs[j]):
                row, of_seed = right[j, k], 0
                for i in range(n):
                    count[i] += row[i]
                    of_seed += row[i]
                total += of_seed
                squares_of_totals += float(of_seed) * of_seed
            partly = 0
            for i in range(n):
                partly += (count[i] > 0) & (count[i] < runs[j])
            if not partly and runs[j] > 1:  # equal rows are one run
                total, runs[j] = total / runs[j], 1
                for i in range(n):
                    count[i] = count[i] > 0
            majority = 2 * total >= runs[j] * n
            seeds_squared = np.int64(0)  # over units, of each seed's sum
            squares = products = rare = 0
            if groups:
                unit_sums(count, unit, sums[j])
                for k in range(runs[j]):
                    unit_sums(right[j, k], unit, own_sums)
                    for g in range(groups):
                        seeds_squared += own_sums[g] * own_sums[g]
                for g in range(groups):
                    squares += sums[j, g] * sums[j, g]
                    products += sums[j, g] * sizes[g]
                    rare += (runs[j] * sizes[g] - sums[j, g] if majority else sums[j, g]) > 0
            else:
                seeds_squared, products = np.int64(total), np.int64(total)
                for i in range(n):
                    squares += np.int32(count[i]) * np.int32(count[i])
            out = methods[ladder, j]
            out[0] = total / (runs[j] * n)
            out[1], out[2], out[3] = squares / runs[j] ** 2, products / runs[j], rare
            out[4:6] = 0.0
            if runs[j] > 1:
                out[4] = (runs[j] * squares_of_totals - total * total) / (runs[j] * (runs[j] - 1.0)) / (n * n)
                out[5] = (runs[j] * seeds_squared - squares) / (runs[j] * (runs[j] - 1.0) * n * n)
            out[6] = runs[j]
            if j == 0:
                continue
            pair = pairs[ladder, j - 1]
            best = -1
            for i in range(j):
                if usable[ladder, i] and (best < 0 or methods[ladder, i, 0] > methods[ladder, best, 0]):
                    best = i
            pair[:] = 0.0
            pair[4] = best if usable[ladder, j] else -1
            if pair[4] < 0:
                continue
            below, runs_a = counts[best], runs[best]
            gained = lost = 0
            for i in range(n):
                gained += np.int32(count[i]) * (np.int32(runs_a) - np.int32(below[i]))
                lost += np.int32(below[i]) * (np.int32(runs[j]) - np.int32(count[i]))
            total_d = squares_d = products_d = 0
            if groups:
                for g in range(groups):
                    d = sums[j, g] * runs_a - sums[best, g] * runs[j]
                    total_d += d
                    squares_d += d * d
                    products_d += d * sizes[g]
            else:
                for i in range(n):
                    d = np.int32(count[i]) * np.int32(runs_a) - np.int32(below[i]) * np.int32(runs[j])
                    total_d += d
                    squares_d += d * d
                products_d = total_d
            whole = n * n * squares_d - 2 * n * total_d * products_d + total_d * total_d * squared_sizes
            pair[0] = out[0] - methods[ladder, best, 0]
            pair[1] = correction * whole / float(n) ** 4 / (float(runs[j]) * runs_a) ** 2
            pair[2], pair[3] = np.rint(gained / (runs[j] * runs_a)), np.rint(lost / (runs[j] * runs_a))


def simulate(cell, repeats, *, seed=0, loss=0.0, right=None):
    """Draw ladders of a cell; return what they sum up to, see `ladders`, and which rungs can be compared.

    Args:
        cell: what is drawn.
        repeats: how many ladders.
        seed: of the draws.
        loss: of the first rung, see `chances`.
        right: gets the last ladder drawn.
    """
    number = [ord(letter) for letter in cell.name + cell.kind]
    streams = np.random.SeedSequence(
        (seed, cell.n, *cell.seeds, round(cell.effect * 1e6), round(cell.accuracy * 1e6), cell.groups, cell.unequal,
         cell.own, repeats, round((loss + 1) * 1e9), *number)
    )  # fmt: skip
    fixed, runs = np.array(cell.seeds) == 0, np.maximum(cell.seeds, 1)
    tables = [chances(cell.accuracy, loss if j == 0 else 0.0) for j in range(len(cell.seeds))]
    tables = [mean_over_shifts(t, cell) if is_fixed else t for t, is_fixed in zip(tables, fixed, strict=True)]
    shifts = shifts_of(cell, np.random.default_rng(streams), (repeats, len(cell.seeds), max(runs)))
    shifts[:, fixed] = 0
    trained = np.arange(max(runs)) < runs[:, None]
    failed = ((shifts < -COLLAPSED / 2) & trained).any(axis=2)
    usable = ~failed if cell.kind == "collapse" else np.ones(failed.shape, bool)
    units = cell.units()
    methods = np.zeros((repeats, len(cell.seeds), len(METHOD)))
    pairs = np.zeros((repeats, len(cell.seeds) - 1, len(PAIR)))
    right = np.zeros((len(cell.seeds), max(runs), cell.n), np.uint8) if right is None else right
    ladders(
        streams.generate_state(4, np.uint64),
        np.stack([np.rint(table * ONE).astype(np.int32) for table in tables]),
        runs,
        np.rint(shifts * ONE).astype(np.int32),
        usable,
        np.arange(cell.n) if units.index is None else units.index,
        units.sizes,
        units.correction,
        cell.own,
        round(COPIES * ONE),
        right,
        methods,
        pairs,
    )
    return methods, pairs, usable


@dataclass(frozen=True)
class Lines:
    """The decisions on all rungs but the first of all ladders, each an array [ladders, rungs - 1]."""

    made: np.ndarray
    difference: np.ndarray
    p_adjusted: np.ndarray
    claim: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_most: np.ndarray
    detectable: np.ndarray


def decide(cell, methods, pairs, *, detectable=True):
    """Decide for all rungs of all ladders with the package's own rules, as `compare_with_best_below` does for one."""
    difference, variance, gained, lost, best = np.moveaxis(pairs, -1, 0)
    best, made = best.astype(int), best >= 0
    below, rung = np.take_along_axis(methods, np.maximum(best, 0)[:, :, None], axis=1), methods[:, 1:]
    usable = np.concatenate([made[:, :1] | True, made], axis=1)
    chosen_from = np.maximum(np.cumsum(usable, axis=1)[:, :-1], 1) if not made.all() else np.arange(1, len(cell.seeds))
    units = cell.units()
    decisions = [
        decide_seeds(
            difference,
            (units.with_half_a_unit(variance, one_run=(below[..., 6] == 1) | (rung[..., 6] == 1)), units.effective),
            *((each[..., 4], each[..., 5], each[..., 6]) for each in (below, rung)),
            chosen_from=chosen_from,
        )
    ]
    single = np.zeros(difference.shape, bool)
    if units.index is None:
        single = (below[..., 6] == 1) & (rung[..., 6] == 1)
    if single.any():
        decisions.append(decide_single(gained, lost, cell.n, chosen_from=chosen_from))

    def either(values):
        return np.where(single, values[-1], values[0])

    p = np.where(made, either([each.p for each in decisions]), 1.0)
    adjusted, levels = holm_rows(p)
    first = LEVEL / p.shape[1]
    low, high = (either(ends) for ends in zip(*(each.interval(levels) for each in decisions), strict=True))
    widest = either([np.maximum(*map(np.abs, each.interval(first))) for each in decisions])
    seen = either([each.detectable(first) for each in decisions]) if detectable else np.full(p.shape, np.inf)
    return Lines(made, difference, adjusted, claims(difference, adjusted), low, high, widest, seen)


def contradictions(lines):
    """Count the lines that contradict themselves."""
    claimed = lines.claim != 0
    wrong = claimed != ((lines.low > 0) | (lines.high < 0))
    wrong |= (lines.difference < lines.low) | (lines.difference > lines.high)
    wrong |= np.abs(lines.difference) > lines.at_most
    wrong |= np.maximum(np.abs(lines.low), np.abs(lines.high)) > lines.at_most + 1e-12
    wrong |= ~claimed & (lines.detectable < np.abs(lines.difference))
    wrong |= (lines.low < -1) | (lines.high > 1)
    return int((wrong & lines.made).sum())


def coverage_of_means(cell, methods, usable):
    """Return the share of intervals that contain the true accuracy, for the worst rung.

    Where collapsed trainings are noticed, that is the accuracy of those that are not; rungs that have one have no
    interval.
    """
    seen = replace(cell, kind="normal") if cell.kind == "collapse" else cell
    truth = mean_over_shifts(chances(cell.accuracy), seen).mean()
    low, high = intervals_of_means(cell, methods)
    held = (low <= truth) & (truth <= high) & usable
    return float((held.sum(axis=0) / usable.sum(axis=0)).min())


def intervals_of_means(cell, methods):
    """Return the ends of the intervals of the rungs' accuracies, as `mean_accuracy` does for one."""
    units = cell.units()
    mean, squares, products, rare, spread, noise, runs = np.moveaxis(methods, -1, 0)
    low, high = interval_on_new_images(OverUnits(mean, squares, products, rare), units, (spread, noise, runs))
    if units.index is None:
        table = np.array([accuracy_interval(right, cell.n) for right in range(cell.n + 1)])
        one = table[np.rint(mean * cell.n).astype(int)]
        low, high = np.where(runs == 1, one[..., 0], low), np.where(runs == 1, one[..., 1], high)
    return low, high


def power(cell, repeats, seed):
    """Return the difference printed as detectable when it is the true one, and how often it is found."""
    methods, pairs, _ = simulate(cell, repeats, seed=seed)
    found = float(np.median(decide(cell, methods, pairs).detectable))
    base = mean_over_shifts(chances(cell.accuracy), cell).mean()
    share = np.nan
    for _ in range(4):  # what is printed depends a little on the true difference
        if found >= 0.95 * base:
            return None
        methods, pairs, _ = simulate(cell, repeats, seed=seed, loss=loss_for(found, cell))
        lines = decide(cell, methods, pairs)
        share, printed = float((lines.claim > 0).mean()), float(np.median(lines.detectable))
        if abs(printed - found) < 0.01 * found:
            break
        found = printed
    return {"detectable": found, "power": share}


def measure(job):
    """Return a cell with its rates. Ladders of two rungs are cheap, so twice as many are drawn."""
    cell, repeats, seed = job
    repeats *= 2 if len(cell.seeds) == 2 else 1
    methods, pairs, usable = simulate(cell, repeats, seed=seed)
    lines = decide(cell, methods, pairs)
    false = (lines.claim != 0).any(axis=1)
    held = (lines.low <= 0) & (lines.high >= 0)
    held |= ~lines.made
    return {
        **asdict(cell),
        "rungs": len(cell.seeds),
        "repeats": repeats,
        "false_claims": float(false.mean()),
        "false_claims_bound": float(stats.beta.ppf(0.99, false.sum() + 1, repeats - false.sum())),
        "coverage": float(held.mean(axis=0).min()),
        "coverage_of_mean": coverage_of_means(cell, methods, usable),
        "contradictions": contradictions(lines),
        "made": float(lines.made.mean()),
        "at_detectable": power(cell, max(repeats // 5, 200), seed) if cell.power and min(cell.seeds) > 1 else None,
    }


def worse_than_it_looks(repeats, seed):
    """Return how often a method that collapses in one of ten trainings, none of them seen yet, is called better.

    If it does not collapse it is one point better than the other; over all its trainings it is 7 points worse.
    """
    found = []
    for count in (3, 5, 10):
        cell = Cell("a collapse not yet seen", 2000, (count, count), 0.003)
        methods, pairs, _ = simulate(cell, repeats, seed=seed, loss=loss_for(0.01, cell))
        better = decide(cell, methods, pairs, detectable=False).claim[:, 0] > 0
        found.append((count, (1 - COLLAPSES) ** count * float(better.mean())))
    return found


def margins(repeats, seed):
    """Return how often a ladder says "no different" about methods that differ by exactly the margin."""
    found = []
    for count, margin, rungs in ((5, 0.01, 2), (10, 0.01, 2), (5, 0.01, 6), (10, 0.02, 6)):
        cell = Cell("just the margin", 10000, (count,) * rungs, 0.003)
        methods, pairs, _ = simulate(cell, repeats, seed=seed, loss=loss_for(margin, cell))
        if rungs > 2:  # the first rung is the best: all others are that much worse
            methods, pairs, _ = simulate(cell, repeats, seed=seed, loss=-_gain_for(margin, cell))
        lines = decide(cell, methods, pairs, detectable=False)
        said = ((lines.claim == 0) & (lines.at_most < margin)).any(axis=1)
        found.append((count, margin, rungs, float(said.mean())))
    return found


def _gain_for(difference, cell):
    """Return the fraction by which the probabilities must grow to make a method better by this much."""
    base = mean_over_shifts(chances(cell.accuracy), cell).mean()

    def gain(x):
        return mean_over_shifts(np.minimum(chances(cell.accuracy) * (1 + x), 1.0), cell).mean() - base - difference

    return optimize.brentq(gain, 0, 1, xtol=1e-6)


def percent(share):
    return f"{100 * share:.2f}"


def seeds_in_words(seeds):
    """Write `(5, 3)` as 5, 3, and equal ones as 10 x 5."""
    words = ["fixed" if count == 0 else str(count) for count in seeds]
    return f"{len(words)} x {words[0]}" if len(set(words)) == 1 else ", ".join(words[:3]) + " ..." * (len(words) > 3)


def print_row(row):
    """Print one line of the table."""
    images = f"{row['n']:,}" + (
        f" in {row['groups']}{' unequal' if row['unequal'] else ''} groups" if row["groups"] else ""
    )
    at = row["at_detectable"]
    values = [
        row["name"],
        images,
        seeds_in_words(row["seeds"]),
        f"{100 * row['effect']:.1f}",
        f"{percent(row['false_claims'])} (< {percent(row['false_claims_bound'])})",
        percent(row["coverage"]),
        percent(row["coverage_of_mean"]),
        "" if at is None else f"{100 * at['detectable']:.2f}",
        "" if at is None else f"{100 * at['power']:.0f}",
        str(row["contradictions"]),
    ]
    print("| " + " | ".join(values) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10000, help="ladders in each cell; twice as many with two rungs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="every seventh cell with 1,000 ladders")
    parser.add_argument("--only", default="", help="only cells whose name contains this")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    start = time.perf_counter()
    cells, repeats = [cell for cell in grid() if options.only in cell.name], options.repeats
    if options.quick:
        cells, repeats = cells[::7], min(repeats, 1000)
    print(
        "| cell | images | seeds | seed effect | false claims | coverage of the difference | of the mean "
        "| detectable | power there | contradictions |"
    )
    print("| --- | --: " + "| --: " * 8 + "|", flush=True)
    rows = []
    with ProcessPoolExecutor(options.workers) as pool:
        for row in pool.map(measure, [(cell, repeats, options.seed) for cell in cells]):
            rows.append(row)
            print_row(row)
    print(
        f"\n{repeats:,} ladders in each cell, {2 * repeats:,} of two rungs, {max(2 * repeats // 5, 200):,} for power; "
        f"seed {options.seed}, {time.perf_counter() - start:.0f} s on {options.workers} cores; "
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"numba {numba.__version__}."
    )
    kept = [row for row in rows if row["name"] not in BEYOND]
    for title, part in (("where the promise holds", kept), ("in the other cells", [r for r in rows if r not in kept])):
        for name, worst in (("false_claims", max), ("false_claims_bound", max), ("coverage", min),
                            ("coverage_of_mean", min), ("contradictions", max)):  # fmt: skip
            if part:
                value = worst(row[name] for row in part)
                print(
                    f"{title}: worst {name.replace('_', ' ')} {value if name == 'contradictions' else percent(value)}"
                )
    powers = [row["at_detectable"]["power"] for row in rows if row["at_detectable"] and min(row["seeds"]) > 2]
    if powers:
        print(f"power at the printed difference, 3 seeds or more: {100 * min(powers):.0f} to {100 * max(powers):.0f} %")
    for count, share in worse_than_it_looks(repeats, options.seed):
        print(f"collapses in 1 of 10 trainings, {count} seeds without a collapse: called better in {percent(share)} %")
    for count, margin, rungs, share in margins(repeats // 5, options.seed):
        print(f"{rungs} rungs, {count} seeds, {100 * margin:g} points apart: 'no different' in {percent(share)} %")
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "repeats": repeats, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
