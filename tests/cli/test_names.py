"""Names that nobody expects, and 10,000 classes, through every command."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import modelzero as mz
from helpers import climb
from modelzero.cli import app
from modelzero.data.readers.folder import read_folder
from modelzero.models.linear import softmax
from modelzero.results import account
from modelzero.results.words import rung_table
from modelzero.text import plain
from modelzero.training.bars import Bars
from modelzero.using.export import export

FAMILY = "\U0001f469\u200d\U0001f467"  # one emoji of two, joined
ESCAPES = "\x1b[31mred\x1b[0m\x07"
# What a folder can be called; a slash only comes from a table.
NAMES = (
    " lead", "trail ", "two  words", "고양이", FAMILY, "\u202egnp.exe", "\u200f\u200emark", ESCAPES, "two\nlines",
    "a\ttab", "q'u\"o`te", "100%s", "{}{name}", "[bold]x", "x..", "\u200b", "\u200d", "\u3164", ":smile:", "x" * 240,
)  # fmt: skip
TABLED = ("<script>alert(1)</script>", "../x", "/etc/passwd", "[/]", "y" * 300, *NAMES[3:])
CLASSES = 10_000

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no files of such names")


def invoke(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def hidden(text):
    """What a terminal would obey, or show as nothing."""
    return {character for character in text if unicodedata.category(character)[0] == "C"} - {"\n", "\u200d"}


@pytest.fixture(scope="module")
def samples():
    """Five random images for each of so many classes."""
    return np.random.default_rng(0).integers(0, 256, (len(TABLED), 5, 8, 8), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, samples):
    """A folder of class folders; it has such a name, too."""
    root = tmp_path_factory.mktemp("names") / "o\x1b[31md\n\u202e고 [bold]%s"
    for name, own in zip(NAMES, samples, strict=False):
        (root / name).mkdir(parents=True)
        for number, image in enumerate(own):
            Image.fromarray(image).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def odd(samples):
    """Image data with such names, as `load` gives it."""
    images = samples.reshape(-1, 8, 8)
    return mz.from_arrays(images, np.repeat(TABLED, 5), name=f"o\n{ESCAPES}\u202e")


@pytest.fixture(scope="module")
def rung():
    """A rung with such a name, of which the end matters."""
    name = f"../r\n[bold]{ESCAPES}\u202e{'z' * 300} end"
    return mz.Rung(name, make=softmax, adds=f"adds\n{ESCAPES}", epochs=1, second_chance=False)


@pytest.fixture(scope="module")
def ladder(odd, rung, tmp_path_factory):
    """A climb with that rung, and with one whose training fails in such words."""

    class Bad(torch.nn.Linear):
        def __init__(self):
            super().__init__(64, len(TABLED))

        def forward(self, images):
            if self.training:
                raise ValueError(f"no\n{ESCAPES}\u202e")
            return super().forward(images.flatten(1))

    bad = mz.Rung(f"bad\n{ESCAPES}", make=Bad)
    folder = tmp_path_factory.mktemp("runs")
    return climb(odd, ["majority", rung, bad], seeds=1, runs_dir=folder, audit=False)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("고양이", "고양이"),
        (FAMILY, FAMILY),
        ("\x1b[31m", "\\u001b[31m"),
        ("\x9b31m", "\\u009b31m"),
        ("a\n\tb\u2028c", "a b c"),
        ("\u202eexe", "\\u202eexe"),
        ("\U000e0041", "\\U000e0041"),
        ("\u200d", "\\u200d"),
        ("a\u200d b", "a\\u200d b"),
        ("\u3164", "\\u3164"),
        (" \n", "\\u0020\\u000a"),
        ("", ""),
        ("x" * 41, "x" * 39 + "…"),
        ("x" * 40, "x" * 40),
        ("\x1b" * 9, ("\\u001b" * 9)[:39] + "…"),
    ],
)
def test_a_name_is_one_line_of_what_can_be_seen(name, shown):
    """Letters of all scripts and joined emoji stay; whatever hides or obeys is spelled out; nothing is blank."""
    assert plain(name) == shown
    assert not hidden(shown)


def test_a_folder_of_hostile_names_is_shown_and_drawn(folder):
    """In a process of its own: exit code 0, nothing on standard error, a row for each class, nothing to obey."""
    answer = subprocess.run(
        [sys.executable, "-m", "modelzero", "data", folder, "--picture", "grid.png", "--pairs", "pairs.png"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
        env={**os.environ, "XDG_CACHE_HOME": str(Path.cwd() / "cache"), "PYTHONIOENCODING": "utf-8"},
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert not hidden(answer.stdout)
    rows = [line for line in answer.stdout.splitlines() if re.fullmatch(r"\d+ +\S.* 4 +1", line)]
    assert [row.split()[0] for row in rows] == [str(label) for label in range(len(NAMES))]
    assert Path("grid.png").stat().st_size > 0


def test_commands_that_load_take_a_folder_of_such_names(folder):
    """JSON has them exactly as they are, in every document, with the set's own name."""
    shown = json.loads(invoke("data", folder, "--json").stdout)
    assert [each["name"] for each in shown["classes"]] == sorted(NAMES)
    assert shown["name"] == folder.name
    record = json.loads(invoke("train", folder, "--model", "majority", "--json").stdout)
    assert record["data"]["classes"] == sorted(NAMES)
    assert json.loads(Path("runs", record["id"], "run.json").read_text(encoding="utf-8")) == record
    for options in ([], ["--budget", "30s"]):
        answer = invoke("climb", folder, "--rungs", "majority", "--workers", 1, *options)
        assert answer.exit_code == 0
        assert not hidden(answer.stdout + answer.stderr)
    assert not hidden(invoke("train", folder, "--model", "majority").stdout)


