"""The commands: they parse, print and set exit codes, and do nothing else.

Exit codes: 0 done, 1 the work failed, 2 bad usage or bad input, 130 interrupted.
Nothing here imports torch before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

from modelzero.cli.app import app
from modelzero.cli.bench import bench
from modelzero.cli.climb import climb
from modelzero.cli.compare import compare
from modelzero.cli.data import data
from modelzero.cli.export import export
from modelzero.cli.inspect import inspect
from modelzero.cli.predict import predict
from modelzero.cli.replay import replay
from modelzero.cli.report import report
from modelzero.cli.reproduce import reproduce
from modelzero.cli.runs import runs
from modelzero.cli.train import train

COMMANDS = (
    climb, compare, report, predict, export, train, replay, reproduce, data, inspect, runs, bench,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command line."""
    app()
