"""Replays of what a record cannot build by itself, and differences that only bits show."""

import json
import shlex
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from torch import nn
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app
from modelzero.runs.folder import write_record
from modelzero.runs.record import RunRecord
from modelzero.runs.seal import fingerprint
from modelzero.training import replay as replay_module
from modelzero.training.replay import _first


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def invoke(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_a_model_of_ones_own_can_be_given(digits, refuses):
    """The message says how, with the right function."""
    run = mz.train(digits, linear, epochs=1)
    with refuses(mz.ModelError, "a model of your own", "mz.replay(", "model=..."):
        mz.replay(run.path)
    assert mz.replay(run.path, model=linear, progress=False).identical
    with refuses(mz.ModelError, "'model0' was given"):
        mz.replay(run.path, model="model0")


@pytest.mark.parametrize("model", [lambda: MLPClassifier(max_iter=2), lambda: SGDClassifier(max_iter=2)])
@pytest.mark.filterwarnings("ignore")
def test_a_classifier_of_scikit_learn_is_replayed(digits, model):
    """Also where its parameters are called as those of a recipe are: `learning_rate`, `batch_size`, `momentum`."""
    run = mz.train(digits, model)
    assert mz.replay(run.path, model=model, progress=False).identical


def test_what_fails_in_a_replay_is_told_without_a_folder_that_is_gone(digits, refuses):
    """The replay's own folder is removed before anybody reads of it."""

    class Fails(nn.Sequential):
        broken = False

        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(64, 10))

        def forward(self, images):
            if self.broken and self.training:
                raise ZeroDivisionError("no more")
            return super().forward(images)

    run = mz.train(digits, mz.Rung("fails", make=Fails, epochs=1))
    Fails.broken = True
    with refuses(mz.TrainingError, f"the replay of {run.id} failed", "no more") as caught:
        mz.replay(run.path, model=mz.Rung("fails", make=Fails), progress=False)
    assert "modelzero-replay" not in str(caught.value)


def test_pictures_from_memory_can_be_given(digits, refuses):
    """Likewise."""
    data = mz.from_arrays(digits.train.images.numpy(), digits.train.labels.numpy())
    run = mz.train(data, "centroid")
    with refuses(mz.DataError, "mz.replay(", "data=..."):
        mz.replay(run.path)
    assert mz.replay(run.path, data, progress=False).identical


def test_a_resumed_run_is_replayed_from_its_beginning(digits):
    """And is the same, which is what resuming promises."""
    run = mz.train(digits, "model0", epochs=2, threads=1)
    write_record(run.path, replace(run.record, status="interrupted"))
    run = mz.resume(run.path, progress=False)
    assert run.record.resumed
    assert mz.replay(run.path, progress=False).identical


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([1.0, 0.0], [1.0, -0.0], "1 of 2 differ, the first at 1"),
        ([float("nan"), 1.0, 2.0], [float("nan"), 1.0, 3.0], "1 of 3 differ, the first at 2"),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 5.0], [3.0, 6.0]], "2 of 4 differ, the first at 1"),
    ],
)
def test_the_first_difference_is_that_of_the_bits(before, now, told):
    """0.0 and -0.0 differ; what is no number in both does not."""
    assert told in str(_first("weights", "a", torch.tensor(before), torch.tensor(now)))


def test_every_figure_of_every_epoch_is_compared(digits):
    """Whichever is altered, and with or without a checksum that is right, it is named; the seconds are not."""
    run = mz.train(digits, "model0", epochs=2)
    original = json.loads((run.path / "run.json").read_text())
    figures = [name for name in original["history"][0] if name != "epoch" and not name.endswith("_seconds")]
    changed = json.loads(json.dumps(original))
    for place, name in enumerate(figures):
        line = changed["history"][place % 2]
        line[name] = line[name] + 1 if name == "test_correct" else line[name] * (1 + 2**-52)
        line["train_seconds"] = 99.0
    write_record(run.path, RunRecord.from_dict(changed))
    result = mz.replay(run.path, progress=False)
    told = [(each.where, each.field) for each in result.differences]
    assert sorted(told) == sorted((f"epoch {place % 2 + 1}", name) for place, name in enumerate(figures))
    assert not result.altered
    write_record(run.path, RunRecord.from_dict(original))
    (run.path / "run.json").write_text((run.path / "run.json").read_text().replace(run.record.created, "2020"))
    result = mz.replay(run.path, progress=False)
    assert (result.identical, result.altered) == (True, True)


def test_weights_that_were_altered_are_noticed(digits):
    """By their checksum alone it is an error of its own; with a checksum made to fit, a difference."""
    run = mz.train(digits, "model0", epochs=1)
    tensors = safetensors.torch.load_file(run.path / "model.safetensors")
    tensors["1.weight"][0, 0] += 1
    safetensors.torch.save_file(tensors, run.path / "model.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_module, "execute", None)  # it is said before long work, not after it
        answer = invoke("replay", run.path)
    assert answer.exit_code == 2
    assert answer.stderr.count("\n") == 1
    assert "model.safetensors is damaged (checksum mismatch)" in answer.stderr
    files = {**run.record.files, "model.safetensors": fingerprint(run.path / "model.safetensors")}
    write_record(run.path, replace(run.record, files=files))
    answer = invoke("replay", run.path)
    assert answer.exit_code == 1
    assert "weights, 1.weight (1 of 640 differ, the first at 0)" in answer.stdout


def test_exit_codes_and_json(digits):
    """0 and `identical`; 1 with another seed in the record; 2 where there is nothing to replay."""
    run = mz.train(digits, "model0", epochs=1, runs_dir="my runs")
    answer = invoke("replay", run.path, "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["identical"]) == (0, True)
    write_record(run.path, replace(run.record, seed=43))
    answer = invoke("replay", run.path)
    assert answer.exit_code == 1
    assert answer.stdout.startswith(f"different: {run.id}\n  epoch 1, train_loss: recorded ")
    assert " more\n" in answer.stdout
    write_record(run.path, replace(run.record, status="interrupted"))
    answer = invoke("replay", run.path)
    assert answer.exit_code == 2
    assert shlex.split(answer.stderr)[-4:] == ["modelzero", "train", "--resume", str(run.path)]  # as a shell reads it


def test_a_temporary_folder_that_cannot_be_written_is_named(digits, monkeypatch, refuses):
    """With advice on that folder, not on the one of the runs."""
    run = mz.train(digits, "model0", epochs=1, progress=False)

    def full(*_, **__):
        raise mz.RunError("x cannot be written (No space left on device): choose another folder with --runs-dir")

    monkeypatch.setattr("modelzero.training.execute.create_folder", full)
    with refuses(mz.RunError, run.id, "cannot be written to", "set TMPDIR"):
        mz.replay(run.path, progress=False)
