"""The climb: cells on real processes, killed ones, budgets, Ctrl-C, and the record that says it all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import nn

import modelzero as mz
from helpers import climb
from modelzero.models.rungs import rung_named


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


class FailsInTraining(nn.Module):
    """A user's model whose bug only shows when it is trained."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, images):
        if self.training:
            raise ZeroDivisionError("my own bug")
        return self.layer(images.flatten(1))


class FailsAlways(FailsInTraining):
    """A user's model that does not work at all."""

    def forward(self, images):
        raise LookupError("never worked")


def logits_of(ladder):
    return {(run.record.model, run.seed): run.test_logits for run in ladder.runs}


def only_ladder():
    (path,) = Path("runs").glob("*ladder*")
    return path


@pytest.mark.slow
def test_numbers_do_not_depend_on_the_number_of_workers(digits):
    """One process, two, three threads of this one, or none at all: bit-equal predictions of every kind of rung."""
    rungs = ["knn", "softmax", "mlp", "forest", mz.Rung("mine", make=lambda: linear(), epochs=2)]
    with ThreadPoolExecutor(3) as threads:
        ladders = [
            mz.climb(digits, rungs, seeds=2, workers=1),
            mz.climb(digits, rungs, seeds=2, workers=2),
            mz.climb(digits, rungs, seeds=2, executor=threads),
            climb(digits, rungs, seeds=2),
        ]
    first, *others = map(logits_of, ladders)
    assert len(first) == 1 + 4 * 2
    for other in others:
        assert other.keys() == first.keys()
        assert all(torch.equal(other[cell], first[cell]) for cell in first)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_recipes_of_ones_own_climb_on_any_executor(digits, kind):
    """With functions that cannot be imported, of which some keep rungs from the kernel; as in a single training."""
    rungs = [
        "majority",
        mz.Rung("darker", make="softmax", epochs=2, transform=lambda images: images / 2, clip_norm=1.0),
        mz.Rung("adam", make="softmax", epochs=2, optimizer=lambda weights: torch.optim.AdamW(weights, lr=0.01)),
        mz.Rung("stopped", make="softmax", epochs=3, early_stopping=0.2, class_weights="balanced", schedule="cosine"),
    ]
    pool = ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(1, get_context("spawn"))
    with pool as executor:
        ladder = mz.climb(digits, rungs, seeds=2, executor=executor, audit=False)
    assert not ladder.left_out
    for rung in rungs[1:]:
        alone = mz.train(digits, rung, seed=43, threads=1)
        assert torch.equal(alone.test_logits, logits_of(ladder)[rung.name, 43])


def test_a_cell_equals_a_single_training(digits):
    """What the ladder trains with a seed is what `train` gives with that seed on one thread."""
    ladder = climb(digits, ["model0"], seeds=2, seed=7)
    for run in ladder.runs:
        alone = mz.train(digits, "model0", seed=run.seed, threads=1)
        assert torch.equal(alone.test_logits, run.test_logits)
    assert [run.seed for run in ladder.runs] == [7, 8]


def test_what_takes_no_time_starts_no_process(digits, monkeypatch):
    """Linear rungs train in the kernel, and counting and averaging take less than a start; the numbers are the same."""

    def never(*_, **__):
        raise AssertionError("a process was started")

    rungs = ["majority", "centroid", "softmax"]
    expected = logits_of(climb(digits, rungs, seeds=2, runs_dir="inline"))
    monkeypatch.setattr("modelzero.io.processes.KillableProcess.submit", never)
    found = logits_of(mz.climb(digits, rungs, seeds=2, workers=2))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[cell], expected[cell]) for cell in found)


