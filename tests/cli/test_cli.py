"""The commands, as a user meets them: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelzero.cli import app
from modelzero.cli.app import load_and_look
from modelzero.results.ladder import Ladder
from modelzero.runs.folder import write_record
from modelzero.runs.record import LADDER_RECORD


def modelzero(command: str, **settings) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "modelzero", *shlex.split(command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        **settings,
    )


def invoke(command: str):
    """Run a command in this process, which saves the seconds of importing torch."""
    return CliRunner().invoke(app, shlex.split(command))


def test_help_answers_without_torch():
    """The commands import what they need when they run; `benchmarks/startup.py` measures what that saves."""
    code = (
        "import sys; from modelzero.cli import main; sys.argv = ['modelzero', '--help']\n"
        "try: main()\nexcept SystemExit: print(sorted({'torch', 'numpy', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "reproduce" in answer.stdout
    assert answer.stdout.endswith("[]\n")


def test_train_json_prints_the_record_and_nothing_else():
    """Standard output is one JSON document, equal to run.json; progress goes elsewhere."""
    answer = modelzero("train digits --epochs 2 --seed 7 --json")
    record = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert record == json.loads(Path("runs", record["id"], "run.json").read_text())
    assert (record["seed"], record["epochs"], record["status"], len(record["history"])) == (7, 2, "finished", 2)


def test_train_tells_the_story_of_the_run():
    """Accuracy with its count and interval, and where the record lies."""
    answer = invoke("train digits --epochs 3")
    assert answer.exit_code == 0
    assert "320 of 360 test images are classified correctly: 88.89 %; on new images 85.22 to 91.73 %" in answer.stdout
    assert f"recorded in runs{os.sep}" in answer.stdout


def test_train_passes_every_option_on():
    """What the record says is what was typed."""
    answer = invoke(
        "train digits --model model1 --epochs 1 --batch-size 16 --learning-rate 0.05 --seed 3 --hidden-units 12 "
        "--device cpu --threads 2 --runs-dir elsewhere --json"
    )
    record = json.loads(answer.stdout)
    assert (record["model"], record["batch_size"], record["learning_rate"], record["seed"]) == ("model1", 16, 0.05, 3)
    assert record["recipe"]["hidden_units"] == 12
    assert record["environment"]["threads"] == 2
    assert Path("elsewhere", record["id"]).is_dir()


def test_runs_lists_what_was_recorded_and_names_what_is_damaged():
    """A damaged record costs its own line, not the listing."""
    for seed in (1, 2):
        assert invoke(f"train digits --epochs 1 --seed {seed}").exit_code == 0
    first, second = json.loads(invoke("runs --json").stdout)["runs"]
    assert (first["seed"], second["seed"]) == (1, 2)
    Path("runs", first["id"], "run.json").write_text("{")
    answer = invoke("runs")
    assert answer.exit_code == 0
    assert first["id"] in answer.stderr
    assert "damaged" in answer.stderr
    assert second["id"] in answer.stdout
    assert "no runs in nowhere" in invoke("runs --runs-dir nowhere").stdout


def test_runs_lists_ladders_too():
    """Finished, cut off with a name that hides nothing, and damaged: the last costs its own line."""
    for _ in range(3):
        assert invoke("climb digits --rungs majority,centroid --no-audit").exit_code == 0
    first, second, third = sorted(Path("runs").glob("*-ladder-*"))
    record = Ladder.read(second).record
    cells = [record.cells[0], replace(record.cells[1], status="planned")]
    changed = replace(record, status="interrupted", cells=cells, data=replace(record.data, name="[red]x"))
    write_record(second, changed, LADDER_RECORD)
    for text in ("{", '{"format": 1, "status": "interrupted", "rungs": [], "cells": []}'):
        (third / "ladder.json").write_text(text)
        answer = invoke("runs")
        assert answer.exit_code == 0
        assert (
            answer.stderr == f"skipped: {third / 'ladder.json'} is damaged: expected a complete record; climb again\n"
        )
    assert invoke("climb digits --rungs majority --no-audit --runs-dir runs --seeds 1").exit_code == 0
    shutil.rmtree(max(Path("runs").glob("*-ladder-*"), key=os.path.getmtime))
    rows = [line.split() for line in answer.stdout.splitlines() if "-ladder-" in line]
    assert rows == [
        [first.name, "finished", "digits", "majority,", "centroid", "2/2"],
        [second.name, "interrupted", "[red]x", "majority,", "centroid", "1/2"],
    ]
    shown = json.loads(invoke("runs --json").stdout)
    assert len(shown["runs"]) == 7
    assert [(each["id"], each["finished_runs"], each["planned_runs"]) for each in shown["ladders"]] == [
        (first.name, 2, 2),
        (second.name, 1, 2),
    ]


def test_data_shows_counts_and_draws_a_picture():
    """Every class has its counts, and the grid has one row for each."""
    from PIL import Image

    answer = invoke("data digits --json --picture grid.png")
    shown = json.loads(answer.stdout)
    assert [row["name"] for row in shown["classes"]] == list("0123456789")
    assert sum(row["train"] for row in shown["classes"]) == shown["train_images"] == 1437
    assert sum(row["test"] for row in shown["classes"]) == shown["test_images"] == 360
    with Image.open("grid.png") as picture:
        assert picture.height > 10 * 56
    assert "scikit-learn's bundled digits" in invoke("data digits").stdout


def test_inspect_adds_up():
    """TinyVGG on 28x28 images: parameters and multiply-adds counted by hand."""
    shown = json.loads(invoke("inspect tinyvgg --json").stdout)
    assert shown["parameters"] == (9 * 10 + 10) + 3 * (90 * 10 + 10) + (490 * 10 + 10)
    assert shown["multiply_adds"] == 784 * 90 + 784 * 900 + 2 * 196 * 900 + 4900
    assert "10 x 7 x 7" in invoke("inspect tinyvgg").stdout
    assert json.loads(invoke("inspect model0 --shape 3,32,32 --classes 4 --json").stdout)["parameters"] == 30774


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train fashion-mnits", "did you mean 'fashion-mnist'?"),
        ("train digits --model modle0", "did you mean 'model0'"),
        ("train digits --batch-size 0", "batch size 0"),
        ("train digits --epochs 0", "epochs 0"),
        ("train digits --learning-rate -0.1", "learning rate -0.1"),
        ("train digits --learning-rate nan", "learning rate nan"),
        ("train digits --learning-rate inf", "learning rate inf"),
        ("train digits --seed -1", "seed -1"),
        ("train digits --hidden-units 0", "hidden units 0"),
        ("train digits --threads 0", "threads 0"),
        ("train digits --device gpu", "device 'gpu'"),
        ("train digits --device cuda", "device 'cuda' is not on this machine"),
        ("train digits --runs-dir file/runs", "cannot be written"),
        ("train fashion-mnist --data-dir nowhere", "the data folder nowhere does not exist"),
        ("data file", "unrecognised file type"),
        ("data digits --picture nowhere/grid.png", "cannot be written"),
        ("data digits --picture grid.nonsense", "unsupported image extension"),
        ("inspect model9", "no model named 'model9'"),
        ("inspect tinyvgg --shape 1,3,3", "too small for tinyvgg"),
        ("inspect model0 --shape 1,28", "shape '1,28'"),
        ("inspect model0 --shape 0,28,28", "shape '0,28,28'"),
        ("inspect model0 --classes 0", "classes 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, words):
    """The line says what was found; nothing is printed on standard output and nothing is left behind."""
    if "cuda" in command:
        import torch

        if torch.cuda.is_available():
            command, words = command.replace("cuda", "mps"), "device 'mps' is not on this machine"
    Path("file").write_text("")
    answer = invoke(command)
    assert answer.exit_code == 2
    assert words in answer.stderr
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_bad_usage_is_exit_code_2():
    """Unknown options and commands are refused by the parser."""
    assert invoke("train digits --lr 0.1").exit_code == 2
    assert invoke("trian digits").exit_code == 2
    assert invoke("train digits --epochs three").exit_code == 2


def test_a_loss_that_becomes_nan_is_exit_code_1_and_a_failed_run():
    """The record says in which epoch and step."""
    answer = modelzero("train digits --learning-rate 1e30")
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: the loss became ")
    (record,) = json.loads(invoke("runs --json").stdout)["runs"]
    assert record["status"] == "failed"
    assert record["failure"]["epoch"] == 1
    assert record["failure"]["step"] >= 2


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_ctrl_c_is_exit_code_130_and_an_interrupted_run():
    """What was finished before is in the record."""
    process = subprocess.Popen(
        [sys.executable, "-m", "modelzero", "train", "digits", "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(Path().glob("runs/*/history.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert out == ""
    (record,) = json.loads(invoke("runs --json").stdout)["runs"]
    assert record["status"] == "interrupted"
    assert len(record["history"]) >= 1


def test_a_reader_that_stops_early_causes_no_traceback():
    """`modelzero runs | head -1` and the like."""
    command = f"{sys.executable} -m modelzero data digits --json | head -c 1"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert answer.stderr == ""


def test_climb_takes_digits_where_fashion_mnist_cannot_be_had(monkeypatch):
    """In one line it says so and why."""
    from modelzero.data.sets.catalog import SETS

    known = SETS["fashion-mnist"]
    files = tuple(replace(file, urls=("http://127.0.0.1:9/",)) for file in known.files)
    monkeypatch.setitem(SETS, "fashion-mnist", replace(known, files=files, system_folder=Path("nowhere")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path.cwd() / "cache"))
    answer = invoke("climb --rungs majority --json")
    assert json.loads(answer.stdout)["data"]["name"] == "digits"
    assert "digits instead of fashion-mnist: " in answer.stderr
    assert invoke("climb fashion-mnist").exit_code == 2
    assert invoke("climb --data-dir nowhere").exit_code == 2


def test_climb_takes_nothing_else_in_place_of_a_damaged_set():
    """A wrong checksum is an error, not a reason to train on something else."""
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"):
        Path(name).write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    Path("t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    answer = invoke("climb --data-dir .")
    assert answer.exit_code == 2
    assert "checksum mismatch" in answer.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("fashion_mnist")
def test_reproduce_finds_every_figure_of_the_chapter():
    """Exit code 0, all figures matching, the chapter's progress lines, and runs of three models."""
    answer = invoke("reproduce")
    assert answer.exit_code == 0
    assert "33 of 33 figures match" in answer.stdout
    assert answer.stdout.count("Looked at 38400/60000 samples") == 9
    assert "printed 83.4265, found 83.4265" in answer.stdout
    assert len(list(Path("runs").iterdir())) == 3


