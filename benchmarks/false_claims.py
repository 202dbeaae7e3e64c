"""Claim: a ladder of equal methods gets a false "better" or "worse" at most as often as stated, whatever its size.

python benchmarks/false_claims.py [--repeats 10000] [--seed 0] [--quick] [--json FILE]

Each ladder is drawn: n pictures, each with a chance of being got right that is Beta(1.8, 0.2)-distributed (mean
accuracy 0.9), and for each rung K seeds, whose normal shift moves the chance of every picture (cut off at 0 and 1).
All rungs have the same chances, so every claim is false. A rung without randomness has one run and no shift; its
chances are the means over the shifts, so that it is exactly as good. Everything that decides is the package's own code.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from pathlib import Path

import numba
import numpy as np
import scipy
from scipy import optimize, stats

from modelzero.statistics.accuracy import reach_on_new_pictures
from modelzero.statistics.comparison import decide_seeds, decide_single
from modelzero.statistics.family import claims, holm_rows
from modelzero.statistics.intervals import accuracy_interval

BITS = 16  # chances are whole multiples of 2**-16, and so are the 2**16 equally frequent kinds of pictures
ONE = 1 << BITS
EASE = (1.8, 0.2)
PICTURES = (500, 2000, 10000)
EFFECTS = (0.0, 0.003, 0.01)
DIFFERENCES = (0.002, 0.005, 0.01)
MIXED = {  # seeds of each rung, 0 for a rung without randomness
    "fixed, 5, fixed, 5 ...": [0, 5] * 5,
    "fixed, then 9 times 5": [0] + [5] * 9,
    "fixed, 2": [0, 2],
    "fixed, 3": [0, 3],
    "fixed, 5": [0, 5],
    "10, 2": [10, 2],
    "5, 2, 10": [5, 2, 10],
}


def chances(lift=0.0):
    """Return the chance of each kind of picture; `lift` is the share of the errors that is taken away."""
    ease = stats.beta.ppf((np.arange(ONE) + 0.5) / ONE, *EASE)
    return ease + lift * (1 - ease)


def mean_over_shifts(chance, effect):
    """Return the mean of `clip(chance + shift, 0, 1)` for a normal shift with mean 0 and this standard deviation."""
    if effect == 0:
        return chance
    low, high = -chance / effect, (1 - chance) / effect
    inside = chance * (stats.norm.cdf(high) - stats.norm.cdf(low))
    return inside + effect * (stats.norm.pdf(low) - stats.norm.pdf(high)) + stats.norm.sf(high)


def lift_for(difference, effect):
    """Return the share of errors to take away so that a method is better by exactly this much, its seeds included."""
    base = mean_over_shifts(chances(), effect).mean()
    return optimize.brentq(lambda x: mean_over_shifts(chances(x), effect).mean() - base - difference, 0, 0.5)


def thresholds(chance):
    return np.rint(chance * ONE).astype(np.int32)


@numba.njit
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


@numba.njit
def draw(state, tables, seeds, shifts, own_pictures, words, bits, kinds, right):
    """Draw one ladder: which pictures `right[j, k, i]` each seed k of each rung j gets right."""
    n = right.shape[2]
    for j in range(len(seeds)):
        if j == 0 or own_pictures:
            fill(state, words)
            kinds[:] = bits[:n]
        table, chance = tables[j], np.empty(n, np.int32)
        for i in range(n):
            chance[i] = table[kinds[i]]
        for k in range(seeds[j]):
            fill(state, words)
            row, shift = right[j, k], shifts[j, k]
            for i in range(n):
                row[i] = np.int32(bits[i]) < chance[i] + shift


@numba.njit
def ladders(state, tables, seeds, shifts, own_pictures, right, methods, pairs):
    """Draw ladders and sum each up: `methods[l, j]` and, against the best below, `pairs[l, j - 1]`.

    methods: accuracy, V_pictures / n, variance of the seeds' accuracies, noise in it (0 for one run).
    pairs: difference, Var_i(d_i) / n, gained, lost, index of the best below.
    """
    n = right.shape[2]
    words = np.empty((n + 3) // 4, np.uint64)
    bits = words.view(np.uint16)
    kinds = np.empty(n, np.uint16)
    counts = np.empty((len(seeds), n), np.uint8)
    for ladder in range(len(shifts)):
        draw(state, tables, seeds, shifts[ladder], own_pictures, words, bits, kinds, right)
        for j in range(len(seeds)):
            runs, count = seeds[j], counts[j]
            count[:] = 0
            total = squares_of_totals = 0.0
            for k in range(runs):
                row, of_seed = right[j, k], 0
                for i in range(n):
                    count[i] += row[i]
                    of_seed += row[i]
                total += of_seed
                squares_of_totals += float(of_seed) * of_seed
            squares = 0
            for i in range(n):
                squares += np.int32(count[i]) * np.int32(count[i])
            out = methods[ladder, j]
            out[0] = total / (runs * n)
            out[1:] = 0.0
            if runs > 1:
                out[2] = (runs * squares_of_totals - total * total) / (runs * (runs - 1.0)) / (n * n)
                out[3] = (runs * total - squares) / (runs * (runs - 1.0) * n * n)
                of_pictures = (n * squares - total * total) / (n * (n - 1.0) * runs * runs) / n
                out[1] = max(0.0, of_pictures - out[3] / runs)
            if j == 0:
                continue
            best = 0
            for i in range(j):
                if methods[ladder, i, 0] > methods[ladder, best, 0]:
                    best = i
            runs_a, below = seeds[best], counts[best]
            total_d = squares_d = 0
            gained = lost = 0
            for i in range(n):
                d = np.int32(count[i]) * np.int32(runs_a) - np.int32(below[i]) * np.int32(runs)
                total_d += d
                squares_d += d * d
                gained += np.int32(count[i]) * (np.int32(runs_a) - np.int32(below[i]))
                lost += np.int32(below[i]) * (np.int32(runs) - np.int32(count[i]))
            pair = pairs[ladder, j - 1]
            pair[0] = out[0] - methods[ladder, best, 0]
            pair[1] = (n * squares_d - float(total_d) * total_d) / (n * (n - 1.0)) / (float(runs) * runs_a) ** 2 / n
            pair[2], pair[3], pair[4] = np.rint(gained / (runs * runs_a)), np.rint(lost / (runs * runs_a)), best


def simulate(n, seeds, effect, repeats, *, seed=0, own_pictures=False, lift=0.0, right=None):
    """Draw ladders; `seeds[j]` is the number of seeds of rung j, 0 for a rung without randomness.

    Returns what they sum up to, see `ladders`; `lift` is for the last rung. `right` gets the last ladder drawn.
    """
    streams = np.random.SeedSequence((seed, n, *seeds, round(effect * 1e6), repeats, own_pictures, round(lift * 1e9)))
    fixed = np.array(seeds) == 0
    runs = np.maximum(seeds, 1)
    tables = [chances(lift if j == len(seeds) - 1 else 0.0) for j in range(len(seeds))]
    tables = [mean_over_shifts(t, effect) if is_fixed else t for t, is_fixed in zip(tables, fixed, strict=True)]
    shifts = np.random.default_rng(streams).normal(0, effect, (repeats, len(seeds), max(runs))) * ONE
    shifts[:, fixed] = 0
    methods, pairs = np.zeros((repeats, len(seeds), 4)), np.zeros((repeats, len(seeds) - 1, 5))
    right = np.zeros((len(seeds), max(runs), n), np.uint8) if right is None else right
    state = streams.generate_state(4, np.uint64)
    tables = np.stack([thresholds(table) for table in tables])
    ladders(state, tables, runs, np.rint(shifts).astype(np.int32), own_pictures, right, methods, pairs)
    return methods, pairs


def decide(n, seeds, methods, pairs):
    """Decide for all rungs of all ladders with the package's own rules, as `compare` does for one pair."""
    runs = np.maximum(seeds, 1)
    difference, pictures, gained, lost, best = np.moveaxis(pairs, -1, 0)
    best = best.astype(int)
    below, rung = np.take_along_axis(methods, best[:, :, None], axis=1), methods[:, 1:]
    chosen_from = np.arange(1, len(seeds))
    decision = decide_seeds(
        difference,
        (pictures, n),
        (below[..., 2], below[..., 3], runs[best]),
        (rung[..., 2], rung[..., 3], runs[1:]),
        chosen_from=chosen_from,
    )
    if (runs == 1).sum() < 2:
        return decision
    single = decide_single(gained, lost, n, chosen_from=chosen_from)
    alone = (runs[best] == 1) & (runs[1:] == 1)
    return type(decision)(
        **{name: np.where(alone, getattr(single, name), value) for name, value in vars(decision).items()}
    )