def test_a_killed_worker_costs_its_cell_only(digits, tmp_path):
    """A cell whose process is killed is trained again once; one that is killed each time is named as failed."""

    parent = os.getpid()

    def killed(flag, times):
        class Killed(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(64, 10)

            def forward(self, images):
                if os.getpid() != parent and self.training and len(list(flag.glob("*"))) < times:
                    (flag / str(time.time_ns())).touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return self.layer(images.flatten(1))

        return Killed

    for name in ("once", "always"):
        (tmp_path / name).mkdir()
    rungs = [
        "majority",
        mz.Rung("once", make=killed(tmp_path / "once", 1), epochs=1),
        mz.Rung("always", make=killed(tmp_path / "always", 99), epochs=1),
        mz.Rung("mine", make=lambda: linear(), epochs=1),
    ]
    ladder = mz.climb(digits, rungs, seeds=1, workers=2)
    assert [rung.name for rung in ladder.rungs] == ["majority", "once", "mine"]
    ((left_out),) = ladder.left_out
    assert (left_out.name, left_out.failed) == ("always", True)
    assert "died 2 times" in left_out.why
    assert len(list((tmp_path / "always").iterdir())) == 2
    assert "Left out: always" in ladder.table()


def test_a_model_that_fails_in_training_is_named_and_the_rest_goes_on(digits):
    """Its message and line are shown; a part of the family of comparisons is missing, not forgotten."""
    ladder = climb(digits, ["majority", FailsInTraining, "centroid"], seeds=2)
    assert [rung.name for rung in ladder.rungs] == ["majority", "centroid"]
    (left_out,) = ladder.left_out
    assert left_out.failed
    for word in ("2 of 2 trainings failed", "ZeroDivisionError: my own bug", "test_climb.py, line "):
        assert word in left_out.why
    assert len(ladder.record.family) == 2
    assert ladder.comparisons[0].p_adjusted == pytest.approx(2 * ladder.comparisons[0].p)
    assert ladder.record.status == "finished"


def test_a_model_that_cannot_be_made_is_left_out_before_training(digits):
    """It belongs to no comparison, and the reason is its own message."""
    ladder = climb(digits, ["majority", FailsAlways, "centroid"], seeds=1)
    assert "LookupError: never worked" in ladder.left_out[0].why
    assert len(ladder.record.family) == 1


def test_pictures_too_small_for_a_rung(digits):
    """A rung of the ladder that does not fit the images is left out with the reason, and is no failure."""
    tiny = mz.ImageData(
        "tiny",
        mz.Split(digits.train.images[:, :, :3, :3].contiguous(), digits.train.labels),
        mz.Split(digits.test.images[:, :, :3, :3].contiguous(), digits.test.labels),
        digits.classes,
    )
    ladder = climb(tiny, ["majority", "tinyvgg"], seeds=1)
    assert ladder.left_out[0].name == "tinyvgg"
    assert "too small" in ladder.left_out[0].why
    assert not ladder.left_out[0].failed


def test_if_no_rung_works_it_says_why(digits, refuses):
    """Nothing stays behind where nothing could be made; a record stays where training failed."""
    with refuses(mz.ModelError, "never worked"):
        climb(digits, [FailsAlways])
    assert not Path("runs").exists()
    with refuses(mz.TrainingError, "no rung could be trained", "my own bug"):
        climb(digits, [FailsInTraining])
    assert mz.Ladder.read(only_ladder()).record.status == "failed"


def test_what_is_compared_is_written_down_before_training(digits):
    """When the first cell has not begun, the record on disk holds rungs, recipes, cells and the whole family."""
    seen = []

    def listen(ladder):
        if not seen:
            assert not list(Path("runs").glob("*/run.json"))
            seen.append(mz.Ladder.read(only_ladder()).record)

    climb(digits, ["majority", "centroid", "model0"], seeds=2, progress=listen)
    (record,) = seen
    assert [cell.status for cell in record.cells] == ["planned"] * 4
    assert [(each.rung, each.below) for each in record.family] == [
        ("centroid", ["majority"]),
        ("model0", ["majority", "centroid"]),
    ]
    assert record.rungs[2].recipe["learning_rate"] == 0.1
    assert (record.seeds, record.margin, record.status) == ([42, 43], 0.003, "running")


def test_a_rung_without_randomness_is_trained_once(digits):
    """A classifier that may have some is trained until two gave the same; see test_measured.py."""
    names = ["majority", "sklearn.naive_bayes.GaussianNB", "sklearn.tree.DecisionTreeClassifier"]
    ladder = climb(digits, names, seeds=3)
    assert [run.record.model for run in ladder.runs] == [
        names[0],
        *["GaussianNB"] * 2,
        *["DecisionTreeClassifier"] * 3,
    ]
    assert [rung.random for rung in ladder.record.rungs] == [False, False, True]
    assert len({run.test_logits.numpy().tobytes() for run in ladder.runs[3:]}) == 3


def test_runs_of_a_climb_are_ordinary_runs(digits):
    """They lie beside the ladder, are read alone, and read the test split once for each epoch."""
    ladder = climb(digits, ["centroid", "model0"], seeds=2)
    assert sorted(path.name for path in Path("runs").iterdir()) == sorted(
        [ladder.path.name, *(run.id for run in ladder.runs)]
    )
    assert [path.name for path in ladder.path.iterdir()] == ["ladder.json"]
    assert [mz.Run.read(run.path).record.test_reads for run in ladder.runs] == [1, 23, 23]
    assert torch.equal(ladder.runs[0].test_labels, digits.test.labels)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rungs": ["model0", "modle1"]}, ["'modle1'", "did you mean"]),
        ({"rungs": []}, ["no rung"]),
        ({"rungs": ["model0", "model0"]}, ["'model0'", "more than once"]),
        ({"rungs": [linear, linear]}, ["'linear'", "different names"]),
        ({"seeds": 0}, ["seeds 0"]),
        ({"seeds": 2.5}, ["seeds 2.5"]),
        ({"workers": 0}, ["workers 0"]),
        ({"seed": -1}, ["seed -1"]),
        ({"budget": "soon"}, ["budget 'soon'", "60s, 5m or 1h"]),
        ({"device": "auto"}, ["device 'auto'", "cpu"]),
        ({"margin": 3}, ["margin 3", "0.003"]),
    ],
)
def test_bad_input_ends_before_anything_is_made(digits, settings, words, refuses):
    """One line that names what was given and what is needed, and no folder."""
    settings = {"rungs": ["majority"], **settings}
    with refuses(mz.InputError, *words):
        climb(digits, **settings)
    assert not Path("runs").exists()


