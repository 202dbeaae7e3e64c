"""A run goes on where it was cut off, and ends as if it had not been."""

from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

import modelzero as mz
from helpers import Stops
from modelzero.runs.folder import write_record
from modelzero.runs.process import Process
from modelzero.runs.record import Environment
from modelzero.training.fused import loop as fused_loop


class Dropping(nn.Sequential):
    """Dropout, and two layers that share their weights."""

    def __init__(self):
        layer = nn.Linear(64, 64)
        super().__init__(nn.Flatten(), layer, nn.ReLU(), nn.Dropout(0.3), layer, nn.ReLU(), nn.Linear(64, 10))


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(fused_loop, "_MULTIPLY_ADDS_AT_ONCE", 1)


def cut_off(data, model, after, **settings):
    """Train until so many images were seen, then stop as by SIGTERM; return the folder."""
    before = set(Path("cut").glob("*"))
    with pytest.raises(KeyboardInterrupt):
        mz.train(data, model, threads=1, runs_dir="cut", progress=Stops(after), **settings)
    (path,) = set(Path("cut").glob("*")) - before
    return path


def same(one, other):
    """Weights, predictions and all figures but the seconds."""
    measured = ("train_seconds", "test_seconds")
    figures = [[{k: v for k, v in vars(e).items() if k not in measured} for e in run.history] for run in (one, other)]
    files = [[(run.path / name).read_bytes() for name in run.record.files] for run in (one, other)]
    return figures[0] == figures[1] and files[0] == files[1]


SMALL = {
    "model0": {"epochs": 3},
    "mlp": {"epochs": 2, "batch_size": 64},
    "convnet": {"epochs": 2, "batch_size": 64},
    "tinyvgg": {"epochs": 2, "batch_size": 64},
    "resnet": {"epochs": 2, "batch_size": 64},
}


@pytest.mark.parametrize("after", [700, 1437, 1500])
@pytest.mark.parametrize("model", SMALL)
def test_the_same_bits_as_without_a_break(digits, model, after):
    """From the middle of the first epoch, from its end, and from the second, in both engines."""
    whole = mz.train(digits, model, threads=1, progress=False, **SMALL[model])
    path = cut_off(digits, model, after, **SMALL[model])
    assert mz.Run.read(path).status == "interrupted"
    run = mz.resume(path, progress=False)
    assert (run.status, run.path) == ("finished", path)
    assert same(run, whole)
    assert run.record.test_reads == whole.record.test_reads == len(whole.history)
    assert run.record.resumed[0].step > 0
    assert not list(path.glob("checkpoint-*"))
    run.check()


def test_a_model_of_ones_own_goes_on_too(digits):
    """With dropout and shared weights; it has to be given, for a record has no code."""
    whole = mz.train(digits, Dropping, epochs=2, threads=1, progress=False)
    path = cut_off(digits, Dropping, 800, epochs=2)
    with pytest.raises(mz.ModelError, match="a model of your own"):
        mz.resume(path)
    assert same(mz.resume(path, model=Dropping, progress=False), whole)


def test_mirrored_pictures_go_on_too(digits):
    """Which half of a batch is mirrored follows from seed, epoch and step."""
    rung = mz.Rung("mirrored", make=Dropping, epochs=2, flip=True, momentum=0.9, schedule="triangle")
    whole = mz.train(digits, rung, threads=1, progress=False)
    assert same(mz.resume(cut_off(digits, rung, 800), model=rung, progress=False), whole)


def focal(logits, labels):
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - (-losses).exp()) ** 2 * losses).mean()


def noisy(images):
    return images + 0.1 * torch.randn_like(images)


def first_layer(parameters):
    return torch.optim.SGD(parameters[:2], lr=0.1)


def in_two_groups(parameters):
    """NAdam keeps a product in a tensor, ASGD would keep numbers; the groups have different rates."""
    return torch.optim.NAdam([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.004}], lr=0.002)


OWN = {
    "adamw": {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.01},
    "own optimizer": {"optimizer": in_two_groups, "schedule": "triangle"},
    "optimizer of some weights": {"optimizer": first_layer, "clip_norm": 0.5},
    "cosine": {"schedule": "cosine", "momentum": 0.9},
    "class weights": {"class_weights": "balanced"},
    "own loss": {"loss": focal},
    "transform": {"transform": noisy, "flip": True},
    "clip": {"clip_norm": 0.1, "momentum": 0.9},
    # Early on its best weights are those of an earlier epoch, which the checkpoint has to hold.
    "early stopping": {"early_stopping": 0.2, "patience": 2, "optimizer": "adamw", "learning_rate": 0.03, "epochs": 20},
}


@pytest.mark.parametrize("case", OWN)
def test_a_recipe_of_ones_own_goes_on_too(digits, case):
    """Again and again; the state of the optimizer, the random numbers of a transform, and the best weights."""
    rung = mz.Rung("mine", make=Dropping, **{"epochs": 2, "second_chance": False, **OWN[case]})
    whole = mz.train(digits, rung, threads=1, progress=False)
    seen = len(whole.history) * (len(digits.train) - (whole.record.held_out or 0))
    path = cut_off(digits, rung, 800)
    for after in (700, seen - 300):
        with pytest.raises(KeyboardInterrupt):
            mz.resume(path, model=rung, progress=Stops(after))
    run = mz.resume(path, model=rung, progress=False)
    assert len(run.record.resumed) == 3
    assert same(run, whole)
    assert run.record.test_reads == whole.record.test_reads
    assert run.record.derived == whole.record.derived
    assert case != "early stopping" or whole.kept.epoch < run.record.resumed[-1].epoch <= len(whole.history) < 20


