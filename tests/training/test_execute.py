"""One training from its arguments to its folder."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import modelzero as mz
from modelzero.models.build import build
from modelzero.models.linear import model0
from modelzero.runs.record import Failure


class Own(nn.Module):
    """A user's own model, which fails in one training step."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.fails_at, self.steps = fails_at, 0

    def forward(self, images):
        self.steps += self.training
        if self.training and self.steps == self.fails_at:
            raise ZeroDivisionError("my own\nbug")
        return self.layer(images.flatten(1))


class Tied(nn.Module):
    """Two of its layers share their weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(64, 10), nn.Linear(10, 10), nn.Linear(10, 10)
        self.third.weight = self.second.weight

    def forward(self, images):
        return self.third(self.second(self.first(images.flatten(1))))


class Listener:
    """Calls `happens(what, number)` whenever it hears of something."""

    def __init__(self, happens):
        self.happens = happens

    def begin_epoch(self, epoch):
        self.happens("begin", epoch)

    def step(self, images):
        self.happens("step", images)

    def end_epoch(self, epoch):
        self.happens("end", epoch.epoch)


def stop(what, number, error=KeyboardInterrupt):
    """Raise as soon as a listener hears exactly this."""

    def happens(*heard):
        if heard == (what, number):
            raise error

    return Listener(happens)


def only_run():
    """Read the only run in the default folder."""
    (path,) = Path("runs").iterdir()
    return mz.Run.read(path)


def strict_json(text):
    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """A finished training of two epochs."""
    return mz.train(digits, "model0", epochs=2, seed=7, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def record(run):
    """Its run.json."""
    return strict_json((run.path / "run.json").read_text())


# The folder of a run.


def test_folder_holds_four_files(run):
    """Record, history, weights, predictions: no temporary file is left."""
    names = {path.name for path in run.path.iterdir()}
    assert names == {"run.json", "history.jsonl", "model.safetensors", "predictions.safetensors"}


def test_folder_lies_in_runs_by_default(digits):
    """Without runs_dir the run lies in ./runs, under its own id."""
    run = mz.train(digits, epochs=1)
    assert [path.name for path in Path("runs").iterdir()] == [run.path.name] == [run.id]


def test_record_has_its_settings(record, run):
    """What was asked for stands at the top of the record."""
    settings = ("format", "id", "status", "model", "seed", "epochs", "batch_size", "learning_rate")
    assert [record[name] for name in settings] == [1, run.path.name, "finished", "model0", 7, 2, 32, 0.1]


def test_record_has_the_recipe(record):
    """Everything that decides a training besides data and seed."""
    assert record["recipe"] == {
        "model": "model0",
        "hidden_units": 10,
        "loss": "cross-entropy",
        "optimizer": "sgd",
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 0.1,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "schedule": "constant",
        "class_weights": None,
        "label_smoothing": 0.0,
        "flip": False,
        "shift": 0.0,
        "reduced": 0.0,
        "transform": None,
        "clip_norm": None,
        "early_stopping": None,
        "patience": 5,
        "least_steps": 1,
        "standardise": False,
        "full_rate_power": 400,
        "precision": "fp32",
        "second_chance": False,  # epochs were given
    }


def test_record_has_the_data(record, digits):
    """Name, fingerprint, classes, counts and shape."""
    expected = {
        "name": "digits",
        "fingerprint": digits.fingerprint,
        "classes": list("0123456789"),
        "train_images": 1437,
        "test_images": 360,
        "image_shape": [1, 8, 8],
    }
    assert {name: record["data"][name] for name in expected} == expected


def test_record_has_the_history(record, run):
    """A list with the fields of the interface."""
    assert record["history"] == [epoch.as_dict() for epoch in run.history]


def test_record_has_the_environment(record):
    """Versions, processor, threads and device."""
    environment = record["environment"]
    assert (environment["threads"], environment["device"]) == (1, "cpu")
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["versions"]["modelzero"] == mz.__version__
    assert environment["processor"]


def test_record_has_what_was_derived_and_why(record):
    """Device and threads come with their reasons."""
    assert record["derived"]["device"].startswith("cpu: ")
    assert record["derived"]["threads"].startswith("1: ")


def test_record_counts_parameters_seconds_and_test_reads(record, run):
    """64 x 10 + 10 + 10 x 10 + 10 parameters; the test split was looked at once in each epoch."""
    assert (record["parameters"], record["test_reads"]) == (760, 2)
    assert record["train_seconds"] == sum(epoch.train_seconds for epoch in run.history)


def test_history_file_has_a_line_for_each_epoch(run, record):
    """And the lines are the record's history."""
    lines = (run.path / "history.jsonl").read_text().splitlines()
    assert [strict_json(line) for line in lines] == record["history"]


