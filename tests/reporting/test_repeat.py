"""The commands of a report train again what is reported: they are typed, and the records compared."""

import dataclasses
import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app
from modelzero.models.linear import model0
from modelzero.reporting.content import gather
from modelzero.runs.folder import read_runs


def typed(words):
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output


def repeated(source):
    """Type what the report of it says."""
    lines = gather([source], images=False).as_dict()["repeat"]
    for line in lines:
        if "command" in line:
            typed([*shlex.split(line["command"])[1:], "--runs-dir", "again"])
    return [line["words"] for line in lines if "words" in line]


@pytest.fixture
def folder(tmp_path):
    """Images of two classes and two sizes, some of which cannot be read, in a folder with a space in its name."""
    draws = np.random.default_rng(0)
    for k in range(60):
        path = tmp_path / "my own" / "ab"[k % 2] / f"{k // 4}-{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(256, size=(20 + k % 3, 30, 3)).astype(np.uint8)).save(path)
    for k in range(3):
        (tmp_path / "my own" / "a" / f"99-{k}.png").write_bytes(b"")
    return tmp_path / "my own"


@pytest.mark.parametrize(
    "options",
    [
        "--model model0 --hidden-units 33 --epochs 2",
        "--model model1 --batch-size 7 --learning-rate 0.03 --epochs 1 --seed 7 --share 0.5 --split-seed 3",
        "--model softmax --engine torch --epochs 2",
        "--model centroid",
    ],
)
def test_a_training(options):
    """With the options that it was trained with."""
    typed(["train", "digits", *options.split()])
    (run,), _ = read_runs("runs")
    assert repeated(run) == []
    (again,), _ = read_runs("again")
    assert again.record.files == run.record.files
    assert again.record.data == run.record.data


def test_ones_own_images(folder):
    """As they were loaded: size, fit, groups, the draw of the split and what was left out."""
    options = "--size 10x14 --fit crop --group (\\d+)- --test-share 0.3 --split-seed 5 --allow-unreadable"
    typed(["climb", str(folder), "--rungs", "majority,centroid", "--margin", "0.2", "--seed", "3", *options.split()])
    (ladder,) = (mz.Ladder.read(path.parent) for path in (folder.parent / "runs").glob("*/ladder.json"))
    assert repeated(ladder) == []
    (again,) = (mz.Ladder.read(path.parent) for path in (folder.parent / "again").glob("*/ladder.json"))
    for key in ("data", "margin", "seeds", "family"):
        assert getattr(again.record, key) == getattr(ladder.record, key)
    assert [run.record.files for run in again.runs] == [run.record.files for run in ladder.runs]


def test_a_seed_that_drew_nothing_is_left_out(digits):
    """It would be refused, and was not always."""
    options = dataclasses.replace(digits.origin.options, seed=5, allow_unreadable=True)
    data = dataclasses.replace(digits, origin=dataclasses.replace(digits.origin, options=options))
    assert repeated(mz.train(data, "majority")) == []


def test_what_no_command_can_say(digits):
    """A recipe or a model of one's own is named, with code or without."""
    for make in (model0, lambda: model0((1, 8, 8), 10)):
        run = mz.train(digits, mz.Rung("model0", make, epochs=1, momentum=0.9))
        assert gather([run], images=False).as_dict()["repeat"][1:] == [{"words": "model0 needs your code."}]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "schedule": "cosine", "early_stopping": 0.25},
        {"optimizer": "adamw", "learning_rate": 0.002, "class_weights": "balanced", "clip_norm": 0.5},
        {"schedule": "constant"},
    ],
)
def test_recipe_that_options_can_say(digits, settings):
    """It is typed with those that differ from the model's own recipe, and no code is asked for."""
    run = mz.train(digits, "mlp", epochs=2, threads=1, **settings)
    assert repeated(run) == []
    (again,) = read_runs("again")[0]
    # The rate that followed from the images is given, so that it no longer follows from them.
    assert {**again.record.recipe, "full_rate_power": 0} == {**run.record.recipe, "full_rate_power": 0}
    assert again.record.files == run.record.files


def test_recipe_that_only_code_can_say(digits):
    """The command says what it can; a list of weights or a function is named."""
    for settings in ({"class_weights": [1.0] * 9 + [2.0]}, {"transform": lambda images: images}):
        run = mz.train(digits, "mlp", epochs=1, clip_norm=1.0, **settings)
        command, note = gather([run], images=False).as_dict()["repeat"]
        assert "--clip-norm 1.0" in command["command"]
        assert note == {"words": "mlp needs your code."}