def test_code_of_ones_own_has_to_be_given_again(digits, refuses):
    """For a built-in model too; by its name, and only to train: the finished model needs none of it."""
    path = cut_off(digits, "mlp", 500, loss=focal, epochs=2)
    with refuses(mz.ModelError, "your own loss 'tests.training.test_resume:focal', but no rung was given", "mz.Rung("):
        mz.resume(path)
    with refuses(mz.ModelError, "but the rung given has 'tests.training.test_resume:noisy'", "with that loss"):
        mz.resume(path, model=mz.Rung("mlp", "mlp", loss=noisy))
    run = mz.resume(path, model=mz.Rung("mlp", "mlp", loss=focal), progress=False)
    assert run.status == "finished"
    assert run.record.recipe["loss"].endswith(":focal")
    assert mz.Run.read(run.path).model is not None
    with refuses(mz.ModelError, "mz.replay(", "focal"):
        mz.replay(run.path)
    assert mz.replay(run.path, model=mz.Rung("mlp", "mlp", loss=focal)).identical


@pytest.mark.parametrize("model", ["knn", "forest"])
def test_what_is_fitted_in_one_go_begins_anew(digits, model, monkeypatch):
    """In the same folder."""
    whole = mz.train(digits, model)
    with monkeypatch.context() as patch:
        patch.setattr("modelzero.training.execute.write_tensors", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mz.train(digits, model, runs_dir="cut")
    path = next(Path("cut").iterdir())
    run = mz.resume(path)
    assert run.path == path
    assert same(run, whole)


def test_a_finished_run_is_read_back(digits):
    """Nothing is trained, nothing is written."""
    run = mz.train(digits, "model0", epochs=1)
    before = {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()}
    assert mz.resume(run.path).record == run.record
    assert {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()} == before


def test_a_run_of_a_living_process_is_left_to_it(digits, refuses):
    """Whoever is alive and writes it has it."""
    run = mz.train(digits, "model0", epochs=1)
    parent = replace(Process.this(), pid=1, started=psutil.Process(1).create_time())
    write_record(run.path, replace(run.record, status="running", process=parent))
    with refuses(mz.RunError, "is being written by process 1 "):
        mz.resume(run.path)


def test_a_run_of_a_dead_process_is_interrupted(digits):
    """Never `running` for ever; and it goes on."""
    whole = mz.train(digits, "model0", epochs=1)
    run = mz.train(digits, "model0", epochs=1)
    dead = replace(Process.this(), started=1.0)
    write_record(run.path, replace(run.record, status="running", process=dead))
    assert mz.Run.read(run.path).status == "interrupted"
    assert same(mz.resume(run.path), whole)


def test_two_cannot_take_over_at_once(digits, refuses):
    """The second one is told."""
    import filelock

    path = cut_off(digits, "model0", 500, epochs=1)
    with filelock.FileLock(path / ".lock"), refuses(mz.RunError, "another process or thread"):
        mz.resume(path)


def test_other_pictures_are_refused(digits, refuses):
    """By their fingerprints; what cannot be loaded again has to be given."""
    path = cut_off(digits, "model0", 500, epochs=1)
    other = mz.load("digits", share=0.5)
    with refuses(mz.DataError, digits.fingerprint[:12], other.fingerprint[:12]):
        mz.resume(path, other)
    data = mz.from_arrays(digits.train.images.numpy(), digits.train.labels.numpy())
    path = cut_off(data, "model0", 500, epochs=1)
    with refuses(mz.DataError, "cannot load again", "data="):
        mz.resume(path)
    assert mz.resume(path, data).status == "finished"


def test_a_damaged_checkpoint_is_told_and_passed_over(digits):
    """The record says from where it went on instead, and the same comes out."""
    whole = mz.train(digits, "mlp", threads=1, progress=False, **SMALL["mlp"])
    path = cut_off(digits, "mlp", 1000, checkpoint_every=1e-6, **SMALL["mlp"])
    last = max(path.glob("checkpoint-*.safetensors"))
    last.write_bytes(last.read_bytes()[:-1])
    run = mz.resume(path, progress=False)
    assert "is damaged" in run.record.resumed[0].trouble[0]
    assert same(run, whole)


def test_a_break_can_come_again_and_again(digits):
    """Each time it goes on from there."""
    whole = mz.train(digits, "convnet", threads=1, progress=False, **SMALL["convnet"])
    path = cut_off(digits, "convnet", 200, **SMALL["convnet"])
    for after in (300, 700, 1500, 500):
        with pytest.raises(KeyboardInterrupt):
            mz.resume(path, progress=Stops(after))
    run = mz.resume(path, progress=False)
    assert len(run.record.resumed) == 5
    assert same(run, whole)


def test_nothing_there_and_nothing_whole(tmp_path, refuses):
    """One line each."""
    with refuses(mz.RunError, "holds no run"):
        mz.resume(tmp_path / "nothing")
    (tmp_path / "run.json").write_text("{")
    with refuses(mz.RunError, "damaged"):
        mz.resume(tmp_path)


def test_what_differs_is_told_in_words():
    """Versions by their names, what is new and what is gone too."""
    before = Environment(versions={"torch": "2.12", "old": "1"}, threads=1, device="cpu")
    now = Environment(versions={"torch": "2.13"}, threads=2, device="cpu", more={"new": "x"})
    differing = ["threads 1, now 2", "torch 2.12, now 2.13", "old 1, now None", "new None, now x"]
    assert before.differences(now) == differing


def test_random_numbers_of_others_are_left_alone(digits):
    """A resumed training leaves torch's generator as it found it."""
    path = cut_off(digits, "convnet", 200, **SMALL["convnet"])
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    mz.resume(path, progress=False)
    assert torch.equal(torch.random.get_rng_state(), state)
