"""The record of a run: written as JSON that everybody can read, read back as it was."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import helpers
import modelzero as mz
from modelzero.errors import RunError
from modelzero.io.json import from_json, to_json
from modelzero.runs.process import Process
from modelzero.runs.record import Environment, Epoch, LadderRecord
from modelzero.runs.run import Run

EPOCH = Epoch(1, 0.5, 0.8, 0.8, 0.4, 0.9, 9, 0.4, 0.9, 1.5, 0.1)
RECORD = {**helpers.RECORD, "id": "한국", "status": "failed"}


def strict_json(text):
    """Read JSON by the letter of its standard, which has no NaN and no infinity."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


def written(record, folder="run"):
    """Put a record into a folder by hand."""
    Path(folder).mkdir(exist_ok=True)
    Path(folder, "run.json").write_text(record if isinstance(record, str) else to_json(record), encoding="utf-8")
    return Path(folder)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, '"NaN"'),
        (math.inf, '"Infinity"'),
        (-math.inf, '"-Infinity"'),
        (1.5, "1.5"),
        ([1, (math.nan, {"a": -math.inf})], '[1, ["NaN", {"a": "-Infinity"}]]'),
        ({"가방": "한국"}, '{"가방": "한국"}'),
        ({"\udcff": "a\ud800"}, '{"\\udcff": "a\\ud800"}'),  # names of files that are not UTF-8
        ({1: None, "b": True}, '{"1": null, "b": true}'),
    ],
)
def test_json_of(value, text):
    """NaN and infinity are spelled out, however deep they lie; the rest is JSON as ever."""
    assert to_json(value, indent=None) == text


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_strict_whatever_is_in_it(value):
    """A reader that knows no NaN reads every record, and what is finite comes back as it was."""

    def finite(value):
        if isinstance(value, float) and not math.isfinite(value):
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        return [finite(item) for item in value] if isinstance(value, list) else value

    assert strict_json(to_json(value)) == finite(value) == from_json(to_json(value))


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(), min_size=9, max_size=9))
def test_epoch_comes_back_with_its_floats(values):
    """Every float of an epoch, NaN and infinity too, is read back as the float that it was."""
    epoch = Epoch(1, *values[:5], 17, *values[5:])
    again = Run(Path(), helpers.record(history=[strict_json(to_json(epoch))])).history[0]
    assert repr(again) == repr(epoch)  # repr, since NaN does not equal itself


def test_epoch_with_nan_is_read_from_disk():
    """A file with "NaN" in its history gives a float NaN."""
    history = [{**asdict(EPOCH), "test_loss": math.nan, "train_loss": math.inf}]
    again = Run.read(written({**RECORD, "history": history})).history[0]
    assert math.isnan(again.test_loss)
    assert (again.train_loss, again.test_correct) == (math.inf, 9)


def test_read_gives_what_was_written():
    """Id, status, seed and seconds."""
    run = Run.read(str(written(RECORD)))
    assert (run.id, run.status, run.seed, run.train_seconds, run.history) == ("한국", "failed", 42, 0.0, [])
    assert run.path == Path("run")


def test_unknown_fields_are_kept():
    """A field that a later modelzero of the same format adds does no harm, and is written again."""
    assert Run.read(written({**RECORD, "weather": "fine"})).record.more == {"weather": "fine"}


def test_fields_that_a_newer_version_adds_to_a_ladder_do_no_harm():
    """In each of its parts."""
    stored = {
        "id": "l",
        "status": "finished",
        "data": RECORD["data"],
        "margin": 0.003,
        "seeds": [42],
        "rungs": [{"name": "majority", "adds": "", "weather": 1}],
        "cells": [{"rung": "majority", "seed": 42, "weather": 1}],
        "grouping": {"by": "names", "pattern": "x", "groups": 2, "images": 4, "test_images": 9, "example": []},
    }
    stored["grouping"]["weather"] = 1
    record = LadderRecord.from_dict(stored)
    assert (record.grouping.groups, record.rungs[0].name, record.cells[0].seed) == (2, "majority", 42)


def test_no_folder():
    """The error names the path, the reason and what is needed."""
    with pytest.raises(RunError) as caught:
        Run.read("nowhere")
    assert str(caught.value) == "nowhere holds no run (No such file or directory): expected the folder of a run"


def test_folder_without_record():
    """An empty folder is no run."""
    Path("empty").mkdir()
    with pytest.raises(RunError, match="empty holds no run"):
        Run.read("empty")


def test_file_in_place_of_the_folder():
    """The path of run.json itself is not the folder."""
    with pytest.raises(RunError, match=r"holds no run .*: expected the folder of a run"):
        Run.read(written(RECORD) / "run.json")


WHOLE = to_json(RECORD).encode()


@pytest.mark.parametrize("kept", range(0, len(WHOLE), 11))
def test_torn_record(kept):
    """A record that breaks off, wherever it does, is damaged: in the middle of a letter too."""
    written("")
    Path("run", "run.json").write_bytes(WHOLE[:kept])
    with pytest.raises(RunError, match=r"run/run\.json is damaged: expected a complete record; train again"):
        Run.read("run")


