"""A ladder as a whole: accounts, comparisons, verdict, tables, JSON, and reading it back."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

import modelzero as mz
from helpers import climb
from modelzero.io.json import to_json
from modelzero.results.account import account
from modelzero.statistics.comparison import compare

RUNGS = ["majority", "centroid", "knn", "softmax", "model0", "model1"]


@pytest.fixture(scope="module")
def ladder(digits, tmp_path_factory):
    """A real climb of six rungs with three seeds."""
    return climb(digits, RUNGS, seeds=3, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def shown(ladder):
    """What --json prints of it, through strict JSON."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(to_json(ladder.as_dict()), parse_constant=refuse)


def test_accounts_are_in_ladder_order(ladder):
    """One for each rung, and its accuracy is the mean over its seeds."""
    assert [rung.name for rung in ladder.rungs] == RUNGS
    for rung in ladder.rungs:
        runs = [run for run in ladder.runs if run.record.model == rung.name]
        assert rung.seeds == len(runs) == (3 if rung.random else 1)
        assert rung.accuracy == pytest.approx(np.mean([run.history[-1].test_accuracy for run in runs]))
        assert rung.low <= rung.accuracy <= rung.high
        assert rung.train_seconds == pytest.approx(np.mean([run.train_seconds for run in runs]))


def test_a_new_run_changes_the_account_of_its_rung_only(ladder):
    """During a climb the accounts of all other rungs are kept, not computed again."""
    *first, last = ladder.runs
    growing = mz.Ladder(ladder.path, ladder.record, first)
    before = {rung.name: rung for rung in growing.rungs}
    growing.update(ladder.record, [*first, last])
    after = {rung.name: rung for rung in growing.rungs}
    assert [name for name in after if after[name] is not before[name]] == [last.record.model]
    assert after[last.record.model].seeds == 3
    assert growing.as_dict() == ladder.as_dict()


