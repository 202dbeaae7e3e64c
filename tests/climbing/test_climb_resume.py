"""A ladder goes on where it was cut off, and ends as if it had not been."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path

import filelock
import numpy as np
import psutil
import pytest
from torch import nn
from typer.testing import CliRunner

import modelzero as mz
from helpers import Inline, Stops, rewrite
from modelzero.cli import app
from modelzero.climbing.climb import Interrupted
from modelzero.climbing.workers import Workers
from modelzero.errors import DataUnavailableError
from modelzero.runs.folder import read_runs
from modelzero.runs.process import Process
from modelzero.runs.record import LADDER_RECORD
from modelzero.signals import SIGNALS, ignored

RUNGS = ["majority", "centroid", "softmax"]


def after_cells(count, error):
    """A listener that raises once so many cells have ended."""

    def listen(ladder):
        if sum(cell.status != "planned" for cell in ladder.record.cells) >= count:
            raise error

    return listen


def climb(data, rungs=None, **settings):
    return mz.climb(data, rungs, executor=Inline(), audit=False, **settings)


def cut_off(data, rungs=RUNGS, count=2, error=None, **settings):
    """Climb until so many cells have ended; return the folder of the ladder.

    The executor has done the others already; what nobody asked for any more is removed.
    """
    with pytest.raises(type(error or KeyboardInterrupt())):
        climb(data, rungs, progress=after_cells(count, error or KeyboardInterrupt()), **settings)
    (path,) = Path("runs").glob("*-ladder-*")
    known = {run.id for run in mz.Ladder.read(path).runs}
    for run in read_runs("runs")[0]:
        if run.record.ladder == path.name and run.id not in known:
            shutil.rmtree(run.path)
    return path


def resume_climb(path, data=None, rungs=None, **settings):
    return climb(data, rungs, resume=path, **settings)


def forget(stored):
    """Let a ladder's record know of no finished run."""
    for cell in stored["cells"]:
        cell.update(status="planned", run=None)


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def runs_of(path):
    return {each.parent: each.stat().st_mtime_ns for each in path.parent.glob("*/run.json")}


def verdicts(ladder):
    """All that a ladder says but the seconds, the folders and the memory of the process."""
    shown = ladder.as_dict()
    measured = ("seconds", "images_per", "memory", "runs")
    rungs = [{k: v for k, v in rung.items() if not any(word in k for word in measured)} for rung in shown["rungs"]]
    return rungs, shown["comparisons"], shown["worth_it"], shown["left_out"], shown["family"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()], ids=["interrupted", "failed"])
