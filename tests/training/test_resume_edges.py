"""Going on at the edges: odd models, odd moments, folders that fail, and settings that no longer hold."""

import json
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.nn.functional import dropout

import modelzero as mz
from helpers import Stops
from modelzero.runs.folder import write_record
from modelzero.runs.process import Process
from modelzero.training import execute as executing
from modelzero.training.bars import Silence
from modelzero.training.fused import loop as fused_loop

SMALL = {"epochs": 2, "batch_size": 64}  # 23 steps each
EPOCH_AND = {"half an epoch": 700, "an epoch": 1437, "an epoch and a step": 1500}


class Draws(nn.Module):
    """Drops at random while it is evaluated, too, as is done to tell how unsure a network is."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, images):
        return self.layer(dropout(images.flatten(1), 0.3, training=True))


class Expanded(nn.Module):
    """Keeps one number as if it were sixty-four."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("mean", torch.full((1,), 0.5).expand(64))

    def forward(self, images):
        return self.layer(images.flatten(1) - self.mean)


class Frozen(nn.Sequential):
    """A layer that is not trained, one in float64 order of memory, and a buffer that counts."""

    def __init__(self):
        first = nn.Linear(64, 32).requires_grad_(False)
        super().__init__(nn.Flatten(), first, nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 10))
        self[4].weight = nn.Parameter(self[4].weight.detach().t().contiguous().t())
        self.register_buffer("odd", torch.zeros(8, 3, 3, 3).to(memory_format=torch.channels_last))

    def forward(self, images):
        assert not self.odd.is_contiguous()  # it lies as it lay, also after going on
        return super().forward(images)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch):
    monkeypatch.setattr(fused_loop, "_MULTIPLY_ADDS_AT_ONCE", 1)


def cut_off(data, model, after=700, **settings):
    """Train until so many images were seen; return the folder."""
    before = set(Path("cut").glob("*"))
    with pytest.raises(KeyboardInterrupt):
        mz.train(data, model, threads=1, runs_dir="cut", progress=Stops(after), **{**SMALL, **settings})
    (path,) = set(Path("cut").glob("*")) - before
    return path


def figures(run):
    return [{k: v for k, v in vars(e).items() if not k.endswith("_seconds")} for e in run.history]


def same(one, other):
    files = [[(run.path / name).read_bytes() for name in run.record.files] for run in (one, other)]
    return figures(one) == figures(other) and files[0] == files[1]


@pytest.mark.parametrize("after", EPOCH_AND.values(), ids=EPOCH_AND)
@pytest.mark.parametrize("model", [Draws, Expanded, Frozen])
def test_odd_models_end_with_the_same_bits(digits, model, after):
    """Also one that draws in its evaluation, when all that was left of an epoch was that evaluation."""
    rung = mz.Rung("odd", make=model, momentum=0.9, flip=True, **SMALL)
    whole = mz.train(digits, rung, threads=1, progress=False)
    path = cut_off(digits, rung, after)
    run = mz.resume(path, model=rung, progress=False)
    assert run.record.resumed[0].step > 0
    assert same(run, whole)
    lines = [json.loads(line) for line in (path / "history.jsonl").read_text().splitlines()]
    assert lines == run.record.as_dict()["history"]


def test_another_model_of_the_ladder_is_refused(digits, refuses):
    """The record would say one thing and the weights another."""
    path = cut_off(digits, "model0")
    before = (path / "run.json").read_bytes()
    with refuses(mz.ModelError, "'model0'", "'mlp'"):
        mz.resume(path, model="mlp")
    with refuses(mz.ModelError, "'model0'", "'Draws'"):
        mz.resume(path, model=Draws)
    assert (path / "run.json").read_bytes() == before
    assert mz.resume(path, model="model0", progress=False).status == "finished"


def test_a_model_of_ones_own_that_is_another_one_is_refused(digits, refuses):
    """As far as its size tells."""
    path = cut_off(digits, Draws)
    with refuses(mz.ModelError, "650 parameters", "394"):
        mz.resume(path, model=Frozen)
    with refuses(mz.ModelError, "own", "'model0'"):
        mz.resume(path, model="model0")


def test_data_can_be_given_by_name(digits, refuses):
    """As to `train`."""
    whole = mz.train(digits, "model0", threads=1, progress=False, **SMALL)
    assert same(mz.resume(cut_off(digits, "model0"), "digits", progress=False), whole)
    with refuses(mz.DataError, "nowhere"):
        mz.resume(cut_off(digits, "model0"), "nowhere")


def test_pictures_that_changed_on_disk_are_refused(refuses):
    """The folder is found again from anywhere; one pixel more or less is another set."""
    draws = np.random.default_rng(0)
    images, labels = draws.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
    np.savez("pictures.npz", images=images, labels=labels)
    path = cut_off("pictures.npz", "model0", 20, epochs=4, batch_size=8).absolute()
    before = (path / "run.json").read_bytes()
    images[7, 3, 3] ^= 1
    np.savez("pictures.npz", images=images, labels=labels)
    with refuses(mz.DataError, "fingerprint", mz.Run.read(path).record.data.fingerprint[:12]):
        mz.resume(path)
    assert (path / "run.json").read_bytes() == before
    images[7, 3, 3] ^= 1
    np.savez("pictures.npz", images=images, labels=labels)
    Path("elsewhere").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("elsewhere")
        assert mz.resume(path, progress=False).status == "finished"
    Path("pictures.npz").unlink()
    with refuses(mz.DataError, "pictures.npz"):
        mz.replay(path)


