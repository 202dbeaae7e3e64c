"""`modelzero climb` and `modelzero compare`, as a user meets them."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modelzero as mz
from helpers import climb
from modelzero.cli import app
from modelzero.cli.climb import _say_what_was_begun
from modelzero.climbing.options import ClimbOptions
from modelzero.data.load import origin_of
from modelzero.data.options import LoadOptions
from modelzero.runs.folder import write_record
from modelzero.runs.record import LADDER_RECORD


def invoke(command):
    return CliRunner().invoke(app, shlex.split(command))


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """A folder with the runs of a small climb."""
    folder = tmp_path_factory.mktemp("runs")
    climb(digits, ["majority", "centroid", "softmax"], seeds=2, runs_dir=folder)
    return folder


def test_json_is_one_document_and_messages_go_elsewhere():
    """Standard output can be parsed; standard error names each training as it ends."""
    answer = invoke("climb digits --rungs majority,softmax --seeds 2 --json")
    assert answer.exit_code == 0
    shown = json.loads(answer.stdout)
    assert [rung["name"] for rung in shown["rungs"]] == ["majority", "softmax"]
    assert shown["comparisons"][0]["verdict"] == shown["worth_it"].replace("softmax", "better")
    for words in ("[1/3] ", "[3/3] ", " softmax seed 42: ", " softmax seed 43: "):  # in the order in which they end
        assert words in answer.stderr
    assert all(Path(run).is_dir() for run in [*shown["runs"], shown["ladder"]])


def test_the_table_and_the_verdict_are_printed():
    """Data, machine, accounts, comparisons, what is worth it, what was left out, and where it lies."""
    answer = invoke("climb digits --rungs majority,centroid --workers 1")
    assert answer.exit_code == 0
    for words in (
        "1,437 images to train on",
        "one thread for each",
        "Worth it: centroid, +80.00 points",
        "recorded in",
    ):
        assert words in answer.stdout


def test_a_rung_that_fails_is_exit_code_1():
    """The rest is shown all the same."""
    Path("mine.py").write_text(
        "from torch import nn\n"
        "class Bad(nn.Linear):\n"
        "    def __init__(self): super().__init__(64, 10)\n"
        "    def forward(self, images):\n"
        "        if self.training: raise RuntimeError('no')\n"
        "        return super().forward(images.flatten(1))\n"
    )
    answer = invoke("climb digits --rungs majority,mine:Bad --seeds 1")
    assert answer.exit_code == 1
    assert "Left out: Bad, failed: " in answer.stdout
    assert "RuntimeError: no" in answer.stdout
    assert "mine.py, line 5" in answer.stdout
    assert "majority   10.00 %" in answer.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--rungs majority,nothing", "no model named 'nothing'"),
        ("--rungs ,", "no rung"),
        ("--seeds 0", "seeds 0"),
        ("--budget tomorrow", "budget 'tomorrow'"),
        ("--budget 0.2s --rungs majority", "fits no rung"),
        ("--device gpu", "device 'gpu'"),
        ("--margin 0", "margin 0"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line(options, words):
    """And nothing stays behind."""
    answer = invoke(f"climb digits {options}")
    assert answer.exit_code == 2
    assert answer.stderr.startswith("error: ")
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert not any(Path("runs").glob("*"))


def test_compare_takes_ids_folders_and_ladders(folder):
    """All three lead to the same runs."""
    ladder = next(folder.glob("*ladder*"))
    runs = [run.id for run in mz.Ladder.read(ladder).runs]
    by_ladder = invoke(f"compare {ladder} --json")
    by_id = invoke(f"compare {' '.join(runs)} --runs-dir {folder} --json")
    by_folder = invoke(f"compare {' '.join(str(folder / run) for run in runs)} --json")
    assert by_ladder.stdout == by_id.stdout == by_folder.stdout
    shown = json.loads(by_id.stdout)
    assert shown["data"] == json.loads((folder / runs[0] / "run.json").read_text())["data"]
    assert [(rung["name"], rung["seeds"]) for rung in shown["rungs"]] == [
        ("majority", 1),
        ("centroid", 1),
        ("softmax", 2),
    ]
    assert shown["comparisons"][0]["verdict"] == "better"


def test_compare_gives_the_ladders_own_comparisons(folder):
    """The same runs, the same numbers."""
    ladder = mz.Ladder.read(next(folder.glob("*ladder*")))
    shown = json.loads(invoke(f"compare {ladder.path} --json").stdout)
    assert shown["comparisons"] == ladder.as_dict()["comparisons"]


def test_compare_prints_tables_and_what_they_speak_of(folder):
    """Two single runs are two trained models, and it says so."""
    runs = [run.path for run in mz.Ladder.read(next(folder.glob("*ladder*"))).runs]
    answer = invoke(f"compare {runs[2]} {runs[3]}")
    assert answer.exit_code == 0
    assert "these two trained models, not about methods" in answer.stdout
    assert "methods" not in invoke(f"compare {runs[0]} {runs[1]}").stdout


def test_compare_refuses_a_run_that_is_given_twice(folder):
    """In whatever spelling: it says nothing new."""
    path = next(folder.glob("*softmax*"))
    for words in (f"{path} {path}", f"{path} {path}/.", f"{next(folder.glob('*-ladder-*'))} {path}"):
        answer = invoke(f"compare {words}")
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert f"run {path.name} is given twice" in answer.stderr


def test_a_climb_names_one_of_the_same_that_was_cut_off(folder, tmp_path, capsys):
    """Perhaps that one was meant to go on; of others, and of one that is finished, nothing is said."""
    ladder = mz.Ladder.read(next(folder.glob("*-ladder-*")))
    shutil.copytree(ladder.path, tmp_path / "runs" / "cut-off")
    names, same, runs = ["majority", "centroid", "softmax"], ClimbOptions(seeds=2), tmp_path / "my runs"
    (tmp_path / "runs").rename(runs)

    def printed(settings=same, names=names, **load):
        _say_what_was_begun(settings, names, origin_of("digits", LoadOptions(**load)), runs)
        return capsys.readouterr().err

    assert printed() == ""
    write_record(runs / "cut-off", replace(ladder.record, status="interrupted"), LADDER_RECORD)
    assert printed().startswith("an identical climb was interrupted; ")
    assert shlex.split(printed())[-4:] == ["modelzero", "climb", "--resume", str(runs / "cut-off")]
    for other in ({"seeds": 1}, {"margin": 0.1}, {"seed": 7}):
        assert printed(replace(same, **other)) == ""
    assert printed(share=0.5) == printed(names=names[:2]) == ""
    answer = invoke("climb digits --rungs majority,centroid,softmax --no-audit --seeds 2 --runs-dir 'my runs'")
    assert "climb --resume 'my runs/cut-off'" in answer.stderr.splitlines()[0]


def test_compare_refuses_what_it_cannot_compare(folder):
    """One run alone, a name that is none."""
    run = next(folder.glob("*majority*"))
    assert "expected at least two" in invoke(f"compare {run}").stderr
    answer = invoke(f"compare {run} nothing")
    assert answer.exit_code == 2
    assert "no run 'nothing'" in answer.stderr


def test_runs_are_listed_without_the_ladder(folder):
    """A ladder's folder is no run and no trouble."""
    shown = json.loads(invoke(f"runs --runs-dir {folder} --json").stdout)
    assert len(shown["runs"]) == 4
    assert shown["left_out"] == []


@pytest.mark.parametrize("model", ["knn", "forest", "sklearn.svm.LinearSVC"])
def test_models_without_steps_can_be_trained_and_inspected(model):
    """Their tables leave out what they do not have."""
    answer = invoke(f"train digits --model {model}")
    assert answer.exit_code == 0
    assert "nan" not in answer.stdout
    assert "fitted in one go" in invoke(f"inspect {model} --shape 1,8,8").stdout
    refused = invoke(f"train digits --model {model} --epochs 3")
    assert refused.exit_code == 2
    assert "fitted in one go and has no such setting" in refused.stderr
