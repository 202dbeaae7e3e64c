"""The score with and without the test images that were seen in training."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

import modelzero as mz
from helpers import climb
from modelzero.data.auditing import searched
from modelzero.io.json import to_json
from modelzero.results import leaks
from modelzero.results.comparison import compare_accounts
from modelzero.results.leaks import look_for_leaks, without_leaks
from modelzero.runs.record import Leaks


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Nothing is known from other tests."""
    monkeypatch.setattr(searched, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def leaky(digits):
    """Digits whose first twenty test images are training images, ten of them mirrored."""
    images = digits.test.images.clone()
    labels = digits.test.labels.clone()
    images[:10], images[10:20] = digits.train.images[:10], digits.train.images[10:20].flip(3)
    labels[:20] = digits.train.labels[:20]
    return mz.ImageData("leaky", digits.train, mz.Split(images, labels), digits.classes)


@pytest.fixture(scope="module")
def ladder(leaky, tmp_path_factory):
    """A climb on it."""
    return climb(leaky, ["majority", "knn", "model0"], seeds=2, runs_dir=tmp_path_factory.mktemp("runs"))


def test_the_record_keeps_which_pictures_leaked(ladder):
    """Positions in the test split, and how many are equal or nearly so; on disk too."""
    expected = Leaks(searched=True, why=None, exact=10, near=10, positions=list(range(20)), test_clusters=[])
    assert ladder.leaks == expected
    assert mz.Ladder.read(ladder.path).leaks == expected


def test_the_score_without_them_comes_from_the_predictions(ladder, leaky):
    """Each rung's accuracy over the 340 other images, the mean over its seeds, against a count by hand."""
    assert [each.rung for each in ladder.without_leaks] == ["majority", "knn", "model0"]
    for each in ladder.without_leaks:
        runs = [run for run in ladder.runs if run.record.model == each.rung]
        rights = [(run.test_logits.argmax(1) == leaky.test.labels)[20:].float().mean().item() for run in runs]
        assert each.without == pytest.approx(np.mean(rights))
        assert each.accuracy == ladder.rung(each.rung).accuracy


def test_table_and_json_say_it(ladder):
    """In a sentence with both figures of the best rung, and for each rung in JSON."""
    knn = next(each for each in ladder.without_leaks if each.rung == "knn")
    sentence = (
        "Leaked: 20 of 360 test images are also among the training images (10 equal, 10 nearly equal); "
        f"without them: knn {100 * knn.without:.2f} % ({100 * knn.accuracy:.2f} % with); no verdict changes."
    )
    assert sentence in ladder.verdict()
    assert sentence in ladder.table()
    shown = json.loads(to_json(ladder.as_dict()))["leaks"]
    assert shown["rungs"] == [asdict(each) for each in ladder.without_leaks]
    assert shown["comparisons"] == [asdict(each) for each in ladder.comparisons_without_leaks]
    assert (shown["exact"], shown["near"]) == (10, 10)


def test_comparisons_are_made_again_without_them(ladder, leaky):
    """From the other 340 images, as one family; a verdict that changes is named with its difference."""
    kept = [replace(rung, right=rung.right[:, 20:]) for rung in ladder.rungs]
    assert ladder.comparisons_without_leaks == compare_accounts(kept, size=2)
    every = replace(ladder.leaks, positions=[k for k in range(360) if k % 120])
    few = mz.Ladder(ladder.path, replace(ladder.record, leaks=every), ladder.runs)
    assert [each.verdict for each in few.comparisons_without_leaks] != [each.verdict for each in few.comparisons]
    (said,) = (each for each in few.verdict() if each.startswith("Leaked:"))
    assert "; verdicts then: " in said


def test_without_any_leak_nothing_is_said(digits, tmp_path):
    """Neither figures nor a sentence."""
    ladder = climb(digits, ["majority"], runs_dir=tmp_path)
    assert (ladder.leaks.positions, ladder.without_leaks) == ([], [])
    assert not any(sentence.startswith("Leaked:") for sentence in ladder.verdict())


def test_older_ladders_know_nothing_of_leaks(ladder):
    """Their record has no such entry."""
    older = mz.Ladder(ladder.path, replace(ladder.record, leaks=None), ladder.runs)
    assert (older.leaks, older.without_leaks, older.as_dict()["leaks"]) == (None, [], None)


def test_everything_leaked_is_no_number(ladder):
    """Not a division by zero, and not a perfect score."""
    cleaned = without_leaks(ladder.rungs, range(360))
    assert all(np.isnan(each.without) for each in cleaned)
    record = replace(ladder.record, leaks=replace(ladder.leaks, positions=list(range(360))))
    said = mz.Ladder(ladder.path, record, ladder.runs).verdict()
    assert any("the accuracy on new images is unknown" in sentence for sentence in said)


def test_the_search_is_left_out_where_it_would_take_long(monkeypatch, leaky):
    """Unless asked for; equal images are found all the same, and the reason is kept."""
    monkeypatch.setattr(leaks, "MOST_PAIRS", 1000)
    unasked = look_for_leaks(leaky, search=None, seconds=None)
    assert (unasked.searched, unasked.exact, unasked.near) == (False, 10, 0)
    assert "646,920 pairs" in unasked.why
    assert look_for_leaks(leaky, search=True, seconds=0).near == 10


def test_a_budget_is_not_overrun_by_the_search(leaky):
    """With no time left it is left out; with some it is done."""
    assert "budget" in look_for_leaks(leaky, search=None, seconds=0.0).why
    assert look_for_leaks(leaky, search=None, seconds=1.0).near == 10


def test_no_audit_is_obeyed(leaky, tmp_path):
    """And the table says that nobody looked for near duplicates."""
    ladder = climb(leaky, ["majority"], audit=False, runs_dir=tmp_path)
    assert (ladder.leaks.exact, ladder.leaks.near) == (10, 0)
    assert "Near duplicates of training images: not searched for, as requested." in ladder.table()


def test_the_search_leaves_torch_its_threads(leaky):
    """As many as before."""
    threads = torch.get_num_threads()
    look_for_leaks(leaky, search=True, seconds=None)
    assert torch.get_num_threads() == threads