def test_a_table_can_name_classes_with_slashes(tmp_path, samples):
    """A class is a name and never a path: nothing is made of it on disk."""
    lines = ["path,label"]
    for number, name in enumerate(TABLED[:3]):
        for each in range(2):
            Image.fromarray(samples[number, each]).save(tmp_path / f"{number}-{each}.png")
            lines.append(f"{number}-{each}.png,{name}")
    Path("names.csv").write_text("\n".join(lines), encoding="utf-8")
    answer = invoke("train", "names.csv", "--model", "majority", "--json", "--runs-dir", "in/runs")
    assert json.loads(answer.stdout)["data"]["classes"] == sorted(TABLED[:3])
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".png") == ["in", "names.csv"]


def test_a_climb_with_hostile_rungs_is_told_safely(ladder, rung):
    """Tables, sentences, reprs; its folder and those of its runs have plain names; JSON has the rung's name exactly."""
    text = ladder.table()
    assert not hidden(text)
    assert not hidden(repr(ladder) + "".join(map(repr, ladder.runs)))
    assert not hidden(ladder._repr_html_())
    assert "<script>" not in ladder._repr_html_()
    assert max(map(len, text.split("\n\n")[0].splitlines())) < 150
    assert "ValueError: no \\u001b[31mred" in text
    assert text.count("zzz end ") >= 2
    for path in (ladder.path, *(run.path for run in ladder.runs)):
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,90}", path.name)
        assert not path.name.startswith(".")
    shown = ladder.as_dict()
    assert [each["name"] for each in shown["rungs"]] == ["majority", rung.name]
    assert shown["data"]["classes"] == sorted(TABLED)
    assert not hidden("".join(shown["verdict"]))
    assert mz.Ladder.read(ladder.path).rungs[1].name == rung.name


def test_a_narrow_terminal_breaks_names_before_figures(ladder):
    """A long name takes several lines; no figure and no heading loses a digit or a letter to it."""
    out = Console(file=io.StringIO(), width=105, markup=False)
    out.print(rung_table(ladder.findings))
    figures = [line[24:] for line in out.file.getvalue().splitlines()]
    assert "parameters" in figures[0]
    assert not any("…" in line for line in figures)
    assert sum("%" in line for line in figures) == 3