@pytest.mark.parametrize(
    "text", ["[]", "5", "null", '"text"', "{}", '{"format": null}', '{"format": "1"}', "\0\0\0", '{"format": 1}']
)
def test_json_that_is_no_record(text):
    """Valid JSON that is no whole record is damaged too."""
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        Run.read(written(text))


def test_newer_format():
    """The error names both formats and what to do."""
    with pytest.raises(RunError) as caught:
        Run.read(written({**RECORD, "format": 2}))
    assert str(caught.value) == "run/run.json has format 2, this modelzero reads up to 1: update modelzero"


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """A finished training of one epoch."""
    return mz.train(digits, "tinyvgg", epochs=1, hidden_units=3, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy(run, tmp_path):
    """A copy of its folder that may be damaged."""
    for path in run.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_repr_says_how_it_went(run):
    """Id, status and last accuracy."""
    assert repr(run) == f"Run({run.id!r}, finished, test_accuracy={run.history[-1].test_accuracy:.4f})"


def test_repr_without_history():
    """A run that has not come far has no accuracy to show."""
    assert repr(Run.read(written(RECORD))) == "Run('한국', failed)"


def test_run_cannot_be_changed(run):
    """What was, was."""
    with pytest.raises(AttributeError):
        run.path = Path()


def test_model_is_rebuilt_from_the_record(run, copy):
    """Width, shape and classes come from the record, the weights from the file."""
    again = Run.read(copy).model
    assert repr(again) == repr(run.model)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), run.model.parameters(), strict=True))


def test_model_is_read_once(copy):
    """Asking twice gives the same module."""
    again = Run.read(copy)
    assert again.model is again.model


def test_reading_the_model_draws_no_random_number(copy):
    """torch's default generator stands afterwards where it stood before."""
    before = torch.get_rng_state()
    _ = Run.read(copy).model
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("name", "attribute"), [("model", "model"), ("predictions", "test_logits")])
def test_file_that_is_missing(copy, name, attribute):
    """A run whose file was deleted says which one, and what to do."""
    (copy / f"{name}.safetensors").unlink()
    with pytest.raises(RunError, match=rf"has no {name}\.safetensors: .*train it again"):
        getattr(Run.read(copy), attribute)


@pytest.mark.parametrize(("name", "attribute"), [("model", "model"), ("predictions", "test_logits")])
@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_file_that_is_torn(copy, name, attribute, kept):
    """A run whose file breaks off is answered with RunError, as every other damage."""
    path = copy / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=rf"{name}\.safetensors"):
        getattr(Run.read(copy), attribute)


def test_environment_is_json():
    """Versions, system, processor, threads and device, with nothing in it that JSON does not know."""
    found = strict_json(to_json(Environment.here(3, "cpu").as_dict()))
    assert (found["threads"], found["device"], found["accelerator"]) == (3, "cpu", None)
    assert {"modelzero", "python", "torch", "numpy"} <= set(found["versions"])
    assert found["processor"]
    assert found["system"]


@pytest.mark.parametrize("change", [{"history": [{}]}, {"data": None}, {"recipe": []}, {"created": 3}, {"history": 5}])
def test_records_of_the_wrong_shape_are_damaged(change):
    """Not only missing fields: what a listing would stumble over is found when the record is read."""
    written({**RECORD, **change})
    with pytest.raises(RunError, match="damaged"):
        Run.read("run")


def test_a_running_run_shows_the_epochs_in_its_history_file():
    """The record is written at the start and at the end; in between, and after a kill, the history file is ahead."""
    written({**RECORD, "status": "running", "history": []})
    Path("run/history.jsonl").write_text(to_json(EPOCH, indent=None) + "\n" + '{"epoch": 2, "train_lo')
    assert Run.read("run").history == [EPOCH]


def test_predictions_are_read_without_keeping_the_logits(monkeypatch):
    """The largest logit of each image, some rows at a time; what is in memory already is asked instead."""
    run = mz.train("digits", "model0", epochs=1)
    monkeypatch.setattr("modelzero.runs.run._ROWS", 7)
    again = mz.Run.read(run.path)
    assert again.test_predictions.equal(run.test_predictions)
    assert "test_logits" not in vars(again)
    assert again.test_predictions.equal(again.test_logits.argmax(1))


def test_a_killed_run_has_the_seconds_of_its_history(tmp_path):
    """Its record was written before the first epoch, its history after each."""
    gone = asdict(Process.this()) | {"started": 0.0}
    (tmp_path / "run.json").write_text(to_json({**RECORD, "status": "running", "process": gone}))
    (tmp_path / "history.jsonl").write_text(2 * (to_json(asdict(EPOCH), indent=None) + "\n"))
    run = Run.read(tmp_path)
    assert (run.status, run.train_seconds) == ("interrupted", 3.0)
