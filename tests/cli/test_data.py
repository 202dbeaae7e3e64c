"""`modelzero data` with its audit, as a user meets it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app

HOSTILE = ("<script>alert(1)</script>", "[red]x[/red]", "two\nlines", "\u202egnp.exe", "\x1b[2J", "x" * 300, "\ud800")


def invoke(command):
    return CliRunner().invoke(app, shlex.split(command))


@pytest.fixture
def given(monkeypatch):
    """Make `load` return a set of so many images with these classes, each test image also in training."""

    def give(count, classes):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
        names = tuple(f"{classes[position % len(classes)]}/{position}" for position in range(count))
        split = mz.Split(images, torch.arange(count) % len(classes), names)
        data = mz.ImageData("given", split, split, classes, left_out=(("b\nad.png", "cut"),), notes=("A note.",))
        monkeypatch.setattr("modelzero.data.load.load_with", lambda *_, **__: data)
        return data

    return give


def test_a_set_in_order_is_said_to_be():
    """Digits have nothing to complain of, and nothing to draw."""
    answer = invoke("data digits --pairs pairs.png")
    assert answer.exit_code == 0
    assert "Nothing was found that could make a result wrong." in answer.stdout
    assert "nothing to draw" in answer.stdout


def test_findings_are_printed_and_drawn(given):
    """A line for each, the files that could not be read with their reason, and the sheet of pairs."""
    given(20, ("a", "b"))
    answer = invoke("data here --pairs pairs.png --picture samples.png")
    assert answer.exit_code == 0
    for words in (
        "- A note.",
        "- 20 test images are also in train, such as a/0 and a/0.",
        "- 20 of 20 test images were seen in training",
        "  b ad.png: cut",
        "pairs drawn to pairs.png",
        "samples drawn to samples.png",
    ):
        assert words in answer.stdout
    with Image.open("pairs.png") as sheet:
        assert sheet.width > 700


def test_json_has_the_audit_and_nothing_else_is_printed(given):
    """One document, also where names are hostile."""
    given(21, HOSTILE)
    answer = invoke("data here --json --pairs pairs.png")
    shown = json.loads(answer.stdout)
    assert [each["name"] for each in shown["classes"]] == list(HOSTILE)
    assert shown["pairs"] == "pairs.png"
    assert shown["audit"]["leaked_test_pictures"] == 21
    assert shown["audit"]["near_duplicates"]["count"] == 0
    assert json.loads(invoke("data here --json --no-near").stdout)["audit"]["near_duplicates"] is None


def test_hostile_names_cannot_break_the_table(given):
    """One line for each class, markup shown as it is, nothing that a terminal would obey."""
    given(21, HOSTILE)
    answer = invoke("data here")
    assert answer.exit_code == 0
    rows = answer.stdout.split("validation")[0].split("label")[1].splitlines()[1:8]
    assert [row.split()[0] for row in rows] == list("0123456")
    assert [row.split()[-2:] for row in rows] == [["3", "3"]] * 7
    assert "[red]x[/red]" in rows[1]
    assert not {"\u202e", "\x1b", "\ud800"} & set(answer.stdout)


def test_ten_thousand_classes_are_not_ten_thousand_lines(given):
    """The table ends, JSON does not."""
    given(10_000, tuple(f"class {number}" for number in range(10_000)))
    answer = invoke("data here --no-near --picture samples.png --pairs pairs.png")
    assert len(answer.stdout.splitlines()) < 230
    assert "and 9,800 more classes" in answer.stdout
    assert len(json.loads(invoke("data here --no-near --json").stdout)["classes"]) == 10_000


@pytest.fixture
def videos():
    """A folder `videos` of two classes, of five frames of each of twelve videos."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, 16, 16), dtype=torch.uint8, generator=generator).numpy()
    for k, image in enumerate(images):
        path = Path("videos", "ab"[k // 60], f"video{k // 5}_frame_{k % 5:04}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return "videos"


def test_groups_are_shown(videos):
    """How many groups the test images are in; nothing of it where nothing is grouped."""
    answer = invoke(f"data {videos} --no-near --group '([^/]+)_frame'")
    assert "File names suggest" not in answer.stdout
    shown = json.loads(invoke(f"data {videos} --no-near --json --group '([^/]+)_frame'").stdout)
    groups = shown["groups"]
    assert (groups["by"], groups["train"] + groups["test"], groups["validation"]) == ("pattern ([^/]+)_frame", 24, None)
    assert f" {shown['test_images']} to test on in {groups['test']} groups\n" in answer.stdout
    assert shown["audit"]["grouping"] is None
    answer = invoke(f"data {videos} --no-near")
    assert "24 to test on\n" in answer.stdout
    assert json.loads(invoke(f"data {videos} --no-near --json").stdout)["groups"] is None


def test_groups_that_names_suggest_are_said(videos):
    """With an example and the pattern to give, in full; followed, it is said no more."""
    answer = invoke(f"data {videos} --no-near")
    assert "- File names suggest that images come in groups (24 of 24 test images share " in answer.stdout
    pattern = answer.stdout.split("--group '")[1].split("'.")[0]
    assert "File names suggest" not in invoke(f"data {videos} --no-near --group '{pattern}'").stdout
    hint = json.loads(invoke(f"data {videos} --no-near --json").stdout)["audit"]["grouping"]
    assert (hint["by"], hint["pattern"], hint["images"]) == ("names", pattern, 24)


@pytest.mark.parametrize("option", ["--pairs", "--picture"])
@pytest.mark.parametrize("path", ["nowhere/pairs.png", "pairs.nonsense", "pairs"])
def test_a_sheet_that_cannot_be_written_is_one_line(monkeypatch, option, path):
    """With exit code 2, before anything is loaded."""
    monkeypatch.setattr("modelzero.data.load.load_with", lambda *_, **__: pytest.fail("loaded"))
    answer = invoke(f"data here {option} {path}")
    assert answer.exit_code == 2
    assert "cannot be written" in answer.stderr or "unsupported image extension" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
