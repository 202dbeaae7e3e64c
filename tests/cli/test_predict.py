"""`modelzero predict`, as a user meets it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app


def predict(*arguments, given=None):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)], input=given)


def save(image, path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[0].numpy()).save(path, "png")


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    return mz.train(digits, "model0", epochs=2, runs_dir=tmp_path_factory.mktemp("runs"), progress=False)


@pytest.fixture
def images(digits):
    """Twelve test images, digit/0.png to digit/11.png."""
    for k in range(12):
        save(digits.test.images[k], f"digit/{k}.png")
    return digits.test.images[:12]


def test_image_files_get_the_stored_classes(fashion_mnist, tmp_path):
    """Of 300 test images of Fashion-MNIST, drawn with a seed; `benchmarks/predict.py` takes all and every rung."""
    run = mz.train(fashion_mnist, "model0", runs_dir=tmp_path / "runs", progress=False)
    drawn = np.random.default_rng(0).choice(10_000, 300, replace=False).tolist()
    for place in drawn:
        save(fashion_mnist.test.images[place], f"pictures/{place}.png")
    answer = predict(run.path, "pictures", "-o", "out.csv")
    assert answer.exit_code == 0, answer.stderr
    assert "300 images predicted, written to out.csv" in answer.stdout
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(Path(row["picture"]).stem) for row in rows] == sorted(drawn)
    stored = run.test_logits.argmax(1)
    assert [row["class"] for row in rows] == [fashion_mnist.classes[stored[place]] for place in sorted(drawn)]


def test_csv_and_json_say_the_same_as_python(run, images):
    """Classes in order of probability, as `mz.predict` gives them; digit/2.png comes before digit/10.png."""
    table = list(csv.reader(io.StringIO(predict(run.path, "digit", "--top", 3).stdout)))
    assert table[0] == ["picture", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"]
    document = json.loads(predict(run.path, "digit", "--top", 3, "--json").stdout)
    values, labels = mz.predict(run, images).sort(1, descending=True)
    for k, (row, entry) in enumerate(zip(table[1:], document["pictures"], strict=True)):
        assert row[0] == entry["picture"] == f"digit/{k}.png"
        assert row[1::2] == [str(label) for label in labels[k, :3].tolist()]
        assert row[2::2] == [f"{value:.6f}" for value in values[k, :3].tolist()]
        assert entry["class"] == row[1]
        assert [each["class"] for each in entry["top"]] == row[1::2]
        assert [each["probability"] for each in entry["top"]] == pytest.approx(values[k, :3].tolist(), abs=1e-7)
    assert (document["run"], document["model"], document["left_out"]) == (run.id, "model0", [])


def test_all_classes_are_the_most_that_there_are(run, images):
    """More were asked for than exist."""
    assert len(predict(run.path, "digit/0.png", "--top", 99).stdout.splitlines()[1].split(",")) == 21


def test_names_come_from_standard_input(run, images):
    """One a line, also with Windows' line ends, between images that were given."""
    answer = predict(run.path, "digit/5.png", "-", "digit/7.png", given="digit/1.png\r\n\ndigit/2.png\n")
    assert [line.split(",")[0] for line in answer.stdout.splitlines()[1:]] == [
        f"digit/{k}.png" for k in (5, 1, 2, 7)
    ]  # fmt: skip


def test_one_bad_image_does_not_cost_the_rest(run, images):
    """It is named on standard error with the reason, the exit code is 1, and everything else is there."""
    Path("digit/3.png").write_bytes(b"no image")
    answer = predict(run.path, "digit", "nowhere.png", "-o", "out.csv")
    assert answer.exit_code == 1
    assert answer.stderr.splitlines() == [
        "skipped: digit/3.png: unrecognised image format: expected PNG, JPEG, WebP, BMP, GIF or TIFF",
        "skipped: nowhere.png: cannot be opened: No such file or directory",
        "2 of 13 images skipped",
    ]
    assert len(Path("out.csv").read_text().splitlines()) == 12
    document = json.loads(predict(run.path, "nowhere.png", "--json").stdout)
    assert document["pictures"] == []
    assert document["left_out"][0]["picture"] == "nowhere.png"


def test_hostile_names_survive_the_csv(digits, tmp_path):
    """Quotes, commas, line ends and bytes that are no text: a reader gets back every name of file and class."""
    classes = ('a "b", c', "two\nlines", "\r", "=1+1", "<b>", "\u202e", "7", "\udcff", "\ud800", "")
    data = mz.ImageData("hostile", digits.train, digits.test, classes)
    run = mz.train(data, "model0", epochs=1, runs_dir=tmp_path / "runs", progress=False)
    names = ["x,y.png", 'q"q".png', "line\nend.png", "cr\r.png", os.fsdecode(b"\xff.png"), "-.png", "'.png"]
    for name in names:
        save(digits.test.images[0], name)
    answer = predict(run.path, *[f"./{name}" for name in names], "-o", "out.csv", "--top", 10)
    assert answer.exit_code == 0, answer.output
    with Path("out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == [f"./{name}" for name in names]
    assert {cell for row in rows for cell in row[1::2]} == {*classes} - {"\ud800"} | {"\\ud800"}
    document = json.loads(predict(run.path, *[f"./{name}" for name in names], "--json").stdout)
    assert [each["picture"] for each in document["pictures"]] == [f"./{name}" for name in names]


def test_a_bad_name_is_one_harmless_line(run):
    """Nothing that a terminal would obey, and no second line."""
    answer = predict(run.path, "a\nb\x1b[2J\u202e.png")
    assert answer.exit_code == 1
    assert answer.stderr.splitlines()[0].startswith("skipped: a b\\u001b[2J\\u202e.png: ")


def unfinished(run):
    path = Path("unfinished")
    path.mkdir()
    (path / "run.json").write_text(json.dumps({**run.record.as_dict(), "status": "running"}))
    return path


def ladder(_):
    path = Path("ladder")
    path.mkdir()
    (path / "ladder.json").write_text("{}")
    return path


def own_model(run):
    module = mz.train("digits", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), epochs=1)
    return module.path