def test_runs_and_compare_show_such_runs_safely(ladder, rung):
    """A line for each run, ids in full; what is left out for damage has its name made visible too."""
    there = ladder.path.parent
    (there / "dam\x1b[31maged").mkdir()
    answer = invoke("runs", "--runs-dir", there)
    assert answer.exit_code == 0
    assert not hidden(answer.stdout + answer.stderr)
    assert "dam\\u001b[31maged" in answer.stderr
    lines = answer.stdout.splitlines()
    assert len(lines) == 1 + 3 + 1 + 2  # the runs, and the ladder
    assert {line.split()[0] for line in lines[1:4]} >= {run.id for run in ladder.runs}
    assert lines[-1].startswith(ladder.path.name)
    answer = invoke("compare", ladder.path)
    assert answer.exit_code == 0
    assert not hidden(answer.stdout)
    assert json.loads(invoke("compare", ladder.path, "--json").stdout)["rungs"][1]["name"] == rung.name
    assert rung.name in {
        run["model"] for run in json.loads(invoke("runs", "--runs-dir", there, "--json").stdout)["runs"]
    }


def test_runs_of_one_model_are_told_apart(digits):
    """Their ids stand in for names, and the part that differs is shown."""
    long = mz.Rung("n" * 100, make=softmax, epochs=1)
    runs = [mz.train(digits, long, seed=seed) for seed in (1, 2)]
    answer = invoke("compare", *(run.path for run in runs))
    assert all(f"…{run.id[-19:]} " in answer.stdout for run in runs)


def test_train_and_inspect_show_a_hostile_rung_safely(odd, monkeypatch):
    """Also where somebody's module brings it; its run's folder is called by plain letters."""
    monkeypatch.setattr("modelzero.data.load.load_with", lambda *_, **__: odd)
    Path("odd_rungs.py").write_text(
        "import modelzero as mz\nfrom modelzero.models.linear import softmax\n"
        "odd = mz.Rung('r\\n\\x1b[31m\\u202e' + 'z' * 300, make=softmax, adds='a\\x1b[2J', epochs=1)\n"
    )
    answer = invoke("train", "it", "--model", "odd_rungs:odd")
    assert answer.exit_code == 0
    assert not hidden(answer.stdout + answer.stderr)
    answer = invoke("inspect", "odd_rungs:odd", "--shape", "1,8,8")
    assert answer.exit_code == 0
    assert not hidden(answer.stdout)
    assert json.loads(invoke("inspect", "odd_rungs:odd", "--json").stdout)["model"].startswith("r\n\x1b[31m\u202ez")


def test_an_error_names_a_hostile_path_safely():
    """The line on standard error holds nothing that a terminal would obey."""
    answer = invoke("train", "digits", "--runs-dir", "/proc/\x1b[31mx\u202e")
    assert answer.exit_code == 2
    assert "/proc/\\u001b[31mx\\u202e cannot be written" in answer.stderr
    assert not hidden(answer.stderr)


def test_a_bar_is_called_by_what_can_be_seen(capsys):
    """And by so little of it that the bar itself has room."""
    with Bars(f"a\n{ESCAPES}" + "z" * 300, 1, 1, show=True):
        pass
    err = capsys.readouterr().err
    assert "a \\u001b[31mred" in err
    assert "zzz" not in err
    assert not hidden(err) - {"\r"}


def test_ten_thousand_files_that_cannot_be_read_are_not_ten_thousand_lines(odd, monkeypatch):
    """The first few are named, and how many there are."""
    many = replace(odd, left_out=tuple((f"{number}.png", "cut") for number in range(CLASSES)))
    monkeypatch.setattr("modelzero.data.load.load_with", lambda *_, **__: many)
    answer = invoke("data", "it", "--no-near")
    assert len(answer.stdout.splitlines()) < 100
    assert "  0.png: cut" in answer.stdout
    assert "10,000 unreadable files skipped." in answer.stdout
    assert "and 9,980 more files" in answer.stdout


def test_a_folder_of_ten_thousand_classes_is_listed(tmp_path):
    """Every class, in order, without a look into any image."""
    names = [f"class {number:05}" for number in range(CLASSES)]
    for name in names:
        (tmp_path / "all" / name).mkdir(parents=True)
        (tmp_path / "all" / name / "1.png").touch()
    listing = read_folder(tmp_path / "all")
    assert listing.classes == tuple(names)
    assert len(listing.items) == CLASSES


