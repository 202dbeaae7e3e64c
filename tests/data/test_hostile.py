"""A share of the campaign of damaged files and archives in `benchmarks/hostile_input.py`, and what it notices."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

import modelzero as mz

PICTURES = ("png", "jpeg", "webp", "gif", "bmp", "tiff")
OTHERS = ("idx", "gz", "npz", "npy", "parquet", "csv")


@pytest.fixture(scope="module")
def campaign():
    """The script as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "hostile_input.py"
    spec = importlib.util.spec_from_file_location("hostile_input", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["hostile_input"] = module
    before = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    for name in ("hostile_input", "hostile_files", "hostile_archives"):
        sys.modules.pop(name)


@pytest.fixture
def room(campaign, tmp_path, monkeypatch):
    """Folders to load in. No seconds are counted here: that is the script's own task."""
    monkeypatch.setattr(campaign, "HANG_SECONDS", math.inf)
    monkeypatch.setattr(campaign, "HANG_CLOCK_SECONDS", math.inf)
    return campaign.Room(tmp_path / "room")


def broken(campaign, outcomes):
    return [each for each in outcomes if campaign.is_bad(each)]


@pytest.mark.parametrize("kind", PICTURES)
def test_damaged_images(campaign, room, kind):
    """Fifty of each kind are loaded or left out with a reason; the good ones beside them come out as they are."""
    pytest.importorskip("pyarrow")
    outcomes = campaign.measured(room, kind, range(50), 1)
    assert not broken(campaign, outcomes)
    counts = Counter(each.result for each in outcomes)
    assert counts.total() == 50
    assert counts["loaded"] > 5
    assert counts["left out"] > 5


@pytest.mark.parametrize("kind", OTHERS)
def test_sets_with_a_damaged_file(campaign, room, kind):
    """Loaded, or refused in one line that names the file."""
    pytest.importorskip("pyarrow")
    outcomes = [each for number in range(17) for each in campaign.measured(room, kind, [number], 1)]
    assert not broken(campaign, outcomes)
    assert Counter(each.result for each in outcomes)["refused"] > 5


def test_hostile_archives_write_nothing(campaign, room):
    """Thirty archives that try to: nothing changes around them, and each is loaded or refused in one line."""
    outcomes = [each for number in range(30) for each in campaign.measured(room, "archive", [number], 1)]
    assert not broken(campaign, outcomes)
    counts = Counter(each.result for each in outcomes)
    assert counts["refused"] > 10
    assert counts["loaded"] > 2


def test_files_follow_from_kind_number_and_seed(campaign):
    """What failed once can be made again, and no two are alike."""
    for kind in PICTURES:
        assert campaign.hostile_files.picture(kind, 3, 0) == campaign.hostile_files.picture(kind, 3, 0)
        assert len({campaign.hostile_files.picture(kind, number, 0)[1] for number in range(30)}) > 20
    for kind in OTHERS:
        assert campaign.hostile_files.source(kind, 3, 0) == campaign.hostile_files.source(kind, 3, 0)
    first = campaign.hostile_archives.archive(5, 0, "/root")
    assert first == campaign.hostile_archives.archive(5, 0, "/root")
    assert first != campaign.hostile_archives.archive(5, 1, "/root")


def test_the_plan_adds_up(campaign):
    """Every kind has its share, and all together are as many as were asked for."""
    for files in (400, 997, 20_000):
        counts = campaign.hostile_files.plan(files)
        assert sum(counts.values()) == files
        assert min(counts.values()) >= files // 40


def _raise(*_, **__):
    raise ValueError("unforeseen")


def _vague(*_, **__):
    raise mz.DataError("something is wrong")


def _two_lines(path, **_):
    raise mz.DataError(f"{path} is\nwrong")


def _print(path, **_):
    os.write(2, b"libpng warning: what a file\n")
    raise mz.DataError(f"{path} is wrong")


def _other_pixels(path, **settings):
    data = _real(path, **settings)
    data.train.images[:] = 7
    return data


def _write(path, **_):
    (Path(path).parents[1] / "outside" / "x.png").write_bytes(b"evil")
    raise mz.DataError(f"{path} is wrong")


_real = mz.load


@pytest.mark.parametrize(
    ("kind", "load", "words"),
    [
        ("idx", _raise, "unforeseen"),
        ("csv", _vague, "does not name the file"),
        ("npz", _two_lines, "cannot be printed"),
        ("npy", _print, "something was printed"),
        ("png", _other_pixels, "came out changed"),
        ("archive", _write, "written outside"),
    ],
)
def test_a_broken_promise_is_noticed(campaign, room, monkeypatch, capfd, kind, load, words):
    """A loader that does what none may is found out."""
    monkeypatch.setattr(mz, "load", load)
    (outcome,) = campaign.measured(room, kind, [0], 0)
    assert campaign.is_bad(outcome)
    assert words in outcome.words
    assert (outcome.outside >= 4) == (kind == "archive")  # its folder counts too, where the clock was quick enough
    assert "| 1 |" in campaign.table([outcome])


def test_what_failed_is_kept(campaign, tmp_path):
    """With the very bytes, and the command that loads it again."""
    outcome = campaign.Outcome("gif", 4, "traceback", "ValueError", what="flip_bits")
    folder = campaign.keep(outcome, 9, tmp_path)
    ending, content, _ = campaign.hostile_files.picture("gif", 4, 9)
    assert (folder / f"4{ending}").read_bytes() == content
    assert "--seed 9 --again gif:4" in (folder / "why.txt").read_text()


def test_two_processes_share_the_work(campaign, tmp_path):
    """The script's own way, with few files: all come back, none is bad."""
    outcomes = campaign.campaign(24, 3, 2, tmp_path, workers=1)
    assert not [each for each in outcomes if each.result in ("traceback", "hang") or each.outside]
    assert Counter(each.kind == "archive" for each in outcomes) == {False: 24, True: 3}