def rates(n, seeds, methods, pairs, truth):
    """Return the shares of false claims and of intervals that hold the truth; all rungs are equally good."""
    decision = decide(n, seeds, methods, pairs)
    false = (claims(pairs[..., 0], holm_rows(decision.p)) != 0).any(axis=1)
    repeats = len(false)
    held = (decision.low <= 0) & (decision.high >= 0)
    found = {
        "false_claims": float(false.mean()),
        "false_claims_bound": float(stats.beta.ppf(0.99, false.sum() + 1, repeats - false.sum())),
        "coverage": float(held.mean()),
        "coverage_worst_rung": float(held.mean(axis=0).min()),
    }
    random = [j for j, count in enumerate(seeds) if count > 1]
    if random:
        counts = np.array(seeds)[random]
        reach = reach_on_new_pictures((methods[:, random, 1], n), (methods[:, random, 2], counts))
        found["coverage_of_mean"] = float((np.abs(methods[:, random, 0] - truth) <= reach).mean())
    else:
        table = np.array([accuracy_interval(right, n) for right in range(n + 1)])
        low, high = table[np.rint(methods[..., 0] * n).astype(int)].T
        found["coverage_of_mean"] = float(((low <= truth) & (truth <= high)).mean())
    return found


def cell(n, seeds, effect, repeats, seed, *, own_pictures=False):
    """Return what was drawn and its rates. Ladders of two rungs are cheap, so twice as many are drawn."""
    repeats *= 2 if len(seeds) == 2 else 1
    methods, pairs = simulate(n, seeds, effect, repeats, seed=seed, own_pictures=own_pictures)
    truth = mean_over_shifts(chances(), effect).mean()
    drawn = {"n": n, "seeds": seeds, "effect": effect, "rungs": len(seeds), "repeats": repeats}
    return drawn | rates(n, seeds, methods, pairs, truth)


