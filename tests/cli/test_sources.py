"""The commands on a user's own images: the options reach the data, and names of any kind are shown."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from modelzero.cli import app

ODD = os.fsdecode(b"\xff\xfeodd")
CLASSES = ["<script>alert(1)<", "[bold]x", "한국어 😀", "x" * 200, ODD]


@pytest.fixture
def pets():
    """A folder `pets` with ten images of each of five classes of unusual names."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        Path("pets", name).mkdir(parents=True)
        for k in range(10):
            Image.fromarray(rng.integers(0, 256, (6, 5), np.uint8)).save(Path("pets", name, f"{k}.png"))
    return "pets"


def invoke(command):
    return CliRunner().invoke(app, shlex.split(command))


@pytest.mark.parametrize("command", ["data", "train --model majority", "climb --rungs majority --seeds 1"])
def test_options_reach_the_data(pets, command):
    """Size, split and share are as asked for, in each command that takes data."""
    options = "--format folder --size 8x4 --fit crop --test-share 0.4 --split-seed 3 --share 0.5 --allow-unreadable"
    name, *more = command.split(maxsplit=1)
    answer = invoke(f"{name} {pets} {' '.join(more)} {options} --json")
    assert answer.exit_code == 0, answer.output
    shown = json.loads(answer.stdout)
    described = shown if name == "data" else shown["data"]
    assert described["image_shape"] == [1, 8, 4]
    assert (described["train_images"], described["test_images"]) == (15, 20)
    if name != "data":
        assert described["classes"] == sorted(CLASSES)
        assert described["split"] == {
            "rule": "stratified", "test_share": 0.4, "seed": 3, "group": None, "reached": 0.4
        }  # fmt: skip
        assert (described["share"], described["share_seed"]) == (0.5, 3)


def test_groups_and_notes_are_told(pets):
    """How the split was made is said above the results."""
    for command in ("train pets --model majority", "climb pets --rungs majority --seeds 1"):
        answer = invoke(rf"{command} --group '(\d)\.png'")
        assert answer.exit_code == 0, answer.output
        assert "2 of 10 groups" in answer.stdout


@pytest.mark.parametrize(
    ("options", "word"),
    [("--size big", "size 'big'"), ("--fit squash", "'pad' or 'crop'"), ("--format tree", "unknown format"),
     ("--test-share 1", "test share 1.0"), ("--share 0", "share 0.0"), ("--split-seed -1", "seed -1"),
     ("--group '('", "pattern"),
     ("--format csv", "cannot be read as csv")],
)  # fmt: skip
@pytest.mark.parametrize("command", ["data", "train", "climb"])
def test_bad_options_are_one_line_and_exit_code_2(pets, command, options, word):
    """What is wrong is said, and nothing is trained."""
    answer = invoke(f"{command} {pets} {options}")
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert word in answer.stderr
    assert not any(Path("runs").glob("*/run.json"))


def test_wrong_settings_are_found_before_images_are_read(pets):
    """A slip in a model's name is not answered only after a long decode."""
    answer = invoke("train nosuchfolder --model modle0")
    assert "'modle0'" in answer.stderr
    answer = invoke("climb nosuchfolder --seeds 0")
    assert "seeds 0" in answer.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_are_shown_in_every_encoding(pets, encoding):
    """A terminal that lacks the letters, or names that are no letters, end in escapes and not in a traceback."""
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    run = [sys.executable, "-m", "modelzero", "data", pets]
    table = subprocess.run(run, capture_output=True, check=False, timeout=60, env=environment)
    assert (table.returncode, table.stderr) == (0, b"")
    assert b"\\udcff\\udcfeodd" in table.stdout
    document = subprocess.run([*run, "--json"], capture_output=True, check=False, timeout=60, env=environment)
    assert [each["name"] for each in json.loads(document.stdout.decode(encoding))["classes"]] == sorted(CLASSES)


@pytest.mark.parametrize("command", ["train pets --model majority", "climb pets --rungs majority --seeds 1"])
def test_images_that_could_not_be_read_are_counted(pets, command):
    """Where they are used, too, and not only where the set is looked at."""
    Path(pets, CLASSES[0], "0.png").write_bytes(b"no image")
    answer = invoke(command + " --allow-unreadable")
    assert answer.exit_code == 0
    assert "1 unreadable image skipped: 'modelzero data' lists them" in answer.stdout
