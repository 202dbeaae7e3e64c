"""`modelzero report`, as a user meets it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modelzero as mz
from helpers import climb, shortened
from modelzero.cli import app
from modelzero.reporting.collected import newest_ladder


def invoke(command):
    return CliRunner().invoke(app, shlex.split(command))


@pytest.fixture(scope="module")
def ladder(digits, tmp_path_factory):
    """A small climb."""
    return climb(digits, ["majority", "softmax"], seeds=2, runs_dir=tmp_path_factory.mktemp("runs"))


def test_a_ladder_becomes_one_file(ladder, tmp_path):
    """The verdict is printed, and where the file is; a ladder can be called by its id."""
    answer = invoke(f"report {ladder.path.name} --runs-dir {ladder.path.parent}")
    assert answer.exit_code == 0, answer.output
    assert "Worth it: softmax" in answer.stdout
    assert "report of 3 trainings in report.html" in answer.stdout
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_has_every_number_of_the_page(ladder):
    """Each <data> of the file is in the document that was printed beside it."""
    answer = invoke(f"report {ladder.path} -o out.html --json")
    assert answer.exit_code == 0
    document = json.loads(answer.stdout)
    text = Path(document["report"]).read_text(encoding="utf-8")
    assert document["report_bytes"] == len(text.encode())
    found = re.findall(r'<data value="([^"]*)" data-key="([^"]*)">', text)
    assert len(found) > 250
    for value, key in found:
        at = document
        for step in key.split("."):
            at = at[int(step)] if isinstance(at, list) else at[step]
        assert value == ("" if at is None else at if isinstance(at, str) else json.dumps(at)), key
    told = json.loads(invoke(f"compare {ladder.path} --json").stdout)
    assert [rung["accuracy"] for rung in told["rungs"]] == [rung["accuracy"] for rung in document["rungs"]]


def test_runs_become_one_file(ladder):
    """Folders of runs, without images."""
    runs = " ".join(str(run.path) for run in ladder.runs)
    answer = invoke(f"report {runs} --output runs.html --no-pictures")
    assert answer.exit_code == 0
    assert "Without images: they were not requested." in answer.stdout
    assert "data:image/png" not in Path("runs.html").read_text(encoding="utf-8")


def test_open_shows_it_in_the_browser(ladder, monkeypatch):
    """The browser is given the file's address, and nothing else happens."""
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert invoke(f"report {ladder.path} --open -o 'a b.html'").exit_code == 0
    assert opened == [Path("a b.html").absolute().as_uri()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("gone", ["no run 'gone'", "'modelzero runs' lists them"]),
        ("LADDER -o gone/report.html", ["gone/report.html cannot be written", "there is no folder", "-o"]),
        ("LADDER -o .", ["cannot be written"]),
        ("", ["no ladder in runs", "modelzero climb"]),
    ],
)
def test_what_cannot_be_done_is_one_line(ladder, arguments, words):
    """Exit code 2, what was found and what to do, no traceback."""
    answer = invoke("report " + arguments.replace("LADDER", str(ladder.path)))
    assert answer.exit_code == 2
    assert all(word in answer.stderr for word in words)
    assert "Traceback" not in answer.output


def test_data_says_where_the_images_are_now(ladder):
    """`--data` takes what `load` takes; other images are refused by their fingerprint."""
    assert invoke(f"report {ladder.path} --data digits").exit_code == 0
    assert "data:image/png" in Path("report.html").read_text(encoding="utf-8")
    for data in ("nowhere", "fashion-mnist"):
        answer = invoke(f"report {ladder.path} --data {data} -o other.html")
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "not the images of these runs" in answer.stderr
    assert not Path("other.html").exists()