def power(n, seeds, effect, difference, repeats, seed):
    """Return how often the second of two rungs is found to be better when it is better by this much."""
    methods, pairs = simulate(n, seeds, effect, repeats, seed=seed, lift=lift_for(difference, effect))
    decision = decide(n, seeds, methods, pairs)
    return float((claims(pairs[..., 0], holm_rows(decision.p)) > 0).mean())


def percent(share):
    return f"{100 * share:.2f}"


def print_head():
    print(
        "| pictures | seeds | seed effect | false claims, 2 rungs | 10 rungs | coverage of the difference, 2 rungs "
        "| 10 rungs | coverage of the mean | power at 0.2 | 0.5 | 1 point |"
    )
    print("| --: " * 11 + "|", flush=True)


def print_cell(two, ten):
    """Print one line of the grid: the ladder of two rungs beside that of ten."""
    shares = [percent(two["coverage"]), percent(ten["coverage"]), percent(ten["coverage_of_mean"])]
    shares += [f"{100 * share:.0f}" for share in two["power"]]
    false = [f"{percent(row['false_claims'])} (< {percent(row['false_claims_bound'])})" for row in (two, ten)]
    values = [f"{two['n']:,}", str(two["seeds"][0]), f"{100 * two['effect']:.1f}", *false, *shares]
    print("| " + " | ".join(values) + " |", flush=True)


def print_others(rows):
    """Print the ladders that are not in the grid."""
    print("| ladder | rungs | pictures | seed effect | false claims | coverage of the difference | of the mean |")
    print("| --- " + "| --: " * 6 + "|")
    for row in rows:
        false = f"{percent(row['false_claims'])} (< {percent(row['false_claims_bound'])})"
        values = [row["name"], str(row["rungs"]), f"{row['n']:,}", f"{100 * row['effect']:.1f}", false]
        values += [percent(row["coverage"]), percent(row["coverage_of_mean"])]
        print("| " + " | ".join(values) + " |", flush=True)


def others(pictures, effects, repeats, seed):
    """Return the rows of ladders that mix rungs, of single runs, and of rungs that find different pictures hard."""
    rows = []
    for n in pictures:
        for name, seeds in MIXED.items():
            rows += [{"name": name, **cell(n, seeds, effect, repeats, seed)} for effect in effects]
        # Without a seed effect: a claim about two trained models is false only where both are equally good.
        rows += [{"name": "single runs", **cell(n, [1] * rungs, 0.0, repeats, seed)} for rungs in (2, 10)]
        for seeds in ([0] * 10, [3] * 2, [10] * 2):
            name = f"{seeds[0] or 'fixed'}, and each finds other pictures hard"
            rows += [{"name": name, **cell(n, seeds, max(effects), repeats, seed, own_pictures=True)}]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repeats",
        type=int,
        default=10000,
        help="ladders of ten rungs in each cell; twice as many of two, a fifth for power",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few cells with 1,000 ladders")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    start = time.perf_counter()
    pictures, counts, repeats = PICTURES, (2, 3, 5, 10), options.repeats
    if options.quick:
        pictures, counts, repeats = PICTURES[:2], (2, 5), min(repeats, 1000)
    grid = []
    print_head()
    for n, count, effect in itertools.product(pictures, counts, EFFECTS):
        two, ten = (cell(n, [count] * rungs, effect, repeats, options.seed) for rungs in (2, 10))
        two["power"] = [power(n, two["seeds"], effect, by, repeats // 5, options.seed) for by in DIFFERENCES]
        print_cell(two, ten)
        grid += [two, ten]
    print()
    extra = others(pictures, EFFECTS[::2], repeats, options.seed)
    print_others(extra)
    everything = grid + extra
    print(
        f"\n{repeats:,} ladders in each cell, {2 * repeats:,} of two rungs, {repeats // 5:,} for power; "
        f"seed {options.seed}, {time.perf_counter() - start:.0f} s on one core; "
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"numba {numba.__version__}."
    )
    for name, worst in (
        ("false_claims", max),
        ("false_claims_bound", max),
        ("coverage", min),
        ("coverage_of_mean", min),
    ):
        print(f"worst {name.replace('_', ' ')}: {percent(worst(row[name] for row in everything))} %")
    if options.json:
        options.json.write_text(json.dumps({"seed": options.seed, "repeats": repeats, "rows": everything}, indent=1))


if __name__ == "__main__":
    main()
