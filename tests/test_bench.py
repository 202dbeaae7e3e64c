"""The bench measures what it says that it measures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import modelzero as mz
from modelzero.bench import ImageDataset, Measure, chapter_loop, same_training
from modelzero.cli import app
from modelzero.data.dataset import ImageData, Split


def test_both_sides_train_the_same(digits, tmp_path):
    """The chapter's loop and `mz.train` give the same figures, so their times can be compared."""
    expected, seconds = chapter_loop(digits, epochs=2)
    found, _ = same_training(digits, tmp_path, epochs=2)
    assert len(expected) == 2
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert seconds > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_the_images_of_the_loop_are_the_images(channels):
    """By way of PIL, as in the chapter, nothing is changed."""
    images = torch.randint(256, (5, channels, 6, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pictures = ImageDataset(Split(images, torch.arange(5)))
    assert len(pictures) == 5
    for index in range(5):
        tensor, label = pictures[index]
        assert torch.equal(tensor, images[index].float() / 255)
        assert label == index


def test_the_median_leaves_out_the_cold_value():
    assert Measure("x", "s", cold=100.0, warm=(3.0, 1.0, 2.0)).as_dict() == {
        "what": "x",
        "unit": "s",
        "cold": 100.0,
        "warm": (3.0, 1.0, 2.0),
        "median": 2.0,
        "low": 1.0,
        "high": 3.0,
    }


@pytest.mark.slow
def test_the_command_prints_one_json_document():
    """Every measure has its raw values; the ratios are those of the raw values."""
    answer = CliRunner().invoke(app, ["bench", "digits", "--repeats", "1", "--json"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    by_name = {measure["what"]: measure for measure in told["measures"]}
    slow = by_name["the chapter's loop: model 0, three epochs with evaluation"]
    fast = by_name["mz.train: the same, recorded"]
    assert told["ratios"][0]["warm"] == pytest.approx([a / b for a, b in zip(slow["warm"], fast["warm"], strict=True)])
    assert all(value > 0 for measure in told["measures"] for value in measure["warm"])
    assert told["machine"]["cores"] >= 1


def test_images_that_pil_cannot_make_are_refused(refuses):
    images = torch.zeros(4, 2, 8, 8, dtype=torch.uint8)
    split = Split(images, torch.tensor([0, 1, 0, 1]))
    from modelzero.bench import bench

    with refuses(mz.DataError, "2 channels", "1 or 3"):
        bench(ImageData("two", split, split, ("a", "b")))


def test_repeats_below_one_are_refused():
    answer = CliRunner().invoke(app, ["bench", "digits", "--repeats", "0"])
    assert answer.exit_code == 2
    assert "repeats 0" in answer.stderr