def classifier(_):
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    return mz.train("digits", lambda: make_pipeline(FunctionTransformer(lambda rows: rows), GaussianNB())).path


@pytest.mark.parametrize("make", [unfinished, ladder, own_model, classifier, lambda _: "nowhere", lambda _: "a\0b"])
def test_runs_that_cannot_predict(make, run, images):
    """One line and exit code 2; nothing on standard output."""
    answer = predict(make(run), "digit")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["empty"], "no images"),
        (["digit", "empty"], "no images"),
        (["digit", "--top", "0"], "top 0"),
        (["digit", "-o", "no/where.csv"], "cannot be written"),
        (["digit", "-o", "digit"], "cannot be written (a folder)"),
        (["digit", "-o", "."], "cannot be written (a folder)"),
        (["digit", "-o", "-"], "cannot be written (no name)"),
        (["digit", "-o", "pipe"], "cannot be written (not a regular file)"),
    ],
)
def test_bad_usage(arguments, words, run, images):
    """One line and exit code 2, and no file is left."""
    Path("empty").mkdir()
    os.mkfifo("pipe")  # a device of the machine would be gone for good if this failed
    answer = predict(run.path, *arguments)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["digit", "empty", "pipe"]
    assert Path("pipe").is_fifo()


def test_nothing_predicted_replaces_nothing(run, images):
    """Neither an empty list nor images of which none can be read cost what was there before."""
    Path("before.csv").write_text("good")
    assert predict(run.path, "-", "-o", "before.csv", given="").exit_code == 2
    answer = predict(run.path, "nowhere.png", "-o", "before.csv")
    assert (answer.exit_code, answer.stdout) == (1, "no image could be read, nothing written\n")
    assert Path("before.csv").read_text() == "good"
    answer = predict(run.path, "nowhere.png", "-o", "none.csv", "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["left_out"][0]["picture"] == "nowhere.png"
    assert not Path("none.csv").exists()


def test_only_tables_are_replaced(run, images):
    """A pattern of the shell that went into -o costs no image, and a slip no weights."""
    shutil.copytree(run.path, "copy")
    for path in (Path("digit/1.png"), Path("copy/run.json"), Path("copy/model.safetensors")):
        before = path.read_bytes()
        answer = predict(run.path, "digit/2.png", "-o", path)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert "its name does not end with .csv" in answer.stderr
        assert path.read_bytes() == before
    assert predict(run.path, "digit/2.png", "-o", "new.pt").exit_code == 2
    assert not Path("new.pt").exists()
    for _ in range(2):
        assert predict(run.path, "digit/2.png", "-o", "again.CSV").exit_code == 0


def test_an_empty_folder_in_a_list_costs_nobody_else(run, images):
    """It is named, with exit code 1; the images around it are predicted."""
    Path("empty").mkdir()
    answer = predict(run.path, "-", given="digit/1.png\nempty\ndigit/2.png\n")
    assert answer.exit_code == 1
    assert [line.split(",")[0] for line in answer.stdout.splitlines()[1:]] == ["digit/1.png", "digit/2.png"]
    assert answer.stderr.startswith("skipped: empty: ")


def test_a_link_is_written_through(run, images):
    """With the permissions that the file had."""
    Path("real.csv").touch(0o600)
    Path("link.csv").symlink_to("real.csv")
    assert predict(run.path, "digit", "-o", "link.csv").exit_code == 0
    assert Path("link.csv").is_symlink()
    assert Path("real.csv").stat().st_mode & 0o777 == 0o600
    assert Path("real.csv").read_text().startswith("picture,class")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no device that is always full")
def test_a_full_disk_behind_standard_output(run, images):
    """One line, no traceback; a real process."""
    command = f"{sys.executable} -m modelzero predict {run.path} digit > /dev/full"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 1
    assert answer.stderr == "error: cannot write to standard output (No space left on device): free some disk space\n"


def test_a_reader_that_has_seen_enough(run, images):
    """`| head -1` ends it without a traceback; a real process with a real pipe."""
    command = f"yes digit/1.png | head -20000 | {sys.executable} -m modelzero predict {run.path} - | head -1"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert answer.stdout == "picture,class,probability\n"
    assert answer.stderr == ""
