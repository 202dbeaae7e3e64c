"""A ladder says of each of its trainings whether it learned."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modelzero as mz
from collapsing import BECOMES_NAN, COLLAPSES, ONE_DIES, SEEDS, THE_ONE, bright_images
from helpers import Inline
from modelzero.cli import app
from modelzero.climbing.climb import Interrupted


@pytest.fixture(scope="module")
def bright():
    return bright_images()


def climb(data, rungs, **settings):
    return mz.climb(data, rungs, **{"executor": Inline(), "audit": False, "seeds": len(SEEDS), **settings})


def cells(ladder, rung):
    return [cell for cell in ladder.record.cells if cell.rung == rung.name]


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_each_cell_says_whether_it_learned(bright, workers):
    """A rung that collapses on all seeds, one that does on one, one that becomes NaN: the climb goes on to its end."""
    settings = {} if workers is None else {"executor": None, "workers": workers}
    ladder = climb(bright, ["centroid", COLLAPSES, BECOMES_NAN, ONE_DIES], **settings)
    assert ladder.record.status == "finished"
    assert [cell.learned for cell in ladder.record.cells[:1]] == [True]
    for cell in cells(ladder, COLLAPSES):
        assert (cell.status, cell.learned, cell.not_learned["kind"]) == ("finished", False, "loss")
    for cell in cells(ladder, BECOMES_NAN):
        assert (cell.status, cell.learned, cell.run) == ("failed", False, None)
        assert cell.not_learned.keys() == {"kind", "epoch", "step"}
        assert cell.not_learned["kind"] == "not finite"
    assert {cell.seed: cell.learned for cell in cells(ladder, ONE_DIES)} == {seed: seed != THE_ONE for seed in SEEDS}
    runs = {run.id: run for run in ladder.runs}
    assert all(runs[cell.run].not_learned == cell.not_learned for cell in ladder.record.cells if cell.run in runs)
    assert json.loads((ladder.path / "ladder.json").read_text())["cells"] == ladder.record.as_dict()["cells"]


def test_another_failure_says_nothing_of_learning(bright):
    """A bug of the user's is none of the model's."""

    class Fails:
        def fit(self, rows, labels):
            raise RuntimeError("my own bug")

        def predict(self, rows):
            pass

    ladder = climb(bright, ["centroid", Fails], seeds=2)
    assert [(cell.status, cell.learned, cell.not_learned) for cell in ladder.record.cells[1:]] == [
        ("failed", None, None)
    ] * 2


def test_a_climb_that_goes_on_says_the_same(bright):
    """Whether a cell's run was read back, trained anew or failed again."""
    rungs = ["centroid", BECOMES_NAN, ONE_DIES]
    whole = climb(bright, rungs, seeds=3)

    def listen(ladder):
        if sum(cell.status != "planned" for cell in ladder.record.cells) == 6:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        climb(bright, rungs, seeds=3, progress=listen)
    known = [cell.learned for cell in caught.value.ladder.record.cells]
    assert known == [True, False, False, False, True, False, None]
    ladder = climb(bright, rungs[1:], resume=caught.value.ladder.path)
    said = [[(cell.learned, cell.not_learned) for cell in each.record.cells] for each in (ladder, whole)]
    assert said[0] == said[1]


def test_a_line_says_that_a_training_did_not_learn(tmp_path):
    """In a climb beside the accuracy, after a single training as a sentence; the exit code stays 0."""
    Path("dying_for_a_test.py").write_text(
        "from torch import nn\nimport modelzero as mz\n"
        "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 10), nn.ReLU())\n"
        "rung = mz.Rung('mine', make, learning_rate=30.0, epochs=1)\n"
    )
    answer = CliRunner().invoke(
        app, ["climb", "digits", "--rungs", "majority,dying_for_a_test:rung", "--seeds", "1", "--no-audit"]
    )
    assert answer.exit_code == 0
    assert "s, did not learn\n" in answer.stderr
    answer = CliRunner().invoke(app, ["train", "digits", "--model", "dying_for_a_test:rung"])
    assert answer.exit_code == 0
    assert (
        "This training did not learn: its training loss never fell clearly below 2.30, which guessing the class "
        "frequencies gives.\n"
    ) in answer.stdout
    assert "did not learn" not in CliRunner().invoke(app, ["train", "digits", "--model", "model0"]).stdout
