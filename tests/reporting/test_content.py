"""What a report gathers: from ladders and runs, whole ones and broken ones, large ones and tiny ones."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

import modelzero as mz
from helpers import climb
from modelzero.io.json import to_json
from modelzero.reporting.content import gather
from modelzero.reporting.page import page
from modelzero.runs.folder import write_record
from modelzero.runs.record import LADDER_RECORD, RECORD, LadderRecord, RunRecord


@pytest.fixture(scope="module")
def ladder(digits, tmp_path_factory):
    """A climb with two seeds; tests that change it copy its folder."""
    return climb(digits, ["majority", "softmax", "model0"], seeds=2, runs_dir=tempfile(tmp_path_factory))


def tempfile(factory):
    return factory.mktemp("runs")


@pytest.fixture
def copied(ladder, tmp_path):
    """The same ladder in a folder of this test's own."""
    shutil.copytree(ladder.path.parent, tmp_path / "runs")
    return tmp_path / "runs" / ladder.path.name


def change(path, name=RECORD, **fields):
    record = json.loads((path / name).read_text())
    record.update(fields)
    write_record(path, (RunRecord if name == RECORD else LadderRecord).from_dict(record), name)


def classes_of(count, each=4, seed=0):
    """A set of so many classes with noisy images, a few of each."""
    rng = np.random.default_rng(seed)
    labels = torch.arange(count).repeat_interleave(each)
    images = torch.from_numpy(rng.integers(0, 256, (count * each, 1, 4, 4), dtype=np.uint8))
    split = mz.Split(images, labels)
    return mz.ImageData("many", split, split, tuple(f"class {k}" for k in range(count)))


def test_a_ladder_is_told_as_climb_tells_it(ladder):
    """Rungs, comparisons and verdict are, field by field, those of `climb --json`."""
    ours, theirs = gather([ladder]).as_dict(), ladder.as_dict()
    for name in ("comparisons", "worth_it", "verdict", "left_out", "data", "margin", "price", "nearly_as_good"):
        assert to_json(ours[name]) == to_json(theirs[name])
    for mine, rung in zip(ours["rungs"], theirs["rungs"], strict=True):
        assert {name: to_json(mine[name]) for name in rung} == {name: to_json(value) for name, value in rung.items()}


def test_bands_are_over_the_seeds(ladder):
    """Mean, lowest and highest of each epoch, by hand."""
    runs = [run for run in ladder.runs if run.record.model == "softmax"]
    epochs = gather([ladder]).rungs[1].epochs
    assert len(epochs) == len(runs[0].history) > 1
    for number, band in enumerate(epochs):
        losses = [run.history[number].test_loss for run in runs]
        assert band["test_loss"] == {"mean": pytest.approx(sum(losses) / 2), "low": min(losses), "high": max(losses)}
        assert (band["epoch"], band["seeds"]) == (number + 1, 2)


def test_pareto_front_is_what_nobody_beats(ladder):
    """By comparing each with each: no other is as good in as little time."""
    for one in gather([ladder]).rungs:
        beaten = any(
            other.account.accuracy >= one.account.accuracy and other.account.train_seconds < one.account.train_seconds
            for other in gather([ladder]).rungs
        )
        assert one.on_front == (not beaten)


def test_a_single_run_is_enough(ladder, read_page):
    """One model, one seed: no comparison, no band, and everything else."""
    report = gather([ladder.runs[-1].path])
    assert [rung.account.name for rung in report.rungs] == ["model0"]
    assert report.ladder.comparisons == []
    tree = read_page(page(report))
    assert "one model" in tree.all("h1")[0].text()
    assert "modelzero train digits --model model0 --seed 43 --epochs 23" in tree.text()


def test_runs_of_one_model_are_its_seeds(ladder, read_page):
    """Two runs of softmax are one method, also where a folder is named twice."""
    runs = [run.path for run in ladder.runs if run.record.model == "softmax"]
    report = gather([*runs, runs[0]])
    assert [(rung.account.name, rung.account.seeds) for rung in report.rungs] == [("softmax", 2)]
    assert "and the same with --seed 43" in read_page(page(report)).text()


def test_runs_of_two_models_are_compared(ladder):
    """As `modelzero compare` does it, in the order given."""
    report = gather([run for run in reversed(ladder.runs) if run.record.model != "majority"])
    assert [rung.account.name for rung in report.rungs] == ["model0", "softmax"]
    (comparison,) = report.ladder.comparisons
    assert (comparison.rung, comparison.against) == ("softmax", "model0")


def test_a_ladder_beside_a_run_stands_for_its_runs(ladder, digits, tmp_path):
    """All finished runs are methods of one comparison."""
    other = mz.train(digits, "centroid", runs_dir=tmp_path)
    report = gather([ladder, other])
    assert not report.is_ladder
    assert [rung.account.name for rung in report.rungs] == ["majority", "softmax", "model0", "centroid"]


def test_runs_of_one_name_and_two_recipes_are_kept_apart(digits, tmp_path, read_page):
    """They are called by their ids."""
    runs = [mz.train(digits, "softmax", epochs=epochs, runs_dir=tmp_path) for epochs in (1, 2)]
    report = gather(runs)
    assert [rung.account.name for rung in report.rungs] == [run.id for run in runs]
    assert runs[0].id in read_page(page(report)).text()


def test_runs_on_different_data_are_refused(ladder, digits, tmp_path, refuses):
    """They say nothing about each other."""
    smaller = mz.ImageData(
        "smaller", digits.train, mz.Split(digits.test.images[:50], digits.test.labels[:50]), digits.classes
    )
    with refuses(mz.RunError, "different data", "test_images"):
        gather([ladder.runs[0], mz.train(smaller, "majority", runs_dir=tmp_path)])
    with refuses(mz.RunError, "no run"):
        gather([])
    with refuses(mz.RunError, "holds no run"):
        gather([tmp_path / "gone"])


