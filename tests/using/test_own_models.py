"""Winners that are the user's own: used where they were trained, and in another process afterwards."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn
from typer.testing import CliRunner

import helpers
import modelzero as mz
from modelzero.cli import app
from modelzero.models import skops_file
from modelzero.runs.folder import write_record
from modelzero.runs.record import CLASSIFIER, MODEL

MINE = """
from pathlib import Path

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

with Path(__file__).with_suffix(".log").open("a") as log:
    log.write("imported\\n")


class Squared(TransformerMixin, BaseEstimator):
    def fit(self, rows, labels=None):
        self.is_fitted_ = True
        return self

    def transform(self, rows):
        return rows**2


class Nets:  # no stack of linear layers and ReLUs, which the compiled kernel would train in this process
    def wide(image_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.GELU(), nn.Linear(32, classes))


def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh())


def reshaped():  # with as many parameters as `wide`
    net = Nets.wide((1, 8, 8), 10)
    net[1].weight = nn.Parameter(net[1].weight.T.contiguous())
    net.forward = lambda images: images.flatten(1)[:, :10] + net[3].bias
    return net


def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=100))


def squared():
    return make_pipeline(Squared(), LogisticRegression(max_iter=20))


def doubled():
    return make_pipeline(FunctionTransformer(lambda rows: 2 * rows), LogisticRegression(max_iter=20))
"""

# A new process reads a run, predicts the test images, and exports them if there is a file to write.
FRESH = """
import json, sys
import modelzero as mz

path, model, trusted, to = json.loads(sys.argv[1])
data, run = mz.load("digits"), mz.Run.read(path)
given = mz.predict(run, data.test.images, model=model, trusted=trusted)
exported = to and mz.export(run, to, model=model).parity.holds
print(json.dumps([given.argmax(1).tolist(), type(run.using(model, trusted).model).__name__, exported]))
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's own in the current folder; forgotten afterwards."""
    name = "mine_of_a_test"
    (tmp_path / f"{name}.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__(name)
    del sys.modules[name]


def fresh(path, model=None, trusted=(), to=None):
    """Use a run in a new process; return its predictions, the type of its model, and whether the export is right."""
    words = json.dumps([str(path), model, trusted, to])
    done = subprocess.run([sys.executable, "-c", FRESH, words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_a_module_that_wins_is_used_here_and_elsewhere(mine, digits):
    """Trained in a worker process; the record names its factory, and a new process exports it to ONNX."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    ladder = mz.climb(digits, ["majority", mz.Rung("wide", mine.Nets.wide)], seeds=1, workers=1)
    run = ladder.runs[-1]
    assert (ladder.worth_it, run.record.factory) == ("wide", "mine_of_a_test:Nets.wide")
    assert torch.equal(mz.predict(run, digits.test.images).argmax(1), run.test_predictions)
    assert mz.export(run, "here.onnx").parity.holds
    found = fresh(run.path, "mine_of_a_test:Nets.wide", to="there.onnx")
    assert found == [run.test_predictions.tolist(), "Sequential", True]
    assert Path("here.onnx").read_bytes() == Path("there.onnx").read_bytes()


@pytest.mark.slow
def test_a_pipeline_that_wins_is_used_here_and_elsewhere(mine, digits):
    """It is stored beside its run as a file of skops, with a checksum in the record; the user's code may be gone."""
    pytest.importorskip("skops")
    ladder = helpers.climb(digits, ["majority", mine.pipeline], seeds=1)
    run = ladder.runs[-1]
    assert ladder.worth_it == "pipeline"
    assert run.record.files[CLASSIFIER].bytes == run.record.model_bytes == (run.path / CLASSIFIER).stat().st_size
    assert torch.equal(run.learner.logits(digits.test.images), run.test_logits)
    Path(mine.__file__).unlink()
    assert fresh(run.path) == [run.test_predictions.tolist(), "Pipeline", None]


def test_types_of_ones_own_are_named_or_known(mine, digits, refuses):
    """In the session of the climb they need no option; a run that is read back does."""
    pytest.importorskip("skops")
    run = helpers.climb(digits, [mine.squared]).runs[0]
    assert torch.equal(run.learner.logits(digits.test.images), run.test_logits)
    again, own = mz.Run.read(run.path), f"{mine.__name__}.Squared"
    with refuses(mz.ModelError, run.id, own, f"--trust {own}", f"trusted=['{own}']"):
        mz.predict(again, digits.test.images)
    assert torch.equal(mz.predict(again, digits.test.images, trusted=[own]).argmax(1), run.test_predictions)
    assert torch.equal(mz.Run.read(run.path, trusted=[own]).learner.logits(digits.test.images), run.test_logits)
    with refuses(mz.SettingError, "expected a list of names"):
        again.using(trusted=own)
    with refuses(mz.ModelError, own):
        _ = again.using(trusted=["no_such.Type"]).model


@pytest.mark.parametrize("has_skops", [False, True])
def test_what_is_not_stored_is_fitted_again_in_its_session(digits, monkeypatch, has_skops, refuses):
    """Without skops, and with a lambda that skops cannot store: the same to the bit, or refused. Later, it is gone."""
    if has_skops:
        pytest.importorskip("skops")
    monkeypatch.setattr(skops_file, "is_installed", lambda: has_skops)

    def doubled():
        return make_pipeline(FunctionTransformer(lambda rows: 2 * rows), LogisticRegression(max_iter=20))

    run = helpers.climb(digits, [mz.Rung("doubled", doubled)]).runs[0]
    assert CLASSIFIER not in run.record.files
    assert run.record.factory is None
    assert torch.equal(run.learner.logits(digits.test.images), run.test_logits)
    words = ["that skops cannot store", "<lambda>"] if has_skops else ["pip install 'modelzero[sklearn-files]'"]
    with refuses(mz.ModelError, run.id, *words):
        mz.predict(mz.Run.read(run.path), digits.test.images)
    other = replace(run, logits=run.test_logits + 1)
    with refuses(mz.ModelError, "fitted again it gives other predictions"):
        _ = other.model


def test_a_stored_classifier_without_skops(mine, digits, monkeypatch, refuses):
    """Whoever gets the run is told what to install."""
    pytest.importorskip("skops")
    run = mz.train(digits, mine.pipeline)
    monkeypatch.setattr(skops_file, "is_installed", lambda: False)
    with refuses(mz.ModelError, run.id, "skops, which is not installed", "pip install 'modelzero[sklearn-files]'"):
        _ = mz.Run.read(run.path).model


def test_a_damaged_classifier(mine, digits, refuses):
    """As weights that are damaged."""
    pytest.importorskip("skops")
    run = mz.train(digits, mine.pipeline)
    (run.path / CLASSIFIER).write_bytes(b"nonsense")
    with refuses(mz.RunError, CLASSIFIER, "damaged", "train again"):
        mz.predict(mz.Run.read(run.path), digits.test.images)
    with refuses(mz.RunError, CLASSIFIER, "damaged"):
        mz.Run.read(run.path).check()


def test_a_record_imports_nothing(mine, digits, refuses):
    """Not the module that it names, whether as the user's own or as one of the ladder; the message says what to add."""
    run = mz.train(digits, mine.Nets.wide, epochs=1)
    log = Path(mine.__file__).with_suffix(".log")
    del sys.modules[mine.__name__]
    assert log.read_text() == "imported\n"
    with refuses(
        mz.ModelError, "a model of your own", "--model mine_of_a_test:Nets.wide", "model='mine_of_a_test:Nets"
    ):
        _ = mz.Run.read(run.path).model
    for name in ("mine_of_a_test:Nets.wide", "mine_of_a_test.narrow"):
        write_record(run.path, replace(run.record, recipe={**run.record.recipe, "model": name}))
        with refuses(mz.ModelError, "no model named"):
            _ = mz.Run.read(run.path).model
    for name in ("a\x1b[2Jb:c", "mine:wide --trust x", 7):  # of a record that was forged
        write_record(run.path, replace(run.record, factory=name))
        with refuses(mz.ModelError, "--model module:name"):
            _ = mz.Run.read(run.path).model
    assert log.read_text() == "imported\n"
    write_record(run.path, run.record)
    assert torch.equal(mz.Run.read(run.path, model="mine_of_a_test:Nets.wide").model[1].weight, run.model[1].weight)
    assert log.read_text() == "imported\nimported\n"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("mine_of_a_test:narrow", "650: expected the same model"),
        ("mine_of_a_test:pipeline", "an unknown number"),
        ("mine_of_a_test:reshaped", "weights do not fit the model that was given"),
        ("softmax", "expected the same model"),
        ("mine_of_a_test:nothing", "cannot be imported"),
    ],
)
def test_another_model_is_refused(mine, digits, model, words, refuses):
    """Before it predicts anything."""
    run = mz.Run.read(mz.train(digits, mine.Nets.wide, epochs=1).path)
    with refuses(mz.ModelError, words):
        mz.predict(run, digits.test.images, model=model)


def test_the_recipe_of_the_record_counts(digits):
    """The standardisation is part of the model; the name of the rung need not be that of the function."""

    def plain():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh())

    run = mz.train(digits, mz.Rung("standard", plain, standardise=True), epochs=1)
    assert run.record.factory is None  # a local function
    again = mz.Run.read(run.path, model=plain)
    assert torch.equal(again.learner.logits(digits.test.images), run.test_logits)
    assert again.model.state_dict().keys() == run.tensors(MODEL).keys()