def test_stored_weights_are_the_models(run):
    """A run that is read back rebuilds the model, bit by bit, in evaluation mode."""
    again = mz.Run.read(run.path).model
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), run.model.parameters(), strict=True))


def test_stored_predictions_are_the_models(run, digits):
    """The stored logits are what the stored model says about the test images."""
    stored = safetensors.torch.load_file(run.path / "predictions.safetensors")["logits"]
    with torch.no_grad():
        logits = mz.Run.read(run.path).model(digits.test.images / 255)
    assert (stored.dtype, stored.shape) == (torch.float32, (360, 10))
    torch.testing.assert_close(stored, logits, rtol=0, atol=1e-6)


def test_stored_predictions_give_the_stored_accuracy(run, digits):
    """Every later question can be answered from the logits."""
    right = (mz.Run.read(run.path).test_logits.argmax(1) == digits.test.labels).sum()
    assert right == run.history[-1].test_correct


def test_run_in_memory_equals_the_run_read_back(run):
    """History, status, seed and logits are the same."""
    again = mz.Run.read(run.path)
    assert (again.history, again.status, again.seed) == (run.history, "finished", 7)
    assert torch.equal(again.test_logits, run.test_logits)


def test_model_comes_in_evaluation_mode(run):
    """Whoever uses run.model gets predictions, not dropout."""
    assert not run.model.training


def test_record_is_there_while_training(digits):
    """From the first moment the folder says `running`, and each finished epoch is on disk before the next begins."""
    seen = []

    def look(what, _):
        if what == "begin":
            path = only_run().path / "history.jsonl"
            seen.append((only_run().status, len(path.read_text().splitlines()) if path.exists() else 0))

    mz.train(digits, epochs=3, progress=Listener(look))
    assert seen == [("running", 0), ("running", 1), ("running", 2)]


# What can be given.


def test_data_by_name():
    """A catalog name stands for its data."""
    assert mz.train("digits", epochs=1).record.data.name == "digits"


def test_unknown_data_name():
    """The error of `load` comes through, and no folder is made."""
    with pytest.raises(mz.DataError, match="did you mean 'digits'"):
        mz.train("digitz")
    assert not Path("runs").exists()


def test_unknown_model_name(digits):
    """The error names the nearest model, and no folder is made."""
    with pytest.raises(mz.ModelError, match="did you mean 'model0' or 'model1'"):
        mz.train(digits, "modle0")
    assert not Path("runs").exists()


def test_model_that_does_not_fit(digits):
    """A model with too few logits is found before a folder is made."""
    with pytest.raises(mz.ModelError, match=r"\[2, 9\]"):
        mz.train(digits, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9)))
    assert not Path("runs").exists()


def test_recipe_of_the_rung_is_taken(digits):
    """A rung brings its own epochs, batch size and learning rate."""
    run = mz.train(digits, mz.Rung("mine", Own, epochs=1, batch_size=100, learning_rate=0.5))
    record = run.record
    assert (record.model, record.epochs, record.batch_size, record.learning_rate) == ("mine", 1, 100, 0.5)


