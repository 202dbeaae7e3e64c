"""The simulation of equal methods in `benchmarks/false_claims.py`: what it draws, and a fast share of its cells."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from modelzero.statistics.accuracy import mean_accuracy
from modelzero.statistics.family import compare_with_best_below

# Seeds of each rung; 0 is a rung without randomness.
LADDERS = [[3, 3], [5, 2, 10, 5], [0, 5, 0, 3], [1, 1, 1], [0, 0, 4]]


@pytest.fixture(scope="module")
def simulation():
    path = Path(__file__).parents[2] / "benchmarks" / "false_claims.py"
    spec = importlib.util.spec_from_file_location("false_claims", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seeds", LADDERS, ids=str)
def test_the_simulation_decides_as_the_package_does(simulation, seeds):
    """From its sums over drawn ladders come the numbers that the public functions give for the same pictures."""
    n = 500
    for seed in range(5):
        right = np.zeros((len(seeds), max(*seeds, 1), n), np.uint8)
        methods, pairs = simulation.simulate(n, seeds, 0.01, 1, seed=seed, right=right)
        rights = [rows[: max(count, 1)].astype(bool) for rows, count in zip(right, seeds, strict=True)]
        expected = compare_with_best_below(rights, [count == 0 for count in seeds])
        decision = simulation.decide(n, seeds, methods, pairs)
        adjusted = simulation.holm_rows(decision.p)
        for j, each in enumerate(expected):
            difference = each.difference
            assert (each.best_below, difference.gained, difference.lost) == tuple(pairs[0, j, [4, 2, 3]])
            ours = [getattr(decision, name)[0, j] for name in ("p", "low", "high", "equivalence_high")]
            theirs = [difference.p, difference.low, difference.high, difference.equivalence_high]
            ours += [pairs[0, j, 0], adjusted[0, j], decision.least_detectable[0, j]]
            theirs += [difference.difference, each.p_adjusted, difference.least_detectable]
            assert ours == pytest.approx(theirs, abs=1e-10)
        for rows, sums, count in zip(rights, methods[0], seeds, strict=True):
            accuracy = mean_accuracy(rows)
            assert sums[0] == pytest.approx(accuracy.mean, abs=1e-10)
            if count > 1:
                reach = simulation.reach_on_new_pictures((sums[1], n), (sums[2], count))
                assert accuracy.mean - reach == pytest.approx(accuracy.low, abs=1e-10)


def test_all_drawn_methods_are_equally_good_and_as_good_as_said(simulation):
    """With shifts or without randomness, the mean accuracy is the population's; a lifted rung is better by its lift."""
    effect, ladders = 0.01, 4000
    truth = simulation.mean_over_shifts(simulation.chances(), effect).mean()
    lift = simulation.lift_for(0.01, effect)
    methods, _ = simulation.simulate(500, [2, 0, 2], effect, ladders, own_pictures=True, lift=lift)
    means = methods[:, :, 0]
    error = means.std(axis=0) / ladders**0.5
    assert np.all(np.abs(means.mean(axis=0) - (truth, truth, truth + 0.01)) < 4 * error)


# Where each rule is needed. Without the test by seeds the first cell has 9 % false claims, without the limit on the
# degrees of freedom the second one has 11 %, without the pictures' own part in the test by seeds the third has 7 %,
# and without the correction for the choice of A the last one has 8 %, without Holm 16 %.
CELLS = [
    (10000, [2, 2], 0.01, 4000),
    (10000, [10, 2], 0.01, 2000),
    (10000, [0, 5], 0.01, 20000),
    (2000, [10] * 10, 0.01, 2000),
]


@pytest.mark.parametrize(("n", "seeds", "effect", "ladders"), CELLS, ids=str)
def test_equal_methods_are_seldom_called_different(simulation, n, seeds, effect, ladders):
    """At most 5 % of ladders have a false claim, and intervals hold the truth in at least 94 %, but for noise."""
    truth = simulation.mean_over_shifts(simulation.chances(), effect).mean()
    methods, pairs = simulation.simulate(n, seeds, effect, ladders, seed=1)
    found = simulation.rates(n, seeds, methods, pairs, truth)
    assert found["false_claims"] <= stats.binom.ppf(0.999, ladders, 0.05) / ladders
    least = stats.binom.ppf(0.001, ladders, 0.94) / ladders
    assert found["coverage_worst_rung"] >= least
    assert found["coverage_of_mean"] >= least
