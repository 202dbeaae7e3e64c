"""Runs that the tests of this room share: each rung is trained on the digits once."""

import pytest

import modelzero as mz
from modelzero.models.build import build
from modelzero.models.fitted import Fitted
from modelzero.models.rungs import rung_named


@pytest.fixture(scope="session")
def run_of(digits, tmp_path_factory):
    """Give `run_of(rung)`: a finished run of it, read back from its folder."""
    runs_dir = tmp_path_factory.mktemp("runs")
    paths = {}

    def give(rung):
        if rung not in paths:
            fitted = isinstance(build(rung_named(rung).make, (1, 8, 8), 10), Fitted)
            short = {} if fitted else {"epochs": 1}
            paths[rung] = mz.train(digits, rung, runs_dir=runs_dir, progress=False, **short).path
        return mz.Run.read(paths[rung])

    return give