@pytest.mark.parametrize("again", [mz.resume, mz.replay])
def test_a_device_that_is_not_here_is_told(digits, refuses, again):
    """A run of a machine with an accelerator, copied to one without."""
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    path = cut_off(digits, "tinyvgg") if again is mz.resume else mz.train(digits, "tinyvgg", epochs=1).path
    record = mz.Run.read(path).record
    record = replace(record, environment=replace(record.environment, device="cuda", accelerator="NVIDIA H100"))
    write_record(path, record)
    with refuses(mz.RunError, "cuda (NVIDIA H100)", "not on this machine"):
        again(path)
    assert mz.Run.read(path).status == record.status


def test_all_checkpoints_damaged_is_the_beginning(digits):
    """Both are told of, and the same comes out."""
    whole = mz.train(digits, "model0", threads=1, progress=False, **SMALL)
    path = cut_off(digits, "model0", checkpoint_every=1e-6)
    for file in path.glob("checkpoint-*.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    run = mz.resume(path, progress=False)
    (resumed,) = run.record.resumed
    assert (resumed.epoch, resumed.step, len(resumed.trouble)) == (1, 0, 2)
    assert same(run, whole)


def test_the_record_says_what_differs(digits):
    """Where it went on, and that the first part was made with another version."""
    path = cut_off(digits, "model0", 1437 + 640)
    record = mz.Run.read(path).record
    before = replace(record.environment, versions={**record.environment.versions, "torch": "1.0"})
    write_record(path, replace(record, environment=before))
    run = mz.resume(path, progress=False)
    (resumed,) = run.record.resumed
    assert (resumed.epoch, resumed.step, resumed.trouble) == (2, 10, [])
    assert resumed.differs == [f"torch 1.0, now {torch.__version__}"]


def test_warnings_are_told_once(digits):
    """A classifier that warns begins anew, and does not warn twice."""

    class Warns:
        def fit(self, rows, labels):
            warnings.warn("not yet", ConvergenceWarning, stacklevel=2)
            self.classes_ = np.unique(labels)

        def predict(self, rows):
            return np.zeros(len(rows), int)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executing, "write_tensors", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mz.train(digits, Warns, runs_dir="cut")
    run = mz.resume(next(Path("cut").iterdir()), model=Warns)
    assert run.record.warnings == ["ConvergenceWarning: not yet"]


def test_a_run_of_another_host_goes_on_when_it_is_said_to_have_ended(digits, refuses):
    """Nobody here can know that; of this host one can, and a living process is left alone all the same."""
    whole = mz.train(digits, "mlp", threads=1, progress=False, **SMALL)
    path = cut_off(digits, "mlp")
    record = mz.Run.read(path).record
    away = replace(Process.this(), host="another.example")
    write_record(path, replace(record, status="running", process=away))
    assert mz.Run.read(path).status == "running"
    with refuses(mz.RunError, "on another.example, which cannot be checked", "--take-over"):
        mz.resume(path)
    here = replace(Process.this(), pid=1, started=psutil.Process(1).create_time())
    write_record(path, replace(record, status="running", process=here))
    with refuses(mz.RunError, "is being written by process 1 on"):
        mz.resume(path, take_over=True)
    write_record(path, replace(record, status="running", process=away))
    assert same(mz.resume(path, take_over=True, progress=False), whole)


def test_of_two_threads_one_goes_on(digits):
    """The other one is told, whatever moment it comes at; two trainings in one folder would be neither's."""
    path = cut_off(digits, "model0", epochs=4, batch_size=8)
    together, told = threading.Barrier(6), []

    def resume_climb():
        together.wait()
        try:
            told.append(mz.resume(path, digits, progress=False).status)
        except mz.RunError as error:
            told.append(str(error).split(" ")[0])

    threads = [threading.Thread(target=resume_climb) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 6
    assert "finished" in told
    assert set(told) <= {"finished", str(path)}  # the first word of the refusal
    assert len(mz.Run.read(path).record.resumed) == 1
    mz.Run.read(path).check()


def test_a_run_that_is_being_taken_over_is_never_free(digits, monkeypatch, refuses):
    """Also between the moment it is claimed and the first step."""
    path = cut_off(digits, "model0")
    executed, seen = executing.executed, []

    def late(*arguments, **settings):
        with refuses(mz.RunError, "another process or thread"):
            mz.resume(path)
        seen.append(path)
        return executed(*arguments, **settings)

    monkeypatch.setattr("modelzero.training.resume.executed", late)
    assert mz.resume(path, progress=False).status == "finished"
    assert seen == [path]


@pytest.mark.parametrize(
    ("ends", "kind", "words"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (ZeroDivisionError("my bug"), mz.TrainingError, "my bug"),
    ],
)
def test_a_folder_that_takes_no_last_word_hides_no_reason(digits, monkeypatch, ends, kind, words):
    """Ctrl-C stays Ctrl-C and a model's bug is named, though the record cannot be written any more."""

    class Ends(Silence):
        def begin_epoch(self, epoch):
            monkeypatch.setattr(executing, "write_record", full)
            raise ends

    def full(*_):
        raise mz.RunError("no room")

    with pytest.raises(kind, match=words) as caught:
        mz.train(digits, "model0", progress=Ends())
    assert not isinstance(caught.value, mz.RunError)
    assert "recorded in" not in str(caught.value)


def test_an_infinite_loss_is_told_though_the_folder_is_full(digits, monkeypatch):
    """With the learning rate to try; not that there is no room."""
    real = executing.write_record

    def full(path, record, *more):
        if record.status != "running":
            raise mz.RunError("no room")
        return real(path, record, *more)

    monkeypatch.setattr(executing, "write_record", full)
    with pytest.raises(mz.TrainingError, match="try a learning rate") as caught:
        mz.train(digits, "model0", learning_rate=1e30, epochs=1, progress=False)
    assert not isinstance(caught.value, mz.RunError)