def test_classes_are_scored_as_scikit_learn_does(ladder, digits):
    """Confusion, precision, recall and F1 over the predictions of all seeds, put one after the other."""
    rung = ladder.rung("model0")
    runs = [run for run in ladder.runs if run.record.model == "model0"]
    labels = np.tile(digits.test.labels.numpy(), 3)
    predicted = np.concatenate([run.test_logits.argmax(1).numpy() for run in runs])
    assert (np.array(rung.confusion) == confusion_matrix(labels, predicted)).all()
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, zero_division=0)
    for each, *expected in zip(rung.per_class, precision, recall, f1, support, strict=True):
        assert (each.precision, each.recall, each.f1, each.support) == pytest.approx(expected, abs=1e-10)
    assert rung.averages["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-10)
    assert rung.averages["micro_f1"] == pytest.approx(rung.accuracy, abs=1e-10)


def test_cost_of_a_rung_is_accounted_for(ladder):
    """Seconds, images a second, parameters, bytes on disk, memory."""
    rung = ladder.rung("model0")
    assert rung.train_images_per_second == pytest.approx(23 * 1437 / rung.train_seconds)
    assert rung.parameters == 64 * 10 + 10 + 10 * 10 + 10
    run = next(run for run in ladder.runs if run.record.model == "model0")
    assert rung.model_bytes == (run.path / "model.safetensors").stat().st_size
    assert rung.peak_memory_bytes > 50e6
    assert ladder.rung("knn").parameters > 1437 * 64


def test_each_rung_is_compared_with_the_best_below(ladder):
    """By mean accuracy; difference, interval and p-value are those of the two methods, adjusted for all five."""
    accuracies = {rung.name: rung.accuracy for rung in ladder.rungs}
    assert [each.rung for each in ladder.comparisons] == RUNGS[1:]
    for each in ladder.comparisons:
        below = RUNGS[: RUNGS.index(each.rung)]
        assert each.against == max(below, key=accuracies.__getitem__)
        assert each.difference == pytest.approx(accuracies[each.rung] - accuracies[each.against])
        assert each.low < each.difference < each.high
        assert each.p <= each.p_adjusted <= 1
        assert (each.low > 0 or each.high < 0) == (each.verdict in ("better", "worse"))
        a, b = ladder.rung(each.against), ladder.rung(each.rung)
        alone = compare(a.right, b.right, deterministic_a=not a.random, deterministic_b=not b.random)
        assert each.low == pytest.approx(alone.interval(each.level)[0])
        assert each.at_most >= max(abs(end) for end in alone.interval(0.05 / 5))
        assert each.p >= alone.p


def test_worth_it_is_the_last_rung_that_is_better(ladder):
    """With its price in points and training time, in figures and in words."""
    better = [each for each in ladder.comparisons if each.verdict == "better"]
    assert ladder.worth_it == better[-1].rung == "knn"
    assert ladder.price.against == "centroid"
    assert ladder.price.gain == better[-1].difference
    assert (ladder.price.gain_low, ladder.price.gain_high) == (better[-1].low, better[-1].high)
    times = ladder.rung("knn").train_seconds / ladder.rung("centroid").train_seconds
    assert ladder.price.times_the_training_time == pytest.approx(times)
    assert ladder.verdict()[0].startswith("Worth it: knn, +6.94 points (")


def test_nearly_as_good_is_the_quickest_that_is_shown_to_be(ladder):
    """By a bound, not by its own figure: on 360 images no other rung is shown to be within 1 point of the best."""
    bounds = ladder.behind
    assert bounds.keys() == {rung.name for rung in ladder.rungs}
    for rung in ladder.rungs:
        assert bounds[rung.name] >= ladder.best.accuracy - rung.accuracy
    near = [rung for rung in ladder.rungs if bounds[rung.name] <= 0.01] or [ladder.best]
    assert ladder.nearly_as_good == min(near, key=lambda rung: rung.train_seconds).name


def test_json_has_the_fixed_fields(shown, ladder):
    """Other programs read these names."""
    assert {"format", "data", "rungs", "comparisons", "worth_it", "left_out", "runs"} <= shown.keys()
    needed = {"name", "accuracy", "low", "high", "seeds", "train_seconds", "parameters"}
    assert all(needed <= rung.keys() for rung in shown["rungs"])
    needed = {"rung", "against", "difference", "low", "high", "p", "p_adjusted", "verdict", "least_detectable"}
    assert all(needed <= each.keys() for each in shown["comparisons"])
    assert shown["runs"] == [str(run.path) for run in ladder.runs]
    assert shown["data"]["fingerprint"] == ladder.runs[0].record.data.fingerprint
    assert shown["worth_it"] == "knn"


def test_reading_it_back_gives_the_same(ladder, shown):
    """From the folder alone, without training: every figure is computed again from records and predictions."""
    again = mz.Ladder.read(ladder.path)
    assert json.loads(to_json(again.as_dict())) == shown
    assert again.table() == ladder.table()


def test_table_shows_every_rung_and_comparison(ladder):
    """One line each, under one another, and no line that a usual terminal would break in the tables."""
    lines = ladder.table().splitlines()
    assert lines[0].split()[:2] == ["rung", "accuracy"]
    assert [line.split()[0] for line in lines[1:7]] == RUNGS
    assert re.search(
        r"centroid +majority +\+80.00 points +\+\d+\.\d\d to \+\d+\.\d\d +< 0.0001 +better", ladder.table()
    )
    assert max(map(len, lines[:14])) <= 130


def test_notebooks_get_a_table_in_which_names_are_text(ladder, digits, tmp_path):
    """Markup in a rung's name is shown, not obeyed."""
    assert ladder._repr_html_().count("<tr>") == 2 + 6 + 5
    name = "<script>alert(1)</script>"
    rung = mz.Rung(name, make=lambda: __import__("sklearn.naive_bayes").naive_bayes.GaussianNB())
    drawn = climb(digits, [rung], seeds=1, runs_dir=tmp_path)._repr_html_()
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn


def test_repr_says_what_is_known(ladder):
    """Name, status and accuracies."""
    assert "finished" in repr(ladder)
    assert "knn 0.9694" in repr(ladder)


def test_an_account_is_that_of_one_run_where_there_is_one(digits):
    """A single random run speaks for itself: Wilson's interval, and no spread."""
    run = mz.train(digits, "model0", seed=42)
    alone = account("model0", "", [run])
    assert (alone.seeds, alone.sd != alone.sd) == (1, True)
    assert alone.low < alone.accuracy < alone.high


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"format": 1, "cells": [{}]}', '{"format": 1'])
def test_a_damaged_ladder_is_named(tmp_path, damage, refuses):
    """Whatever is wrong with its record."""
    (tmp_path / "ladder.json").write_text(damage)
    with refuses(mz.RunError, tmp_path / "ladder.json", "damaged"):
        mz.Ladder.read(tmp_path)


def test_a_missing_or_newer_ladder_is_named(tmp_path, refuses):
    """No folder, a folder of something else, a format of the future."""
    with refuses(mz.RunError, "holds no ladder"):
        mz.Ladder.read(tmp_path / "nothing")
    (tmp_path / "ladder.json").write_text('{"format": 99, "cells": []}')
    with refuses(mz.RunError, "newer modelzero", "99"):
        mz.Ladder.read(tmp_path)


def test_a_lost_run_costs_its_own_training_only(digits):
    """The ladder says so, and going on trains it again; only where all are lost there is nothing to show."""
    whole = climb(digits, ["majority", "model0"], seeds=2, audit=False)
    accuracies = [rung.accuracy for rung in whole.rungs]
    shutil.rmtree(whole.runs[1].path)
    ladder = mz.Ladder.read(whole.path)
    assert [run.id for run in ladder.runs] == [whole.runs[0].id, whole.runs[2].id]
    (left_out,) = ladder.left_out
    assert left_out.why.startswith("1 of 2 trainings lost: ")
    again = climb(digits, resume=whole.path, audit=False)
    assert [rung.accuracy for rung in again.rungs] == accuracies
    assert not again.left_out
    said = climb(digits, ["centroid"], audit=False).verdict()[0]
    assert re.fullmatch(r"One rung: centroid, \d\d\.\d\d % \(\d\d\.\d\d to \d\d\.\d\d %\)\.", said)
    for run in again.runs:
        shutil.rmtree(run.path)
    with pytest.raises(mz.RunError, match="holds no run"):
        mz.Ladder.read(whole.path)