def test_what_is_resumed_when_finished_knows_the_model(mine, digits):
    """A run and a ladder, given the same models again."""
    run = mz.train(digits, mine.narrow, epochs=1)
    assert torch.equal(mz.resume(run.path, model=mine.narrow).model[1].weight, run.model[1].weight)
    ladder = helpers.climb(digits, ["majority", mine.narrow], seeds=1)
    again = mz.climb(resume=ladder.path, rungs=[mine.narrow])
    assert torch.equal(again.runs[-1].model[1].weight, ladder.runs[-1].model[1].weight)


def test_the_commands_take_the_model(mine, digits):
    """`predict` and `export` with --model, as the message without it says."""
    run = mz.train(digits, mine.narrow, epochs=1)
    for words in (["predict", str(run.path), "none.png"], ["export", str(run.path), "--to", "torch", "-o", "a.pt2"]):
        answer = CliRunner().invoke(app, words)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "add --model mine_of_a_test:narrow" in answer.stderr
        answer = CliRunner().invoke(app, [*words, "--model", "mine_of_a_test:narrow"])
        assert answer.exit_code == (1 if words[0] == "predict" else 0), answer.output  # there is no such image
    assert Path("a.pt2").is_file()


def test_train_says_what_it_could_not_store(mine):
    """And `predict` takes --trust for what it could."""
    pytest.importorskip("skops")
    answer = CliRunner().invoke(app, ["train", "digits", "--model", "mine_of_a_test:doubled"])
    assert "not stored: a Pipeline that skops cannot store: " in answer.stdout
    path = mz.train("digits", mine.squared).path
    answer = CliRunner().invoke(app, ["predict", str(path), "none.png", "--trust", "mine_of_a_test.Squared"])
    assert (answer.exit_code, answer.stdout) == (1, "picture,class,probability\n")  # there is no such image