def test_keywords_go_before_the_recipe_of_the_rung(digits):
    """What is given by keyword replaces what the rung brings; the rest stays."""
    run = mz.train(digits, mz.Rung("mine", Own, epochs=5, batch_size=100), epochs=1)
    assert (run.record.epochs, run.record.batch_size) == (1, 100)


@pytest.mark.parametrize(
    ("model", "name"),
    [("model1", "model1"), (model0, "model0"), (Own, "Own"), (lambda: Own(), "lambda")],
)
def test_record_names_the_model(digits, model, name):
    """By the rung's name or the factory's."""
    assert mz.train(digits, model, epochs=1).record.model == name


def test_hidden_units_are_taken_and_recorded(digits):
    """A wider model is rebuilt as wide."""
    run = mz.train(digits, hidden_units=17, epochs=1)
    assert mz.Run.read(run.path).model[1].out_features == 17


def test_own_model_has_to_be_made_by_its_owner(digits):
    """A record has no code: reading back the model of a user's own takes it, or loads its weights by hand."""
    run = mz.train(digits, Own, epochs=1)
    again = mz.Run.read(run.path)
    with pytest.raises(mz.ModelError, match=r"trained 'Own', a model of your own: .*model="):
        _ = again.model
    assert torch.equal(again.using(Own).model.layer.weight, run.model.layer.weight)
    mine = Own()
    safetensors.torch.load_model(mine, again.path / "model.safetensors")
    assert torch.equal(mine.layer.weight, run.model.layer.weight)


def test_built_in_model_under_another_name_is_rebuilt(digits):
    """A rung of the user's own on a model of modelzero's can be read back."""
    run = mz.train(digits, mz.Rung("mine", make=model0), epochs=1)
    assert torch.equal(mz.Run.read(run.path).model[1].weight, run.model[1].weight)


def test_shared_weights_are_stored(digits):
    """A model whose layers share a weight is trained and stored like any other."""
    run = mz.train(digits, Tied, epochs=1)
    mine = Tied()
    safetensors.torch.load_model(mine, run.path / "model.safetensors")
    assert torch.equal(mine.third.weight, run.model.second.weight)


def test_lr_is_accepted_nowhere(digits):
    """The keyword is learning_rate."""
    with pytest.raises(TypeError, match="lr"):
        mz.train(digits, lr=0.1)