@pytest.mark.usefixtures("fashion_mnist")
def test_reproduce_is_exit_code_1_when_a_figure_differs(monkeypatch):
    """One altered printed figure is found and named; the others still match."""
    from modelzero import chapter

    printed = chapter.printed()
    printed["model0"]["training"]["epochs_printed"][2]["test_acc"] = 83.4266
    monkeypatch.setattr(chapter, "printed", lambda: printed)
    monkeypatch.setattr(chapter, "_CHAPTER_RUNS", chapter._CHAPTER_RUNS[:1])
    answer = invoke("reproduce --json")
    assert answer.exit_code == 1
    shown = json.loads(answer.stdout)
    assert [figure["name"] for figure in shown["figures"] if not figure["matches"]] == ["model0, epoch 3: test_acc"]
    assert shown["matching"] == len(shown["figures"]) - 1


@pytest.mark.parametrize(
    ("others", "is_watched", "is_said"),
    [(1.4, True, True), (0.3, True, False), (None, True, False), (1.4, False, False)],
)
def test_a_busy_machine_is_said_to_who_watches(monkeypatch, capsys, others, is_watched, is_said):
    """In one line, after the data are loaded and before anything is trained."""

    class Use:
        def by_others(self):
            return others

    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_watched)
    assert load_and_look(lambda: "data", Use()) == "data"
    said = capsys.readouterr().err
    assert ("other programs use about 1.4 of" in said) is is_said
    assert said.count("\n") == is_said
