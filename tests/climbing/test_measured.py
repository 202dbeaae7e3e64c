"""Whether a rung is random is measured: its first two trainings decide whether there are more."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from typer.testing import CliRunner

import modelzero as mz
from drawing import LikeSkorch, OwnGenerator
from helpers import Inline
from modelzero.cli import app
from modelzero.climbing.climb import Interrupted
from modelzero.runs.folder import read_runs


def climb(data, rungs, **settings):
    return mz.climb(data, rungs, **{"executor": Inline(), "audit": False, "seeds": 5, **settings})


def states(ladder):
    """The status of each cell, by rung."""
    found = {}
    for cell in ladder.record.cells:
        found.setdefault(cell.rung, []).append(cell.status)
    return found


def random(ladder):
    return {rung.name: (rung.random, rung.randomness) for rung in ladder.record.rungs}


def timeless(record):
    """A ladder's record without what differs from climb to climb."""
    stored = record.as_dict()
    kept = {key: stored[key] for key in ("status", "seeds", "rungs", "family", "left_out", "not_planned")}
    return kept | {"cells": [{**cell, "run": cell["run"] is not None} for cell in stored["cells"]]}


def test_what_gives_the_same_twice_is_trained_twice(digits):
    """LogisticRegression has a `random_state`, which changes nothing; nothing is left out."""
    ladder = climb(digits, ["majority", mz.Rung("logistic", lambda: LogisticRegression(max_iter=50))])
    assert states(ladder) == {"majority": ["finished"], "logistic": ["finished"] * 2 + ["not needed"] * 3}
    assert random(ladder) == {"majority": (False, "known"), "logistic": (False, "assumed")}
    assert {cell.why for cell in ladder.record.cells[3:]} == {"seeds 42 and 43 gave equal predictions"}
    assert (list(ladder.left_out), ladder.record.status, len(ladder.runs)) == ([], "finished", 3)
    assert [run.record.randomness for run in ladder.runs] == ["known", "assumed", "assumed"]
    stored = json.loads((ladder.path / "ladder.json").read_text())
    assert mz.climb(resume=ladder.path).record.as_dict().items() <= stored.items()


def test_what_draws_without_a_parameter_gets_all_its_seeds(digits):
    """Different ones give different models, the same one the same, also alone and in processes of their own."""
    ladder = climb(digits, [LikeSkorch])
    assert states(ladder) == {"LikeSkorch": ["finished"] * 5}
    assert random(ladder) == {"LikeSkorch": (True, "assumed")}
    assert len({run.test_logits.numpy().tobytes() for run in ladder.runs}) == 5
    again = climb(digits, [LikeSkorch], executor=None, workers=1, seeds=2)
    for run in [*again.runs, mz.train(digits, LikeSkorch, seed=43)]:
        assert torch.equal(run.test_logits, ladder.runs[run.seed - 42].test_logits)


def test_what_nobody_can_seed_is_random(digits):
    """The same seed gives another model, so another seed does too."""
    ladder = climb(digits, [OwnGenerator], seeds=3)
    assert (states(ladder), random(ladder)) == (
        {"OwnGenerator": ["finished"] * 3},
        {"OwnGenerator": (True, "assumed")},
    )


def test_what_is_declared_is_not_measured(digits):
    """`random=False` trains once whatever it draws, `random=True` trains all though they are equal."""
    rungs = [
        mz.Rung("once", LikeSkorch, random=False),
        mz.Rung("all", GaussianNB, random=True),
        mz.Rung("softmax once", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), random=False),
    ]
    ladder = climb(digits, rungs, seeds=3)
    assert states(ladder) == {"once": ["finished"], "all": ["finished"] * 3, "softmax once": ["finished"]}
    assert random(ladder) == {
        "once": (False, "declared"),
        "all": (True, "declared"),
        "softmax once": (False, "declared"),
    }
    assert [(run.record.random, run.record.randomness) for run in ladder.runs][::4] == [(False, "declared")] * 2


def test_of_one_training_nothing_is_known(digits):
    """It takes two to differ; where two are planned they are both trained."""
    assert random(climb(digits, [GaussianNB], seeds=1)) == {"GaussianNB": (None, "assumed")}
    assert random(climb(digits, [GaussianNB], seeds=2)) == {"GaussianNB": (False, "assumed")}


def test_if_one_of_the_first_two_fails_the_others_are_trained(digits):
    """What is equal among those that finished is still known in the end."""

    class FailsOnce(GaussianNB):
        def fit(self, rows, labels):
            flag = Path("failed")
            if not flag.exists():
                flag.touch()
                raise RuntimeError("no luck today")
            return super().fit(rows, labels)

    ladder = climb(digits, [FailsOnce], seeds=4)
    assert states(ladder) == {"FailsOnce": ["failed", "finished", "finished", "finished"]}
    assert random(ladder) == {"FailsOnce": (False, "assumed")}


def test_what_is_hopeless_is_not_tried_with_further_seeds(digits):
    """A model that cannot be made any more costs the first two, and those that wait for them are given up."""
    Path("there").touch()
    submitted = []

    def fails():
        if not Path("there").exists():
            raise mz.ModelError("no more")
        return GaussianNB()

    class Counts(Inline):
        def submit(self, function, job, /):
            Path("there").unlink(missing_ok=True)
            submitted.append(job.seed)
            return super().submit(function, job)

    ladder = climb(digits, ["centroid", mz.Rung("fails", fails)], seeds=4, executor=Counts())
    assert states(ladder) == {"centroid": ["finished"], "fails": ["failed"] * 4}
    assert submitted == [42, 42, 43]
    assert ladder.left_out[0].why.startswith("4 of 4 trainings failed: ")