def test_unfinished_and_damaged_runs_are_named_and_left_out(copied, read_page):
    """A failed one, an interrupted one, one whose predictions are gone: the rest is reported."""
    folders = sorted(path for path in copied.parent.iterdir() if "softmax" in path.name or "model0" in path.name)
    names = [path.name for path in folders]
    change(folders[0], status="failed", failure={"error": "the loss is <NaN>", "epoch": 2})
    change(folders[1], status="interrupted")
    (folders[2] / "predictions.safetensors").unlink()
    report = gather([copied])
    assert [rung.account.name for rung in report.rungs] == [
        "majority",
        "softmax" if "softmax" in names[3] else "model0",
    ]
    whys = {run["id"]: run["why"] for run in report.runs}
    assert whys[names[0]] == "the loss is <NaN>"
    assert whys[names[1]].startswith("interrupted after ")
    assert "has no predictions.safetensors" in whys[names[2]]
    assert whys[names[3]] is None
    tree = read_page(page(report))
    assert "3 of 5 trainings are not in the figures" in tree.text()
    assert "the loss is <NaN>" in tree.text()


def test_nothing_finished_is_a_report_too(copied, read_page):
    """A ladder that was interrupted before anything was trained says just that."""
    change(copied, LADDER_RECORD, status="interrupted", cells=[
        {"rung": "softmax", "seed": 42, "status": "cut off", "run": None, "why": "interrupted"}])  # fmt: skip
    report = gather([copied])
    tree = read_page(page(report))
    assert report.rungs == []
    assert "No rung has a finished run." in tree.text()
    assert "recorded as interrupted" in tree.text()
    assert "cut off" in tree.text()
    run = next(path for path in copied.parent.iterdir() if "softmax" in path.name)
    change(run, status="running")
    assert gather([run]).rungs == []
    assert read_page(page(gather([run]))).all("h1")


def test_a_ladder_that_still_runs_can_be_looked_at(copied, read_page):
    """What is finished by now is in it, and it says that it is not all."""
    record = mz.Ladder.read(copied).record
    *finished, last = record.cells
    cells = [*finished, dataclasses.replace(last, status="planned", run=None)]
    record = dataclasses.replace(record, status="running", cells=cells, leaks=None, seconds=None)
    write_record(copied, record, LADDER_RECORD)
    tree = read_page(page(gather([copied])))
    assert "recorded as running" in tree.text()
    assert "1 of 5 trainings" in tree.text()


@pytest.mark.parametrize("count", [31, 400])
def test_many_classes_give_pairs_in_place_of_a_matrix(count, tmp_path, read_page):
    """The page stays small and readable; the worst classes are shown."""
    runs = [mz.train(classes_of(count), model, runs_dir=tmp_path) for model in ("majority", "centroid")]
    text = page(gather(runs))
    tree = read_page(text)
    assert not tree.all("table", class_="matrix")
    assert "classes is too large to show" in tree.text()
    assert len(text) < 300_000
    (table,) = [
        each
        for each in tree.all("div", class_="scroll")
        if each.attributes["aria-label"] == "Scores of each class of centroid"
    ]
    assert len(table.all("tbody")[0].all("tr")) == min(count, 60)
    shown = [
        float(each.attributes["value"]) for each in table.all("data") if each.attributes["data-key"].endswith("f1")
    ]
    assert shown[:-1] == (sorted(shown[:-1]) if count > 60 else shown[:-1])


def test_a_perfect_model_and_a_test_split_of_one(digits, tmp_path, read_page):
    """No mistake to show; nothing to measure calibration on; neither is an error."""
    wanted = digits.test.labels == 0
    easy = mz.Split(digits.test.images[wanted][:30], digits.test.labels[wanted][:30])
    perfect = mz.train(mz.ImageData("easy", digits.train, easy, digits.classes), "centroid", runs_dir=tmp_path)
    assert perfect.history[-1].test_accuracy == 1
    assert "None: every test image is classified correctly." in read_page(page(gather([perfect]))).text()
    one = mz.Split(digits.test.images[:1], digits.test.labels[:1])
    single = mz.train(mz.ImageData("one", digits.train, one, digits.classes), "majority", runs_dir=tmp_path)
    report = gather([single])
    assert report.rungs[0].calibration is None
    assert "too small to fit a temperature" in read_page(page(report)).text()


def test_leaks_and_notes_are_told(tmp_path, read_page):
    """Test images that were seen in training: how many, and each rung with and without them."""
    data = classes_of(5, each=10)
    ladder = climb(data, ["majority", "centroid"], runs_dir=tmp_path)
    tree = read_page(page(gather([ladder])))
    assert "50 of 50 test images are also among the training images: 50 equal, 0 nearly equal." in tree.text()
    keys = {each.attributes["data-key"]: each for each in tree.all("data")}
    assert keys["leaks.rungs.1.without"].text() == "-"


def test_what_differs_between_machines_is_said(copied, read_page):
    """Times of two machines are not to be compared: the page names the field and both values."""
    run = next(path for path in copied.parent.iterdir() if "softmax" in path.name)
    record = json.loads((run / "run.json").read_text())
    change(run, environment={**record["environment"], "processor": "Other <1>"})
    report = gather([copied])
    assert set(report.as_dict()["environments"]) == {"processor"}
    assert "Trainings differ in processor" in read_page(page(report)).text()
