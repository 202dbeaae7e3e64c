"""Early stopping: what is held out, what it decides, and what is kept."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app
from modelzero.errors import SettingError
from modelzero.training.early import hold_out


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 10))


def rung(**settings):
    """A rung that soon learns its few training images by heart."""
    recipe = {"epochs": 40, "batch_size": 16, "optimizer": "adamw", "learning_rate": 0.02, "patience": 2}
    return mz.Rung("mine", make, **{**recipe, "early_stopping": 0.25, **settings})


@pytest.fixture(scope="module")
def few(digits):
    return replace(digits, train=mz.Split(digits.train.images[:200], digits.train.labels[:200]))


@pytest.fixture(scope="module")
def run(few, tmp_path_factory):
    return mz.train(few, rung(), threads=1, runs_dir=tmp_path_factory.mktemp("runs"))


def losses(run):
    return [epoch.validation_loss for epoch in run.history]


def test_classes_keep_their_shares(digits):
    """The two parts are the training split; which images go where depends on the seed."""
    rest, held_out = hold_out(digits, 0.2, seed=1)
    rows = sorted(image.numpy().tobytes() for image in torch.cat([rest.train.images, held_out.images]))
    assert rows == sorted(image.numpy().tobytes() for image in digits.train.images)
    counts = np.bincount(held_out.labels) / np.bincount(digits.train.labels)
    assert counts == pytest.approx(0.2, abs=0.005)
    assert rest.test is digits.test
    assert not torch.equal(hold_out(digits, 0.2, seed=2)[1].images, held_out.images)
    assert torch.equal(hold_out(digits, 0.2, seed=1)[1].images, held_out.images)


def test_groups_are_kept_whole(digits):
    groups = torch.arange(len(digits.train)) // 9
    data = replace(digits, train=mz.Split(digits.train.images, digits.train.labels, groups=groups))
    rest, held_out = hold_out(data, 0.3, seed=0)
    assert set(rest.train.groups.tolist()).isdisjoint(held_out.groups.tolist())
    assert len(held_out) / len(data.train) == pytest.approx(0.3, abs=0.02)


def test_too_few_images_or_groups(digits, tmp_path, refuses):
    groups = torch.zeros(len(digits.train), dtype=torch.int64)
    data = replace(digits, train=mz.Split(digits.train.images, digits.train.labels, groups=groups))
    with refuses(SettingError, "early stopping 0.1", "too few groups"):
        mz.train(data, make, early_stopping=0.1)
    assert not (tmp_path / "runs").exists()


def test_every_class_is_left_to_train_on(digits, tmp_path, refuses):
    """A class whose images are all in one group may be drawn as a whole: refused before training."""
    images, labels = digits.train.images, digits.train.labels
    groups = (torch.arange(len(labels)) >= 300).long()
    kept = (labels != 3) | (groups == 0)
    alone = replace(digits, train=mz.Split(images[kept], labels[kept], groups=groups[kept]))
    with refuses(SettingError, "early stopping 0.2", "of class '3'", "held out"):
        mz.train(alone, make, early_stopping=0.2)
    assert not (tmp_path / "runs").exists()


def test_training_ends_when_nothing_is_gained(run):
    """After two epochs in a row without a lower loss, and not before."""
    found = losses(run)
    best = int(np.argmin(found))
    assert len(found) == best + 3 < 40
    waits = [n - int(np.argmin(found[: n + 1])) for n in range(len(found))]
    assert max(waits[:-1]) < 2
    assert run.kept is run.record.history[best]


def test_best_weights_are_kept_and_tested(few, run):
    """Those of a training that ends there; their figures on held-out and test images are those of that epoch."""
    kept, model = run.kept, run.model
    _, held_out = hold_out(few, 0.25, seed=42)
    for split, expected in ((held_out, kept.validation_loss), (few.test, kept.test_loss)):
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(split.images / 255), split.labels)
        assert loss.item() == pytest.approx(expected, abs=1e-5)
    assert (run.test_logits.argmax(1) == few.test.labels).sum() == kept.test_correct
    assert torch.equal(run.tensors("model.safetensors")["1.weight"], model[1].weight)
    short = mz.train(few, rung(), epochs=kept.epoch, threads=1)
    assert torch.equal(short.test_logits, run.test_logits)


def test_test_split_decides_nothing(few, run):
    """With other test images the training is the same."""
    other = replace(few, test=mz.Split(255 - few.test.images, few.test.labels.flip(0)))
    again = mz.train(other, rung(), threads=1)
    assert losses(again) == losses(run)
    assert torch.equal(again.model[1].weight, run.model[1].weight)


def test_record_says_what_happened(few, run):
    record = mz.Run.read(run.path).record
    assert record == run.record
    assert (record.held_out, record.epochs) == (52, 40)
    assert record.test_reads == len(record.history) + 1
    assert record.derived["early_stopping"] == (
        f"weights of epoch {run.kept.epoch}, with the lowest loss on the 52 of 200 training images that were held out; "
        f"stopped after epoch {len(run.history)} of 40, because 2 epochs brought no lower loss"
    )
    run.check()
    assert mz.replay(run.path, few, rung()).identical
    assert f"{run.kept.test_accuracy:.4f}" in repr(run)


def test_all_epochs_may_be_needed(few):
    """Then the last one is kept and nothing is tested twice."""
    run = mz.train(few, rung(learning_rate=1e-4), epochs=3, threads=1)
    assert run.kept.epoch == len(run.history) == run.record.test_reads == 3
    assert run.record.derived["early_stopping"].endswith("all 3 epochs were trained")


def test_without_it_no_record_has_it(digits):
    run = mz.train(digits, "softmax", epochs=1)
    assert run.kept == run.history[-1]
    text = (run.path / "run.json").read_text() + (run.path / "history.jsonl").read_text()
    assert "validation_loss" not in text
    assert "held_out" not in text


def test_options_of_the_command():
    """What a word or a number says; the table has the loss on the held-out images."""
    words = "--optimizer adamw --schedule cosine --class-weights balanced --clip-norm 1 --early-stopping 0.1 --epochs 2"
    done = CliRunner().invoke(app, shlex.split(f"train digits --model softmax {words} --json"))
    recipe = json.loads(done.stdout)["recipe"]
    names = ("optimizer", "schedule", "class_weights", "clip_norm", "early_stopping", "learning_rate")
    assert [recipe[name] for name in names] == ["adamw", "cosine", "balanced", 1.0, 0.1, 0.001]
    shown = CliRunner().invoke(app, shlex.split(f"train digits --model softmax {words}")).output
    assert "held-out loss" in shown
    assert " ".join(shown.split()).count("of 1,437 training images that were held out") == 1
    (line,) = (each for each in shown.splitlines() if each.startswith("early stopping"))
    assert line.startswith("early stopping  weights of epoch")
    wrong = CliRunner().invoke(app, shlex.split("train digits --early-stopping 0.9"))
    assert (wrong.exit_code, "early stopping 0.9" in wrong.output) == (2, True)