@pytest.mark.slow
def test_the_record_does_not_depend_on_who_works(digits):
    """One process, two, threads of this one, or none: the same cells are trained."""
    rungs = [mz.Rung("bayes", GaussianNB), LikeSkorch, "softmax"]
    expected = timeless(climb(digits, rungs, seeds=4).record)
    assert sum(cell["run"] for cell in expected["cells"]) == 2 + 4 + 4
    with ThreadPoolExecutor(2) as executor:
        assert timeless(climb(digits, rungs, seeds=4, executor=executor).record) == expected
    for workers in (1, 2):
        assert timeless(climb(digits, rungs, seeds=4, executor=None, workers=workers).record) == expected


def test_what_waited_comes_before_the_next_rung(digits):
    """A deadline shall cut off the last rungs, not the further seeds of an early one."""
    ladder = climb(digits, [LikeSkorch, "softmax"], seeds=4, executor=None, workers=1)
    ended = [(run.record.model, run.seed) for run in sorted(ladder.runs, key=lambda run: run.record.created)]
    assert ended == [(name, seed) for name in ("LikeSkorch", "softmax") for seed in (42, 43, 44, 45)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_climb_that_was_cut_off_comes_to_the_same(digits, count):
    """Whichever moment it was: before the first two had ended, when the others were given up, or later."""
    rungs = [mz.Rung("bayes", GaussianNB), LikeSkorch]

    def listen(ladder):
        if sum(cell.status == "finished" for cell in ladder.record.cells) == count:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        climb(digits, rungs, seeds=3, progress=listen)
    path = caught.value.ladder.path
    known = {run.id for run in mz.Ladder.read(path).runs}
    assert len(known) == count
    for run in read_runs("runs")[0]:  # which the executor had done already
        if run.id not in known:
            shutil.rmtree(run.path)
    ladder = climb(digits, rungs, resume=path)
    assert timeless(ladder.record) == timeless(climb(digits, rungs, seeds=3, runs_dir="whole").record)
    assert states(ladder) == {"bayes": ["finished"] * 2 + ["not needed"], "LikeSkorch": ["finished"] * 3}
    assert known < {run.id for run in ladder.runs}


def test_a_declaration_outlives_an_interruption(digits):
    """It is in the ladder's record: what a rung that is given again says of itself does not count."""

    def listen(ladder):
        raise KeyboardInterrupt

    mine = [mz.Rung("mine", GaussianNB, random=True), mz.Rung("other", GaussianNB)]
    with pytest.raises(Interrupted) as caught:
        climb(digits, mine, seeds=3, progress=listen)
    given = [mz.Rung("mine", GaussianNB), mz.Rung("other", GaussianNB, random=True)]
    ladder = climb(digits, given, resume=caught.value.ladder.path)
    assert states(ladder) == {"mine": ["finished"] * 3, "other": ["finished"] * 2 + ["not needed"]}


def test_within_a_budget_the_planned_seeds_are_what_is_not_needed(digits):
    """A rung gets what fits, and of that what is needed."""
    ladder = mz.climb(digits, ["majority", mz.Rung("bayes", GaussianNB)], seeds=4, budget="60s", workers=1, audit=False)
    assert states(ladder) == {"majority": ["finished"], "bayes": ["finished"] * 2 + ["not needed"] * 2}
    assert not ladder.left_out


def test_a_line_is_printed_for_what_is_not_needed():
    """So that the count comes to its end; and a listing counts what was to be trained."""
    command = [
        "climb",
        "digits",
        "--rungs",
        "majority,sklearn.naive_bayes.GaussianNB",
        "--seeds",
        "3",
        "--workers",
        "1",
    ]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 0
    assert "[4/4] GaussianNB seed 44: not needed: seeds 42 and 43 gave equal predictions" in answer.stderr
    assert "Left out" not in answer.stdout
    (ladder,) = json.loads(CliRunner().invoke(app, ["runs", "--json"]).stdout)["ladders"]
    assert (ladder["finished_runs"], ladder["planned_runs"]) == (3, 3)


def test_threads_that_are_trained_side_by_side_leave_each_others_numbers_alone(digits):
    """Fitting seeds generators that are everybody's: two fits of one process take turns."""
    expected = mz.train(digits, LikeSkorch, seed=42).test_logits
    with ThreadPoolExecutor(4) as executor:
        ladder = climb(digits, [LikeSkorch], executor=executor, seeds=4)
    assert torch.equal(ladder.runs[0].test_logits, expected)


def test_equal_labels_of_two_trainings_are_no_proof(digits):
    """A classifier without scores trains all its seeds; it is fixed where all of them agree."""

    class SaysLabels:
        def fit(self, rows, labels):
            self.means = {label: rows[labels == label].mean(0) for label in range(10)}

        def predict(self, rows):
            return abs(rows[:, None] - [self.means[label] for label in range(10)]).sum(2).argmin(1)

    ladder = climb(digits, ["majority", mz.Rung("labels", SaysLabels)], seeds=3)
    assert states(ladder)["labels"] == ["finished"] * 3
    assert random(ladder)["labels"] == (False, "assumed")
    assert not ladder.rung("labels").random