def slow(seconds):
    """Return a factory of a linear model whose training steps take so long; sent to processes as it is."""

    def make():
        class Slow(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(64, 10)

            def forward(self, images):
                if self.training:
                    __import__("time").sleep(seconds)
                return self.layer(images.flatten(1))

        return Slow()

    return make


def test_a_budget_that_fits_nothing(digits, refuses):
    """It says what starting took, and leaves nothing behind."""
    with refuses(mz.SettingError, "budget 0.5 s fits no rung", "increase --budget"):
        mz.climb(digits, ["softmax"], budget=0.5)
    assert list(Path("runs").iterdir()) == []


def test_what_does_not_fit_is_left_out_by_name_with_its_predicted_time(digits):
    """A model that sleeps is tried out, not trained; the others are, within the budget."""

    began = time.monotonic()
    ladder = mz.climb(
        digits, ["majority", mz.Rung("slow", make=slow(0.2), epochs=10), "centroid"], seeds=3, budget="60s", workers=2
    )
    assert time.monotonic() - began < 60 + 25  # starting the processes is not charged
    assert [rung.name for rung in ladder.rungs] == ["majority", "centroid"]
    (left_out,) = ladder.left_out
    assert left_out.name == "slow"
    steps = 10 * 45
    assert 0.9 * steps * 0.2 < left_out.predicted_seconds < 3 * steps * 0.2
    assert "would not fit" in left_out.why
    assert not left_out.failed
    assert [each.rung for each in ladder.record.family] == ["centroid"]


def test_what_outruns_its_prediction_is_cut_off(digits):
    """A model that turns slow after its trial is stopped at the end of the budget, and what is done counts."""

    def treacherous():
        class Treacherous(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.steps = nn.Linear(64, 10), 0

            def forward(self, images):
                self.steps += self.training
                if self.steps > 40:
                    __import__("time").sleep(5)
                return self.layer(images.flatten(1))

        return Treacherous()

    began = time.monotonic()
    ladder = mz.climb(digits, ["majority", mz.Rung("mine", make=treacherous)], seeds=1, budget=14, workers=1)
    assert time.monotonic() - began < 14 + 25  # starting the process is not charged
    assert [rung.name for rung in ladder.rungs] == ["majority"]
    assert ladder.left_out[0].why == "cut off: the budget ended"
    (run,) = (run for run in map(mz.Run.read, Path("runs").glob("*mine*")))
    assert run.status == "interrupted"


def test_the_dearest_rung_is_trained_before_second_seeds_and_the_time_is_used(digits):
    """One of its trainings fits; the next is begun and cut off, and could be resumed; all cheap ones are done."""

    rungs = ["majority", "softmax", mz.Rung("slow", make=slow(0.08), second_chance=False)]
    ladder = mz.climb(digits, rungs, seeds=3, budget=23, workers=1, audit=False)
    assert [rung.seeds for rung in ladder.rungs] == [1, 3, 1]
    assert ladder.record.seconds > 0.9 * 23
    (left_out,) = ladder.left_out
    assert left_out.why == "2 of 3 trainings cut off: the budget ended"
    unfinished = [run for run in map(mz.Run.read, Path("runs").glob("*slow*")) if run.status == "interrupted"]
    assert [run.seed for run in unfinished] == [43]
    (comparison,) = [each for each in ladder.comparisons if each.rung == "slow"]
    assert comparison.of == "these trained models"
    assert "Trained once: slow; these statements apply to the trained model, not the method." in ladder.table()


def test_a_bar_shows_how_many_trainings_have_ended(digits, capsys):
    """If that is asked for, with the last one; by default only to a terminal or a notebook."""
    mz.climb(digits, ["majority", "softmax"], seeds=2, audit=False, progress=True)
    shown = capsys.readouterr().err
    assert "digits, about" in shown
    assert "0/3" in shown
    last = shown.split("\r")[-1]
    assert "3/3" in last
    assert "seed 4" in last
    mz.climb(digits, ["majority", "softmax"], seeds=2, audit=False)
    assert capsys.readouterr().err == ""


def test_starting_and_compiling_are_not_charged(digits, monkeypatch):
    """A budget that they would use up leaves its whole time to the trainings, as on the first day after installing."""
    from modelzero.climbing import session

    compiled = session.compile_kernel

    def slowly(recipe):
        time.sleep(5)
        compiled(recipe)

    monkeypatch.setattr(session, "compile_kernel", slowly)
    ladder = mz.climb(digits, ["majority", "softmax"], seeds=2, budget=5, audit=False)
    assert [rung.seeds for rung in ladder.rungs] == [1, 2]
    assert not ladder.left_out


def test_the_expected_time_is_said_to_whoever_listens(digits):
    """Before anything is trained; nobody pays for trials that nobody reads."""
    heard = []
    mz.climb(digits, ["majority", "softmax"], seeds=2, audit=False, progress=lambda ladder: heard.append(ladder.record))
    assert heard[0].expected_seconds > 0
    assert all(cell.status == "planned" for cell in heard[0].cells)
    assert mz.climb(digits, ["majority", "softmax"], seeds=2, audit=False).record.expected_seconds is None


def running_in_group(group):
    """List what still runs in a process group; the helpers of multiprocessing end by themselves a moment later."""
    for _ in range(50):
        command = ["ps", "-o", "stat=,cmd=", "-g", str(group)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        running = [line for line in listed if not line.startswith("Z")]
        if not running:
            break
        time.sleep(0.1)
    return running


@pytest.mark.parametrize("interrupts", [1, 3])
def test_ctrl_c_shows_what_is_known(interrupts):
    """Exit code 130, a table of the rungs that are done, a record that says so, and no process left behind."""
    command = [
        sys.executable,
        "-m",
        "modelzero",
        "climb",
        "digits",
        "--rungs",
        "majority,knn,model0,convnet",
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    awaited = {"knn seed 42", "model0 seed 46"}  # in a process of its own, and in a thread
    for line in process.stderr:
        awaited -= {name for name in awaited if name in line}
        if not awaited:
            break
    for _ in range(interrupts):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.2)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "knn " in out
    assert "majority   10.00 %" in out
    assert "Left out: convnet, " in out
    assert "interrupted" in err
    assert "Traceback" not in err
    ladder = mz.Ladder.read(only_ladder())
    assert ladder.record.status == "interrupted"
    assert {"majority", "model0"} <= {rung.name for rung in ladder.rungs}
    assert not running_in_group(process.pid)


def test_ctrl_c_ends_a_cell_that_is_trained_in_a_thread(digits):
    """The kernel looks now and then whether it is to stop; what it trained so far is recorded as interrupted."""
    endless = mz.Rung("endless", rung_named("model0").make, epochs=200_000)
    threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        mz.climb(digits, [endless], seeds=1)
    (run,) = (run for run in map(mz.Run.read, Path("runs").glob("*endless*")))
    assert run.status == "interrupted"
    assert run.history