def test_what_is_finished_is_read_back(digits, error):
    """Its folders are not touched, only the others are made, and the ladder is that of a climb in one go."""
    path = cut_off(digits, count=2, error=error, seeds=2)
    assert mz.Ladder.read(path).record.status == ("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
    before = runs_of(path)
    assert len(before) == 2
    ladder = resume_climb(path)
    after = runs_of(path)
    assert before.items() <= after.items()
    assert len(after) == len(ladder.runs) == 4
    assert ladder.record.status == "finished"
    assert {cell.status for cell in ladder.record.cells} == {"finished"}
    assert verdicts(ladder) == verdicts(climb(digits, RUNGS, seeds=2, runs_dir="whole"))
    assert verdicts(mz.Ladder.read(path)) == verdicts(ladder)


def test_a_cell_that_was_cut_off_goes_on_in_its_own_folder(digits):
    """From its checkpoint; no second folder is made for it."""
    path = cut_off(digits, ["majority", "tinyvgg"], count=1, seeds=1, error=ZeroDivisionError())
    with pytest.raises(KeyboardInterrupt):
        mz.train(digits, "tinyvgg", threads=1, device="cpu", ladder=path.name, progress=Stops(5000))
    (unfinished,) = path.parent.glob("*tinyvgg*")
    ladder = resume_climb(path)
    (run,) = (run for run in ladder.runs if run.record.model == "tinyvgg")
    assert run.path.absolute() == unfinished.absolute()
    assert run.record.resumed[0].step > 0
    assert verdicts(ladder) == verdicts(climb(digits, ["majority", "tinyvgg"], seeds=1, runs_dir="whole"))


def test_what_is_said_last_counts_less_than_the_folders(digits):
    """A climb that was killed had no time to write down which cells had finished."""
    path = cut_off(digits, count=4, seeds=2, error=ZeroDivisionError())
    gone = replace(Process.this(), started=1.0)
    rewrite(path, LADDER_RECORD, forget, status="running", process=gone)
    assert mz.Ladder.read(path).record.status == "interrupted"
    before = runs_of(path)
    assert len(resume_climb(path).runs) == 4
    assert runs_of(path) == before


def test_runs_of_other_ladders_and_of_nobody_are_not_taken(digits):
    """They may be of the same rung and seed."""
    mz.train(digits, "softmax", seed=42, threads=1)
    climb(digits, RUNGS, seeds=1)
    (other,) = Path("runs").glob("*-ladder-*")
    other.rename(other.with_name("other"))
    path = cut_off(digits, count=1, seeds=1)
    ladder = resume_climb(path)
    assert len({run.id for run in ladder.runs}) == 3
    assert {run.record.ladder for run in ladder.runs} == {path.name}


def test_a_finished_ladder_is_read_back(digits):
    """Nothing is trained, nothing is written, not even for a moment."""
    path = climb(digits, RUNGS, seeds=1).path
    before = {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")}
    ladder = mz.climb(resume=path)
    assert [rung.name for rung in ladder.rungs] == RUNGS
    assert {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")} == before


def test_rungs_of_ones_own_and_pictures_from_memory_have_to_be_given(digits, refuses):
    """A record has neither code nor images; other images than those are refused."""
    data = mz.from_arrays(
        digits.train.images[:300].numpy(),
        digits.train.labels[:300].numpy(),
        digits.test.images.numpy(),
        digits.test.labels.numpy(),
    )
    mine = mz.Rung("mine", make=linear, epochs=2)
    path = cut_off(data, ["majority", mine], count=1, seeds=2)
    before = (path / LADDER_RECORD).read_bytes()
    with refuses(mz.ModelError, "'mine'", "rungs"):
        resume_climb(path, data)
    with refuses(mz.DataError, "pass the data as well"):
        resume_climb(path, rungs=[mine])
    with refuses(mz.DataError, "fingerprint", data.fingerprint[:12], digits.fingerprint[:12]):
        resume_climb(path, digits, [mine])
    with refuses(mz.ModelError, "unexpected rungs 'other'", "only 'mine'"):
        resume_climb(path, data, [mine, mz.Rung("other", make=linear)])
    assert (path / LADDER_RECORD).read_bytes() == before
    ladder = resume_climb(path, data, [mz.Rung("mine", make=linear, epochs=7)])  # the recipe is that of the record
    assert [len(run.history) for run in ladder.runs] == [1, 2, 2]


def test_code_of_a_recipe_has_to_be_given_again(digits, refuses):
    """Also where the model is a built-in one, which alone has to be the same."""

    def doubled(logits, labels):
        return 2 * nn.functional.cross_entropy(logits, labels)

    mine = mz.Rung("mine", "softmax", epochs=2, loss=doubled)
    path = cut_off(digits, ["majority", mine], count=2, seeds=2)
    with refuses(mz.ModelError, "'mine' is trained with code of your own", "rungs"):
        resume_climb(path)
    with refuses(mz.ModelError, "'mine' was trained with your own loss", "doubled", "'cross-entropy'"):
        resume_climb(path, rungs=[mz.Rung("mine", "softmax")])
    with refuses(mz.ModelError, "'mine'", "expected 'softmax'"):
        resume_climb(path, rungs=[mz.Rung("mine", "mlp", loss=doubled)])
    ladder = resume_climb(path, rungs=[mine])
    assert len(ladder.runs) == 3
    assert all(run.record.recipe["loss"].endswith("doubled") for run in ladder.runs[1:])


def test_a_rung_of_another_size_is_refused(digits, refuses):
    """Its seeds would be those of two models."""
    mine = mz.Rung("mine", make=linear, epochs=1)
    path = cut_off(digits, [mine], count=1, seeds=2)

    def wider():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Linear(20, 10))

    with refuses(mz.ModelError, "with 650 parameters", "1,510"):
        resume_climb(path, rungs=[mz.Rung("mine", make=wider)])
    assert len(resume_climb(path, rungs=[mine]).runs) == 2


def test_what_fails_while_it_is_taken_up_is_told_as_it_is(digits):
    """Not as a folder that cannot be written."""
    path = cut_off(digits, count=1, seeds=1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        resume_climb(path, lambda: Path("nowhere").read_bytes())


def test_a_ladder_that_somebody_climbs_is_left_to_him(digits, refuses):
    """And of two who take it up at once one is told, whatever moment he comes at."""
    path = cut_off(digits, count=1, seeds=1)
    parent = replace(Process.this(), pid=1, started=psutil.Process(1).create_time())
    before = (path / LADDER_RECORD).read_bytes()
    rewrite(path, LADDER_RECORD, status="running", process=parent)
    with refuses(mz.RunError, "is being written by process 1 "):
        resume_climb(path)
    (path / LADDER_RECORD).write_bytes(before)
    with filelock.FileLock(path / ".lock"), refuses(mz.RunError, "another process or thread"):
        resume_climb(path)

    def meddle(ladder):
        with refuses(mz.RunError, "another process or thread"):
            resume_climb(path)

    assert resume_climb(path, progress=meddle).record.status == "finished"


def test_a_ladder_of_another_host_goes_on_when_it_is_said_to_have_ended(digits, monkeypatch, refuses):
    """With its cells, of which one may have been under way there."""
    monkeypatch.setattr("modelzero.climbing.session._SECONDS_TO_END", 0.2)
    path = cut_off(digits, ["majority", "softmax"], count=1, seeds=1)
    with pytest.raises(KeyboardInterrupt):
        mz.train(digits, "softmax", seed=42, threads=1, ladder=path.name, progress=Stops(2000))
    (unfinished,) = path.parent.glob("*softmax-seed42*")
    away = replace(Process.this(), host="another.example")
    for folder, name in ((path, LADDER_RECORD), (unfinished, "run.json")):
        rewrite(folder, name, status="running", process=away)
    with refuses(mz.RunError, "on another.example, which cannot be checked", "--take-over"):
        resume_climb(path)
    ladder = resume_climb(path, take_over=True)
    assert [cell.status for cell in ladder.record.cells] == ["finished"] * 2
    assert unfinished.name in {run.id for run in ladder.runs}


def test_the_workers_of_a_killed_climb_are_waited_for(digits):
    """They end by themselves within seconds; their cells then go on, and no rung is given up for it."""
    path = cut_off(digits, ["majority", "softmax"], count=1, seeds=2)
    with pytest.raises(KeyboardInterrupt):
        mz.train(digits, "softmax", seed=42, threads=1, ladder=path.name, progress=Stops(2000))
    (unfinished,) = path.parent.glob("*softmax-seed42*")
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"])
    try:
        owner = replace(Process.this(), pid=worker.pid, started=psutil.Process(worker.pid).create_time())
        rewrite(unfinished, status="running", process=owner)
        ladder = resume_climb(path)
    finally:
        worker.wait()
    assert [cell.status for cell in ladder.record.cells] == ["finished"] * 3
    assert unfinished.name in {run.id for run in ladder.runs}


def test_a_run_that_is_damaged_is_trained_again(digits):
    """Its folder stays as it is; the cell gets another one."""
    path = cut_off(digits, count=4, seeds=2, error=ZeroDivisionError())
    (damaged,) = path.parent.glob("*softmax-seed43*")
    content = bytearray((damaged / "run.json").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "run.json").write_bytes(content)
    rewrite(path, LADDER_RECORD, forget)
    ladder = resume_climb(path)
    assert len(ladder.runs) == 4
    assert damaged.name not in {run.id for run in ladder.runs}
    assert (damaged / "run.json").read_bytes() == content


def test_more_time_for_what_a_budget_cut_off(digits):
    """What was planned and did not end goes on; what was left out by plan stays left out."""
    path = climb(digits, ["majority", "centroid"], seeds=1).path
    left_out = [{"name": "centroid", "why": "cut off", "predicted_seconds": 1.0, "failed": False}]
    cut = {"status": "cut off", "run": None, "why": "the budget ended"}
    rewrite(path, LADDER_RECORD, lambda stored: stored["cells"][1].update(cut), left_out=left_out)
    ladder = resume_climb(path, budget="60s")
    assert [rung.name for rung in ladder.rungs] == ["majority", "centroid"]
    assert not ladder.left_out


def test_nothing_to_climb_is_told(digits, tmp_path, refuses):
    """Neither data nor a ladder; a folder without one; a ladder that had not begun."""
    with refuses(mz.SettingError, "no data"):
        mz.climb()
    with refuses(mz.RunError, "holds no ladder"):
        mz.climb(resume=tmp_path / "nothing")
    path = cut_off(digits, count=1, seeds=1)
    rewrite(path, LADDER_RECORD, cells=[])
    with refuses(mz.RunError, "before anything was planned"):
        resume_climb(path)


def test_asking_again_and_again_costs_nothing(digits):
    """While a climb writes down what is known, further signals do nothing; then the handlers are back."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with ignored():
        for number in SIGNALS:
            signal.raise_signal(number)
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert len(np.unique([asdict(comparison)["rung"] for comparison in climb(digits, RUNGS, seeds=1).comparisons])) == 2


def test_a_signal_while_a_ladder_is_being_ended_waits_for_its_record(digits, monkeypatch):
    """What still runs is ended, which takes seconds; then the ladder is there, with its verdict."""
    stop = Workers.stop

    def interrupted(workers):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        stop(workers)

    monkeypatch.setattr(Workers, "stop", interrupted)
    monkeypatch.setattr("modelzero.signals._raised_at", -math.inf)
    with pytest.raises(Interrupted) as caught:
        climb(digits, ["majority", "centroid"])
    assert [rung.name for rung in caught.value.ladder.rungs] == ["majority", "centroid"]
    assert mz.Ladder.read(caught.value.ladder.path).record.status == "finished"


def test_without_its_pictures_no_other_ladder_is_climbed(digits, monkeypatch):
    """On the command line `digits` takes the place of a set that is not there: for a new ladder only."""
    path = cut_off(digits, count=1, seeds=1)

    def away(_):
        raise DataUnavailableError("it is not there")

    monkeypatch.setattr("modelzero.climbing.climb.load_again", away)
    answer = CliRunner().invoke(app, ["climb", "--resume", str(path)])
    assert answer.exit_code == 2
    assert "it is not there" in answer.stderr
    assert len(list(path.parent.glob("*ladder*"))) == 1


def test_no_time_is_no_error(digits):
    """A resumed ladder without a second to spend ends as one whose budget ended, and can be resumed again."""
    path = cut_off(digits, seeds=2)
    ladder = mz.climb(resume=path, budget=1, workers=1, audit=False)
    assert ladder.record.status == "finished"
    assert any(cell.status == "cut off" for cell in ladder.record.cells)
    assert all(cell.status == "finished" for cell in resume_climb(path).record.cells)


def test_a_resumed_climb_predicts_what_is_left(digits):
    """With a budget: what its finished trainings took is known, and the others are tried out."""
    path = cut_off(digits, ["majority", "softmax", "mlp"], count=5, seeds=3)
    heard = []

    def listen(ladder):
        heard.append(ladder.record)

    ladder = mz.climb(resume=path, budget="60s", workers=1, audit=False, progress=listen)
    assert heard[0].expected_seconds > 0
    assert all(cell.status == "finished" for cell in ladder.record.cells)


def test_what_a_trial_decided_stays_decided(digits):
    """Seeds of one rung must differ in nothing else, although a trial on another day may come out otherwise."""
    rung = mz.Rung("mine", linear, flip=None, precision="auto", epochs=1)
    path = cut_off(digits, [rung], count=1, seeds=2)
    (done,) = [run for run in read_runs("runs")[0] if run.record.ladder == path.name]
    recipe = {**done.record.recipe, "flip": True, "precision": "bf16"}
    rewrite(done.path, recipe=recipe, derived={**done.record.derived, "flip": "yes: as it was"})
    ladder = resume_climb(path, digits, [rung])
    assert [run.record.recipe["flip"] for run in ladder.runs] == [True, True]
    assert [run.record.recipe["precision"] for run in ladder.runs] == ["bf16", "bf16"]
    assert ladder.runs[1].record.derived["flip"] == "yes: as it was"


def test_an_interruption_before_anything_is_planned_leaves_nothing(digits):
    """There is nothing to resume, so no folder to resume is named."""

    class Interrupts(Executor):
        def submit(self, function, /, *args, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        mz.climb(digits, ["majority", "knn"], budget="60s", executor=Interrupts())
    assert caught.value.folder is None
    assert not list(Path("runs").glob("*"))