def test_one_run_counts_once(ladder, tmp_path):
    """However often it is named; a seed that two trainings have is refused, as with two methods."""
    run = ladder.runs[-1]
    shown = json.loads(invoke(f"report {run.path} {run.path} {run.path.parent / '.' / run.id} --json").stdout)
    assert [each["id"] for each in shown["recorded_runs"]] == [run.id]
    twice = json.loads(invoke(f"report {ladder.path} {ladder.path} --json").stdout)
    assert twice["ladder"] == str(ladder.path)
    both = json.loads(invoke(f"report {ladder.path} {run.path} --json").stdout)
    assert len(both["recorded_runs"]) == len(ladder.runs)
    again = mz.train("digits", run.record.model, seed=run.seed, runs_dir=tmp_path / "more")
    answer = invoke(f"report {run.path} {again.path}")
    assert answer.exit_code == 2
    assert f"seeds {run.seed}, {run.seed}" in answer.stderr


def test_reports_replace_reports_only(ladder, tmp_path):
    """No record, no weights."""
    shutil.copytree(ladder.runs[-1].path, tmp_path / "copy")
    before = (tmp_path / "copy" / "run.json").read_bytes()
    answer = invoke(f"report {ladder.path} -o {tmp_path / 'copy' / 'run.json'}")
    assert answer.exit_code == 2
    assert "does not end with .html" in answer.stderr
    assert (tmp_path / "copy" / "run.json").read_bytes() == before


def test_the_browser_is_asked_and_heard_elsewhere(ladder, tmp_path):
    """What it prints is no part of the document; where there is none, that is said. Real processes."""
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\necho browser says $1\n")
    browser.chmod(0o755)
    command = [sys.executable, "-m", "modelzero", "report", str(ladder.path), "--open", "--json"]
    for name, words in ((str(browser), "browser says file:"), ("/nonexistent", "no browser could be started")):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "BROWSER": name, "PATH": "/nowhere"},
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["report"] == "report.html"
        assert words in done.stderr


def test_templates_are_part_of_the_package():
    """Page, style and script lie in the package's folder, which is packed whole."""
    folder = Path(mz.__file__).parent / "reporting" / "templates"
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "report.css", "report.js", "rung.html", "charts.html"} <= names


def test_the_newest_ladder_is_reported_where_none_is_named(digits, tmp_path, refuses):
    """By the time in the names of the folders; none at all is one line."""
    for rung in ("majority", "centroid"):
        newest = climb(digits, [rung], runs_dir=tmp_path / "runs")
    (tmp_path / "runs" / "29991231-000000-ladder-digits-0").mkdir()
    newest.path.rename(tmp_path / "runs" / "29991231-000000-ladder-digits-1")
    assert newest_ladder(tmp_path / "runs").name == "29991231-000000-ladder-digits-1"
    answer = invoke("report --json")
    assert json.loads(answer.stdout)["rungs"][0]["name"] == "centroid"
    with refuses(mz.RunError, "no ladder in", "modelzero climb"):
        newest_ladder(tmp_path / "gone")


@pytest.mark.usefixtures("fashion_mnist")
@pytest.mark.parametrize("page", ["README.md", "docs/report.md"])
def test_the_commands_of_the_docs_work_one_after_the_other(page, monkeypatch):
    """The climb, with fewer images, and then its report."""
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) if "modelzero report" in block]
    for line in block.splitlines():
        answer = CliRunner().invoke(app, shortened(line))
        assert answer.exit_code == 0, answer.output
    assert Path("report.html").is_file()


def test_runs_that_are_left_out_are_named(ladder, tmp_path):
    """With the reason; where none is left there is nothing to report."""
    whole, damaged = ladder.runs[-1], tmp_path / "damaged"
    shutil.copytree(ladder.runs[-2].path, damaged)
    (damaged / "predictions.safetensors").write_bytes(b"")
    answer = invoke(f"report {whole.path} {damaged}")
    assert answer.exit_code == 1
    assert "predictions.safetensors is damaged" in answer.stderr
    assert answer.stderr.startswith("skipped: ")
    answer = invoke(f"report {damaged} -o none.html")
    assert answer.exit_code == 2
    assert answer.stderr.startswith("error: nothing to report: ")
    assert not Path("none.html").exists()