BAD_SETTINGS = {
    "epochs": [0, -1, 2.5],
    "batch_size": [0, -32, 3.0],
    "learning_rate": [0, -1, math.nan, math.inf, "x"],
    "seed": [-1, 1.5, 2**63, "42", None, True],
    "hidden_units": [0, 1.5],
    "threads": [0, -1, 1.5],
    "device": ["gpu", "", "cuda:x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD_SETTINGS for value in BAD_SETTINGS[name]])
def test_bad_setting(digits, name, value):
    """The error names the setting and its value in one line, and no folder is made."""
    with pytest.raises(mz.SettingError) as caught:
        mz.train(digits, **{name: value})
    assert str(caught.value).startswith(f"{name.replace('_', ' ')} {value!r}")
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_device_that_is_not_here(digits, monkeypatch):
    """An accelerator that this machine lacks is refused before a folder is made."""
    monkeypatch.setattr("modelzero.training.device.accelerators", list)
    with pytest.raises(mz.SettingError, match="device 'cuda' is not on this machine"):
        mz.train(digits, device="cuda")
    assert not Path("runs").exists()


@pytest.mark.parametrize("runs_dir", ["file", "file/runs", "file/a/b"])
def test_runs_dir_that_cannot_be_written(digits, runs_dir):
    """A folder below a regular file is refused before the training, with the option to change, and nothing is left."""
    Path("file").write_text("I am a file")
    with pytest.raises(mz.RunError, match=f"^{runs_dir} cannot be written .*--runs-dir"):
        mz.train(digits, runs_dir=runs_dir, progress=stop("begin", 1, AssertionError))
    assert [path.name for path in Path().iterdir()] == ["file"]


# Trainings that do not finish.


def test_interrupted_in_the_third_epoch(digits):
    """Ctrl-C comes through; the run is `interrupted`, with the two finished epochs in record and history file."""
    batches = []

    def interrupt(what, _):
        batches.append(what)
        if batches.count("begin") == 3 and what == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mz.train(digits, epochs=5, progress=Listener(interrupt))
    run = only_run()
    assert run.status == "interrupted"
    assert [epoch.epoch for epoch in run.history] == [1, 2]
    assert len((run.path / "history.jsonl").read_text().splitlines()) == run.record.test_reads == 2


def test_interrupted_before_the_first_step(digits):
    """A run without any epoch is a whole record too."""
    with pytest.raises(KeyboardInterrupt):
        mz.train(digits, progress=stop("begin", 1))
    assert (only_run().status, only_run().history, only_run().train_seconds) == ("interrupted", [], 0)


def test_interrupted_while_an_epoch_is_announced(digits):
    """An epoch that is trained and tested is kept, even if Ctrl-C hits while the bars are drawn."""
    with pytest.raises(KeyboardInterrupt):
        mz.train(digits, progress=stop("end", 2))
    assert [epoch.epoch for epoch in only_run().history] == [1, 2]


def test_bug_in_the_users_model(digits):
    """TrainingError gives type, message and line of the user's code in one line, and where the run is recorded."""
    line = Own.forward.__code__.co_firstlineno + 3
    with pytest.raises(mz.TrainingError) as caught:
        mz.train(digits, lambda: Own(fails_at=70), epochs=3)
    run = only_run()
    what = f"the training of lambda failed: ZeroDivisionError: my own bug ({__file__}, line {line})"
    assert str(caught.value) == f"{what}; recorded in {run.path}"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_bug_in_the_users_model_is_recorded(digits):
    """The run is `failed`, with the error, the epoch in which it happened and the epochs before it."""
    with pytest.raises(mz.TrainingError):
        mz.train(digits, lambda: Own(fails_at=70), epochs=3)
    run = only_run()
    assert (run.status, len(run.history), run.record.failure.epoch) == ("failed", 1, 2)
    assert "ZeroDivisionError: my own bug" in run.record.failure.error


def test_bug_in_the_users_model_that_the_trial_meets(digits, monkeypatch):
    """Where a trial chooses the device, a model that fails in it is answered with an error of modelzero's too."""
    monkeypatch.setattr("modelzero.training.device.accelerators", lambda: ["cuda"])
    with pytest.raises(mz.ModelZeroError, match="ZeroDivisionError: my own bug"):
        mz.train(digits, lambda: Own(fails_at=1), epochs=1)


def test_bug_in_the_listener(digits):
    """An error in somebody's progress object fails the run too; it does not go unrecorded."""
    with pytest.raises(mz.TrainingError, match="LookupError"):
        mz.train(digits, progress=stop("end", 1, LookupError("gone")))
    assert only_run().status == "failed"


def test_non_finite_loss_is_recorded(digits):
    """The run is `failed`, with epoch, step and message, and no weights that somebody could use by mistake."""
    with pytest.raises(mz.TrainingError) as caught:
        mz.train(digits, learning_rate=1e30)
    run = only_run()
    assert run.status == "failed"
    assert run.record.failure == Failure(str(caught.value), 1, caught.value.step)
    assert {path.name for path in run.path.iterdir()} == {"run.json"}


def test_failed_run_has_no_model(digits):
    """Reading the model of a run that failed says why there is none."""
    with pytest.raises(mz.TrainingError):
        mz.train(digits, learning_rate=1e30)
    with pytest.raises(mz.RunError, match=r"is failed and has no model\.safetensors: expected a finished run"):
        _ = only_run().model


def test_disk_that_fills_up(digits, monkeypatch):
    """When the history cannot be written, RunError says so, and the run does not pretend to be running."""

    def full(path, _):
        raise mz.RunError(f"{path} cannot be written (No space left on device)")

    monkeypatch.setattr("modelzero.training.execute.append_history", full)
    with pytest.raises(mz.RunError, match="No space left"):
        mz.train(digits, epochs=1)
    assert only_run().status == "failed"


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"threads": 2**40}, mz.SettingError, "at most 1024"),
        ({"batch_size": 2**70}, mz.SettingError, "at most"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 10))}, mz.ModelError, "an existing Sequential"),
        ({"runs_dir": "a\0b"}, mz.RunError, "null byte"),
        ({"data": 5}, mz.DataError, "type int"),
        ({"data": "a\0b"}, mz.DataError, "no dataset, folder or file"),
    ],
)
def test_odd_arguments_are_refused_in_one_line(digits, settings, error, words):
    """Too many threads, a model instead of its factory, paths with null bytes: an InputError, before any training."""
    with pytest.raises(error, match=words) as caught:
        mz.train(**{"data": digits, **settings})
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


