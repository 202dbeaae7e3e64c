"""Claim: 100 seeds of model 0, each with its figures and record, take less time than one seed of the chapter's loop.

python benchmarks/seeds.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time

import modelzero as mz
from modelzero.bench import chapter_loop
from pairs import in_turn, table

SEEDS = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    data = mz.load("fashion-mnist")
    ladders = []

    def hundred():
        with tempfile.TemporaryDirectory() as runs_dir:
            start = time.perf_counter()
            ladder = mz.climb(data, ["model0"], seeds=SEEDS, runs_dir=runs_dir)
            seconds = time.perf_counter() - start
            assert [len(run.history) for run in ladder.runs] == [3] * SEEDS
            ladders[:] = [ladder.rungs[0]]
            return seconds

    seconds = in_turn(
        [("the chapter's loop, 1 seed", lambda: chapter_loop(data)[1]), (f"climb, {SEEDS} seeds", hundred)], repeats
    )
    account = ladders[0]
    print(
        f"accuracy {100 * account.accuracy:.2f} % ({100 * account.low:.2f} to {100 * account.high:.2f} %), "
        f"sd {100 * account.sd:.2f} points over {account.seeds} seeds"
    )
    table(seconds)


if __name__ == "__main__":
    main()
