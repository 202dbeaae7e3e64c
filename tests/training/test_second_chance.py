"""A training that does not learn is repeated once with a third of its rate, and everything says so."""

import json

import pytest
import torch

import modelzero as mz
from helpers import Stops, climb
from modelzero.models.linear import model0
from modelzero.models.perceptron import mlp
from modelzero.results.comparison import methods_of
from modelzero.training.loop import NonFiniteLossError


@pytest.fixture
def bright(digits):
    """Digits on white paper."""
    splits = [mz.Split(255 - split.images // 8, split.labels) for split in (digits.train, digits.test)]
    return mz.ImageData("bright", *splits, digits.classes)


def rung(**settings):
    """A rung whose rate is far too large, and a third of it is not."""
    return mz.Rung("mine", model0, **{"learning_rate": 0.1, "epochs": 20, **settings})


def runs_in(folder="runs"):
    return [mz.Run.read(path.parent) for path in sorted(folder.glob("*/run.json"))]


@pytest.mark.parametrize("engine", ["fused", "torch"])
@pytest.mark.parametrize(("rate", "third", "status"), [(0.6, 0.2, "failed"), (0.3, 0.1, "finished")])
def test_a_third_of_the_rate_is_tried_once(bright, tmp_path, engine, rate, third, status):
    """The second run has the lower rate and names the first, which stays as it ended and names the second."""
    run = mz.train(bright, rung(learning_rate=rate), engine=engine, progress=False)
    first = mz.Run.read(tmp_path / "runs" / run.record.second_of.run)
    assert (first.status, first.learned) == (status, False)
    assert (first.record.learning_rate, run.record.learning_rate) == (rate, third)
    assert first.record.repeated_as == run.id
    assert run.record.derived["learning_rate"] == f"{third}: a third of {rate}, with which run {first.id} did not learn"
    assert run.all_train_seconds == run.train_seconds + first.train_seconds
    assert len(runs_in(tmp_path / "runs")) == 2
    alone = mz.train(bright, rung(), learning_rate=third, engine=engine, progress=False, runs_dir=tmp_path / "alone")
    assert torch.equal(alone.test_logits, run.test_logits)


def test_a_rate_that_was_asked_for_is_kept(bright):
    """Neither repeated nor hidden."""
    with pytest.raises(NonFiniteLossError):
        mz.train(bright, rung(), learning_rate=30.0, progress=False)
    with pytest.raises(NonFiniteLossError):
        mz.train(bright, rung(learning_rate=30.0, second_chance=False), progress=False)


def test_it_is_done_once_only(bright, tmp_path):
    """Where a third is too much as well, the second training fails as it would alone."""
    with pytest.raises(NonFiniteLossError):
        mz.train(bright, rung(learning_rate=300.0), progress=False)
    assert [run.status for run in runs_in(tmp_path / "runs")] == ["failed", "failed"]


def test_the_second_training_replays_and_is_stored_as_any_other(bright):
    """From its own record alone, without the first."""
    run = mz.train(bright, rung(learning_rate=0.6), progress=False)
    assert mz.replay(run.path, bright, rung(), progress=False).identical
    stored = json.loads((run.path / "run.json").read_text())
    assert stored["second_of"].keys() == {"run", "learning_rate", "seconds"}
    assert mz.resume(run.path, bright, rung()).id == run.id


def test_an_interrupted_first_training_is_repeated_when_it_has_ended(bright, tmp_path):
    """By `resume`, as it would have been without the interruption."""
    with pytest.raises(KeyboardInterrupt):
        mz.train(bright, rung(learning_rate=0.3), engine="torch", progress=Stops(3000))
    (cut,) = runs_in(tmp_path / "runs")
    run = mz.resume(cut.path, bright, rung(), progress=False)
    assert run.record.second_of.run == cut.id
    whole = mz.train(bright, rung(learning_rate=0.3), engine="torch", progress=False, runs_dir=tmp_path / "whole")
    assert torch.equal(run.test_logits, whole.test_logits)


def test_a_ladder_counts_the_second_training_and_says_so(bright):
    """Time of both, no verdict withheld, one sentence; `compare` sees seeds of one method."""
    ladder = climb(bright, ["majority", rung(learning_rate=0.3)], seeds=2, audit=False)
    account = ladder.rung("mine")
    assert (account.seeds, account.second_chances, account.all_learned) == (2, 1, True)
    second, other = ladder.runs[1:]
    first = mz.Run.read(second.path.parent / second.record.second_of.run)
    assert first.train_seconds > 0
    every = first.train_seconds + second.train_seconds + other.train_seconds
    assert account.train_seconds == pytest.approx(every / 2)
    assert any(said.startswith("Repeated: 1 training of mine did not learn at first") for said in ladder.verdict())
    assert mz.Ladder.read(ladder.path).as_dict() == ladder.as_dict()
    assert ladder.comparisons[0].verdict != "no verdict"
    assert [len(method) for method in methods_of(ladder.runs)] == [1, 2]


def test_fitted_models_have_none(digits):
    """There is no rate to lower; a baseline that guesses is meant to."""
    assert mz.train(digits, "majority").record.second_of is None
    assert mz.train(digits, mz.Rung("mlp", mlp, epochs=1), progress=False).record.second_of is None