def test_numpys_whole_numbers_are_welcome(digits):
    """A loop over np.arange trains, and the record is plain JSON."""
    run = mz.train(digits, seed=np.int64(3), epochs=np.int32(1), batch_size=np.int64(64))
    assert (run.seed, run.record.epochs, run.record.batch_size) == (3, 1, 64)


def test_exit_from_a_listener_is_an_interrupted_run(digits):
    """SystemExit does not leave a run that seems to be running for ever."""
    with pytest.raises(SystemExit):
        mz.train(digits, progress=stop("end", 1, SystemExit(3)))
    assert only_run().status == "interrupted"


def test_frozen_modules_stay_frozen():
    """A BatchNorm that the user's factory put into evaluation mode is still in it after the checks."""

    def make():
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64).eval(), nn.Linear(64, 10))

    assert not build(make, (1, 8, 8), 10)[1].training


def test_test_logits_in_memory_are_plain_tensors(digits):
    """They can be changed and computed with, exactly like those read back from disk."""
    run = mz.train(digits, epochs=1)
    assert torch.equal(run.test_logits, mz.Run.read(run.path).test_logits)
    assert not run.test_logits.is_inference()
    assert run.test_logits.device.type == "cpu"


class Unmovable(nn.Sequential):
    """A model that cannot be brought to its device."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))

    def to(self, *_):
        raise MemoryError("no room on the device")


def test_a_model_that_does_not_fit_on_the_device_is_a_failed_run(digits):
    """What fails after the folder is made is in its record."""
    with pytest.raises(mz.TrainingError, match="no room on the device"):
        mz.train(digits, Unmovable, epochs=1)
    assert only_run().status == "failed"


def test_models_that_need_two_pictures_are_trained(digits):
    """Neither the check of a new model nor the count of its multiply-adds gives it one image alone."""

    class NeedsTwo(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, images):
            if len(images) == 1:
                raise ValueError("one image alone")
            return self.layer(images.flatten(1))

    assert mz.train(digits, NeedsTwo, epochs=1).status == "finished"


def test_a_model_that_draws_when_it_is_built_leaves_the_generator_alone(digits):
    """Checks and counts draw from a copy of the default generator's state."""

    class Draws(nn.Sequential):
        def forward(self, images):
            return super().forward(images) + 0 * torch.rand(1)

    before = torch.get_rng_state()
    mz.train(digits, lambda: Draws(nn.Flatten(), nn.Linear(64, 10)), epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_look_at_the_test_split_is_counted(digits):
    """Also the one that found the loss of the last step to be no number."""
    with pytest.raises(mz.TrainingError):
        mz.train(digits, "model0", epochs=1, batch_size=5000, learning_rate=1e38)
    assert (only_run().history, only_run().record.test_reads) == ([], 1)


def test_any_real_number_is_a_learning_rate(digits):
    """numpy's too; the record has a plain float."""
    run = mz.train(digits, epochs=1, learning_rate=np.float32(0.5))
    assert run.record.learning_rate == 0.5
