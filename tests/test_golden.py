"""What earlier versions wrote is read, compared, resumed, replayed and reported as it was then.

`tests/golden/` was written by `scripts/make_golden.py` with the code of before the house was rebuilt. Weights and
predictions are the same to the bit only on the same kind of processor with the same versions: elsewhere the figures
have to be near.
"""

import json
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from sklearn.naive_bayes import GaussianNB
from typer.testing import CliRunner

import golden_sets
import modelzero as mz
from modelzero.cli import app
from modelzero.runs.record import Environment
from modelzero.runs.spec import Spec

GOLDEN = Path(__file__).parent / "golden"
INDEX = json.loads((GOLDEN / "index.json").read_text())
COMMANDS = json.loads((GOLDEN / "commands.json").read_text())
LADDERS = [key for key in INDEX if key.startswith("ladder-")]
STOPPED = [key for key in INDEX if key in ("failed", "killed") or re.fullmatch("interrupted-[a-z]+", key)]
FINISHED = [key for key in INDEX if key not in (*LADDERS, *STOPPED)]
# What no two trainings share: times, memory, places, names of runs; and sentences, which are not for programs.
TIMES = {
    "train_seconds", "test_seconds", "seconds", "train_images_per_second", "test_images_per_second",
    "peak_memory_bytes", "times_the_training_time", "times_the_prediction_time", "nearly_as_good", "created",
}  # fmt: skip
PLACES = {"id", "ladder", "run", "runs", "checksum", "source", "origin", "environment", "process", "path", "runs_dir"}
SENTENCES = {"notes", "adds", "derived", "why", "sentences"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The sets that the golden runs were trained on, by name."""
    folder = tmp_path_factory.mktemp("golden")
    return {
        "folder": golden_sets.write_folder(folder / "leaves"),
        "table": mz.load(golden_sets.write_table(folder / "tables"), group="patient"),
        "arrays": golden_sets.arrays(),
        "where": folder,
    }


@cache
def same_machine():
    """Return whether the golden copies were written on such a machine with such versions."""
    before, now = golden_run("model0-fused").record.environment, Environment.here(1, "cpu")
    return (before.versions, before.processor, before.instructions) == (now.versions, now.processor, now.instructions)


def golden_run(key):
    return mz.Run.read(GOLDEN / "runs" / INDEX[key])


def what_it_took(key, sets):
    """Return the data and the model, each None where the record has it."""
    record = golden_run(key).record
    data = {"arrays": sets["arrays"], "leaves": sets["folder"], "scans": sets["table"]}.get(record.data.name)
    own = {"small": golden_sets.small(), "bayes": mz.Rung("bayes", GaussianNB)}
    return data, own.get(record.model)


@pytest.mark.parametrize("key", [key for key in FINISHED if golden_run(key).record.model not in ("mlp", "convnet")])
def test_replay_repeats_finished_run(key, sets):
    """The same weights, predictions and figures come out, to the bit."""
    data, model = what_it_took(key, sets)
    found = mz.replay(GOLDEN / "runs" / INDEX[key], data, model)
    if same_machine():
        assert found.identical, [str(each) for each in found.differences]
    for each in found.differences:
        if each.field in ("test_loss", "train_loss"):
            assert each.replayed == pytest.approx(each.recorded, rel=1e-3)


@pytest.mark.parametrize("key", [key for key in INDEX if key.split("-")[0] in ("mlp", "convnet")])
def test_training_gives_recorded_checksums(key, tmp_path):
    """Their weights are too large to be kept: the record has their checksums, and the recipe of that time."""
    before = golden_run(key).record
    data = mz.load("digits", share=0.1)
    run = mz.train(
        data, Spec.of(before).rung, engine=before.engine, threads=before.environment.threads, runs_dir=tmp_path
    )
    if same_machine():
        assert run.record.files == before.files
    assert run.history[-1].test_loss == pytest.approx(before.history[-1].test_loss, rel=1e-3)


@pytest.mark.parametrize("key", [key for key in STOPPED if key != "failed"])
def test_resume_gives_what_was_not_stopped(key, sets, tmp_path):
    """From the checkpoint on, to the weights of the training that nobody stopped."""
    data, model = what_it_took(key, sets)
    path = shutil.copytree(GOLDEN / "runs" / INDEX[key], tmp_path / INDEX[key])
    run = mz.resume(path, data, model, take_over=key == "killed")
    whole = golden_run("interrupted-fused-whole" if key == "killed" else f"{key}-whole")
    assert run.status == "finished"
    assert run.record.resumed[0].epoch > 1
    if same_machine():
        assert run.record.files == whole.record.files
    assert run.history[-1].test_loss == pytest.approx(whole.history[-1].test_loss, rel=1e-3)


def test_failed_run_says_why():
    run = golden_run("failed")
    assert run.status == "failed"
    assert run.learned is False
    assert run.not_learned == {"kind": "not finite", "epoch": 1, "step": 2}
    assert "in epoch 1, step 2 of 5" in run.record.failure.error


def test_runs_compare_as_they_did():
    """The document of `compare` is the golden one."""
    command, *paths = COMMANDS["compare"]
    assert_same(printed(command, *(str(GOLDEN / path) for path in paths)), document("cli-compare"))


@pytest.mark.parametrize("key", [key for key in LADDERS if key != "ladder-stopped"])
def test_ladder_says_what_it_said(key):
    """Accounts, comparisons and verdict are computed from the records alone."""
    ladder = mz.Ladder.read(GOLDEN / key / INDEX[key])
    assert_same(json.loads(to_text(ladder.as_dict())), document(key), masked=PLACES | SENTENCES)


@pytest.mark.parametrize("key", LADDERS)
def test_ladder_gives_a_report(key, tmp_path, sets):
    ladder = mz.Ladder.read(GOLDEN / key / INDEX[key])
    data = {"ladder-arrays": sets["arrays"], "ladder-folder": sets["folder"], "ladder-table": sets["table"]}.get(key)
    page = mz.report(ladder, tmp_path / "report.html", data=data).read_text()
    assert all(rung.name in page for rung in ladder.rungs)


def test_interrupted_ladder_goes_on(tmp_path):
    """What was finished is read back, the rest is trained; the ladder is that of the climb that nobody stopped."""
    runs = shutil.copytree(GOLDEN / "ladder-stopped", tmp_path / "runs")
    before = mz.Ladder.read(runs / INDEX["ladder-stopped"])
    assert len(before.runs) == 3
    ladder = mz.climb(resume=runs / INDEX["ladder-stopped"], workers=1)
    assert len(ladder.runs) == 5
    assert {run.id for run in before.runs} < {run.id for run in ladder.runs}
    whole = document("ladder-whole")
    found = json.loads(to_text(ladder.as_dict()))
    assert_same(found, whole, TIMES | PLACES | SENTENCES | {"verdict", "looks"}, bits=same_machine())


@pytest.mark.parametrize("key", [key for key in COMMANDS if key not in ("compare", "runs")])
def test_command_prints_golden_document(key, sets, monkeypatch):
    """Fixed seeds give the golden document field for field, times and places aside."""
    monkeypatch.chdir(sets["where"])
    found = printed(*COMMANDS[key])
    assert_same(found, document(f"cli-{key}"), bits=same_machine() or key.startswith("data"))


def test_runs_lists_golden_ladder(monkeypatch):
    monkeypatch.chdir(GOLDEN)
    assert_same(printed(*COMMANDS["runs"]), document("cli-runs"), masked=set())


def printed(*words):
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def document(key):
    return json.loads((GOLDEN / "documents" / f"{key}.json").read_text(encoding="utf-8"))


def to_text(value):
    from modelzero.io.json import to_json

    return to_json(value)


def assert_same(found, golden, masked=TIMES | PLACES | SENTENCES, where="document", *, bits=True):
    """Compare two documents field for field; new fields may have come, none may have gone.

    Where trainings gave other bits, on another kind of processor, an image may have changed sides: then accuracies have
    to be near, and all else of the same form.
    """
    key = where.rpartition(".")[2]
    if isinstance(golden, dict):
        assert isinstance(found, dict), where
        assert not golden.keys() - found.keys(), f"{where}: fields that are gone"
        for key, value in golden.items():
            is_prose = key == "verdict" and isinstance(value, list)
            if key not in masked and not is_prose:
                assert_same(found[key], value, masked, f"{where}.{key}", bits=bits)
    elif isinstance(golden, list):
        assert isinstance(found, list), where
        assert len(found) == len(golden), where
        for place, (one, other) in enumerate(zip(found, golden, strict=True)):
            assert_same(one, other, masked, f"{where}[{place}]", bits=bits)
    elif bits and isinstance(golden, float):
        assert found == pytest.approx(golden, rel=1e-9, abs=1e-9, nan_ok=True), where
    elif bits or key in ("name", "status", "fingerprint", "model", "seed", "seeds", "test_images"):
        assert found == golden, where
    elif key in ("accuracy", "test_accuracy"):
        assert found == pytest.approx(golden, abs=0.03), where