def test_ten_thousand_classes_are_split_and_shown():
    """With a test split drawn by class, and by groups; text ends early, JSON does not."""
    generator = np.random.default_rng(0)
    names = np.array([f"class {number:05}" for number in range(CLASSES)])
    np.savez(
        "many.npz",
        images=generator.integers(0, 256, (3 * CLASSES, 3, 3), np.uint8),
        labels=np.tile(names, 3),
    )
    answer = invoke("data", "many.npz", "--no-near")
    assert answer.exit_code == 0
    assert "20,000 to train on, 10,000 to test on" in answer.stdout
    assert len(answer.stdout.splitlines()) < 230
    assert len(json.loads(invoke("data", "many.npz", "--no-near", "--json").stdout)["classes"]) == CLASSES


@pytest.fixture
def many(monkeypatch):
    """Make `load` return a set of 10,000 classes; only 50 test images, for their logits to be small."""
    images = torch.randint(0, 256, (CLASSES, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(CLASSES)
    train, test = mz.Split(images, labels), mz.Split(images[:50], labels[:50])
    data = mz.ImageData("many", train, test, tuple(f"class {number:05}" for number in range(CLASSES)))
    monkeypatch.setattr("modelzero.data.load.load_with", lambda *_, **__: data)
    return data


@pytest.mark.usefixtures("many")
def test_ten_thousand_classes_go_through_every_command():
    """Rungs that can, do; text has some lines, and JSON no matrix of 10^8 numbers."""
    answer = invoke("climb", "it", "--rungs", "majority,centroid,knn,forest", "--no-audit", "--workers", 1)
    assert answer.exit_code == 0
    assert "Left out: forest, a forest of 50 trees takes at least 80 GB for 10,000 classes" in answer.stdout
    assert "Worth it: centroid" in answer.stdout
    assert len(answer.stdout.splitlines()) < 30
    (ladder,) = Path("runs").glob("*ladder*")
    for command in (["runs"], ["compare", ladder], ["train", "it", "--model", "knn"]):
        answer = invoke(*command)
        assert answer.exit_code == 0
        assert len(answer.stdout.splitlines()) < 30
    shown = json.loads(invoke("compare", ladder, "--json").stdout)
    assert [len(rung["per_class"]) for rung in shown["rungs"]] == [CLASSES] * 3
    assert [rung["confusion"] for rung in shown["rungs"]] == [None] * 3
    assert shown["rungs"][1]["averages"]["micro_f1"] == 1
    again = mz.Ladder.read(ladder)
    assert [rung.accuracy for rung in again.rungs][:2] == [0.02, 1.0]
    assert all("test_logits" not in vars(run) for run in again.runs)  # with 10,000 test images 400 MB for each
    answer = invoke("report", ladder, "-o", "many.html")
    assert answer.exit_code == 0, answer.output
    assert Path("many.html").stat().st_size < 3e6


def test_ten_thousand_classes_can_be_predicted_and_exported(many, tmp_path):
    """With as many probabilities, of which the first are shown."""
    invoke("train", "it", "--model", "softmax", "--epochs", 1, "--runs-dir", tmp_path)
    (run,) = tmp_path.glob("*softmax*")
    Image.new("L", (4, 4), 77).save(tmp_path / "one.png")
    answer = invoke("predict", run, tmp_path / "one.png", "--top", 3)
    assert answer.exit_code == 0, answer.output
    assert len(answer.stdout.splitlines()) < 5
    made = export(mz.Run.read(run), tmp_path / "one.onnx", data=many)
    assert made.parity.holds
    assert made.path.stat().st_size < 3e6


@pytest.mark.usefixtures("many")
def test_a_model_that_cannot_have_so_many_classes_says_so():
    """Before anything is recorded, and before the memory is gone."""
    answer = invoke("train", "it", "--model", "forest")
    assert answer.exit_code == 2
    assert "expected at most 3,276 classes" in answer.stderr
    assert not Path("runs").exists()


def test_scores_without_a_matrix_are_those_of_the_matrix(digits, monkeypatch):
    """Where there are more classes than a matrix is made for."""
    run = mz.train(digits, "model0", epochs=1)
    with_matrix = account.account("model0", "", [run])
    assert len(digits.classes) <= account.MOST_CONFUSED
    monkeypatch.setattr(account, "MOST_CONFUSED", 9)
    without = account.account("model0", "", [run])
    assert with_matrix.confusion is not None
    assert without.confusion is None
    assert (without.per_class, without.averages) == (with_matrix.per_class, with_matrix.averages)
