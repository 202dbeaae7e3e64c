"""What a ladder says where trainings did not learn, images come in groups, or seeds were added after a look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import modelzero as mz
from collapsing import BECOMES_NAN, COLLAPSES, ONE_DIES, SEEDS, THE_ONE, bright_images
from helpers import Inline, climb
from modelzero.cli import app
from modelzero.climbing.looks import count_looks
from modelzero.models.rungs import as_rung
from modelzero.reporting.content import gather
from modelzero.results.words import rung_table
from modelzero.statistics.intervals import most_failures


@pytest.fixture(scope="module")
def bright():
    return bright_images()


@pytest.fixture(scope="module")
def collapsed(bright, tmp_path_factory):
    """A rung that learns, one that collapses on all five seeds, one on one of five, one that becomes NaN."""
    folder = tmp_path_factory.mktemp("runs")
    rungs = ["centroid", COLLAPSES, ONE_DIES, BECOMES_NAN]
    return mz.climb(bright, rungs, seeds=len(SEEDS), executor=Inline(), audit=False, runs_dir=folder)


def test_a_rung_that_collapses_on_all_seeds_gets_no_verdict(collapsed):
    """Never "worse": its line has no figures, and a sentence says that none of five learned, and why."""
    (line,) = (each for each in collapsed.comparisons if each.rung == COLLAPSES.name)
    assert (line.verdict, line.against, line.p_adjusted) == ("no verdict", "centroid", 1)
    rung = collapsed.rung(COLLAPSES.name)
    assert (rung.learned, len(rung.not_learned)) == (0, 5)
    said = [
        sentence for sentence in collapsed.verdict() if sentence.startswith(f"No verdict: {COLLAPSES.name}, 5 of 5")
    ]
    assert len(said) == 1
    assert "guessing the class frequencies" in said[0]
    row = next(row for row in collapsed.table().splitlines() if row.startswith(f"{COLLAPSES.name} "))
    assert "did not learn" in row
    assert "0 of 5" in row


def test_one_of_five_that_collapses_is_named_and_not_averaged(collapsed):
    """The mean is that of the four that learned; the method gets no verdict all the same."""
    rung = collapsed.rung(ONE_DIES.name)
    assert (rung.learned, rung.seeds, [each["seed"] for each in rung.not_learned]) == (4, 4, [THE_ONE])
    good = [run for run in collapsed.runs if run.record.model == ONE_DIES.name and run.seed != THE_ONE]
    assert rung.accuracy == pytest.approx(np.mean([run.history[-1].test_accuracy for run in good]))
    (line,) = (each for each in collapsed.comparisons if each.rung == ONE_DIES.name)
    assert line.verdict == "no verdict"
    assert any(f"No verdict: {ONE_DIES.name}, 1 of 5 trainings did not learn" in each for each in collapsed.verdict())
    assert "4 of 5" in collapsed.table()


def test_trainings_that_became_nan_count_as_not_learned(collapsed):
    """Also where no training of the rung finished."""
    said = [each for each in collapsed.verdict() if each.startswith(f"No verdict: {BECOMES_NAN.name}, 5 of 5")]
    assert len(said) == 1
    assert "NaN or infinite" in said[0]
    assert collapsed.worth_it is None


def test_a_rung_that_did_not_learn_is_nobodys_opponent(bright, tmp_path):
    """The next rung meets the best one below that learned, chosen from these alone."""
    rungs = ["majority", ONE_DIES, "centroid"]
    ladder = mz.climb(bright, rungs, seeds=len(SEEDS), executor=Inline(), audit=False, runs_dir=tmp_path)
    assert ladder.rung(ONE_DIES.name).accuracy > ladder.rung("majority").accuracy
    (line,) = (each for each in ladder.comparisons if each.rung == "centroid")
    assert (line.against, line.verdict) == ("majority", "better")
    assert ladder.best.name == "centroid"


def test_records_of_before_the_flag_count_as_learned(collapsed):
    """What does not say whether it learned is taken as it always was."""
    unsaid = {"learned": None, "not_learned": None}
    runs = [mz.Run(run.path, replace(run.record, **unsaid)) for run in collapsed.runs]
    cells = [replace(cell, **unsaid) for cell in collapsed.record.cells]
    older = mz.Ladder(collapsed.path, replace(collapsed.record, cells=cells), runs)
    assert older.rung(COLLAPSES.name).all_learned
    assert {each.verdict for each in older.comparisons} <= {"better", "worse", "no different", "cannot tell"}


def test_what_seeds_cannot_rule_out_is_said(digits, tmp_path):
    """No failure in two trainings leaves a rate of up to 78 %; where one crashed, nothing is said of "all"."""

    class CrashesOnce:
        def fit(self, rows, labels):
            if torch.initial_seed() == 43:
                raise RuntimeError("mine")
            self.answer = torch.randint(0, 10, (10_000,)).numpy()

        def predict(self, rows):
            return self.answer[: len(rows)]

    rungs = ["majority", "softmax", CrashesOnce]
    ladder = mz.climb(digits, rungs, seeds=3, audit=False, executor=Inline(), runs_dir=tmp_path)
    share = f"{100 * most_failures(3):.0f} %"
    assert f"All 3 trainings of softmax learned; a failure rate of up to {share} is not ruled out." in ladder.verdict()
    assert ladder.rung("CrashesOnce").seeds == 2


def test_compare_and_reports_give_no_verdict_either(collapsed):
    """Of the ladder's folder, of its runs given one by one, and for the opponent that did not learn."""
    told = CliRunner().invoke(app, ["compare", str(collapsed.path)])
    assert told.exit_code == 0
    for name, count in ((COLLAPSES.name, "5 of 5"), (ONE_DIES.name, "1 of 5")):
        assert f"No verdict: {name}, {count} trainings did not learn" in told.stdout
    by_name = {
        name: [run for run in collapsed.runs if run.record.model == name] for name in (COLLAPSES.name, "centroid")
    }
    assert mz.compare(by_name[COLLAPSES.name], by_name["centroid"]).verdict == "no verdict"
    assert mz.compare(by_name["centroid"], by_name[COLLAPSES.name]).verdict == "no verdict"
    told = gather(list(collapsed.runs)).as_dict()
    assert {each["rung"]: each["verdict"] for each in told["comparisons"]} == {
        COLLAPSES.name: "no verdict", ONE_DIES.name: "no verdict"
    }  # fmt: skip
    assert [rung["on_front"] for rung in told["rungs"] if rung["name"] == COLLAPSES.name] == [False]


def test_trainings_that_diverged_count_beside_those_that_finished(digits, tmp_path):
    """Two finished and one NaN of one method: no verdict, in a report and in a comparison."""
    settings = {"runs_dir": tmp_path}
    good = [mz.train(digits, "softmax", seed=seed, **settings) for seed in (1, 2)]
    nan = {"learned": False, "not_learned": {"kind": "not finite", "epoch": 1, "step": 2}, "files": {}}
    failed = mz.Run(good[0].path, replace(good[0].record, id="diverged", seed=3, status="failed", **nan))
    majority = mz.train(digits, "majority", **settings)
    result = mz.compare(majority, [*good, failed])
    assert result.verdict == "no verdict"
    assert mz.compare(majority, good).verdict == "better"


def test_an_unfinished_run_is_left_out_of_a_report_of_runs(digits, tmp_path):
    """Named, and no reason to fail; so is one whose predictions are gone."""
    runs = [mz.train(digits, name, runs_dir=tmp_path) for name in ("majority", "centroid", "knn")]
    (runs[2].path / "predictions.safetensors").unlink()
    told = gather([run.path for run in runs])
    assert [rung.account.name for rung in told.rungs] == ["majority", "centroid"]
    assert [bool(run["why"]) for run in told.runs] == [False, False, True]


def copies(groups, size, seed):
    """A set whose test images come as near copies: noise that nobody can learn, and labels that are the group's."""
    generator = torch.Generator().manual_seed(seed)
    train = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8, generator=generator)
    test = torch.randint(0, 256, (groups, 1, 8, 8), dtype=torch.uint8, generator=generator).repeat_interleave(size, 0)
    labels = (torch.arange(groups) % 2).repeat_interleave(size)
    return train, torch.arange(200) % 2, test, labels, [f"video {place // size}" for place in range(groups * size)]


def test_groups_of_test_images_reach_every_formula(tmp_path):
    """Intervals, comparisons and single runs are those of thirty groups, and the headline says so."""
    train, train_labels, test, labels, videos = copies(30, 10, seed=0)
    plain = mz.from_arrays(train, train_labels, test, labels)
    own = [f"own {place}" for place in range(200)]
    grouped = mz.from_arrays(train, train_labels, test, labels, groups=own, test_groups=videos)
    assert plain.fingerprint == grouped.fingerprint
    ladders = [
        climb(data, ["centroid", "softmax"], seeds=3, audit=False, runs_dir=tmp_path / name)
        for data, name in ((plain, "plain"), (grouped, "grouped"))
    ]
    for one, other in zip(ladders[0].rungs, ladders[1].rungs, strict=True):
        assert one.accuracy == other.accuracy
        assert other.high - other.low > 2 * (one.high - one.low)
    (one,), (other,) = (ladder.comparisons for ladder in ladders)
    assert one.difference == other.difference
    assert other.high - other.low > 1.5 * (one.high - one.low)
    again = mz.Ladder.read(ladders[1].path)
    assert again.comparisons == ladders[1].comparisons
    runs = [[run for run in ladder.runs if run.seed == 42] for ladder in ladders]
    single = [mz.compare(*pair) for pair in runs]
    assert single[1].p > single[0].p or single[1].p == 1
    assert single[1].high - single[1].low > 1.5 * (single[0].high - single[0].low)
    text = CliRunner().invoke(app, ["climb", "--resume", str(ladders[1].path)]).stdout
    assert "300 to test on in 30 groups (groups)" in text


def test_groups_that_only_some_runs_know_count_for_all(tmp_path):
    """Whichever side knows them: the images are the same, and so is the comparison but for its sign."""
    train, train_labels, test, labels, videos = copies(30, 10, seed=3)
    own = [f"own {place}" for place in range(200)]
    plain = mz.train(mz.from_arrays(train, train_labels, test, labels), "centroid", runs_dir=tmp_path)
    data = mz.from_arrays(train, train_labels, test, labels, groups=own, test_groups=videos)
    grouped = mz.train(data, "softmax", runs_dir=tmp_path)
    there, back = mz.compare(plain, grouped), mz.compare(grouped, plain)
    both = mz.compare(mz.train(data, "centroid", runs_dir=tmp_path), grouped)
    assert there.p == back.p == both.p
    assert (there.low, there.high) == (both.low, both.high)


def test_runs_with_other_groups_are_refused(tmp_path, refuses):
    """The same images in other groups are another test split."""
    train, train_labels, test, labels, videos = copies(10, 10, seed=1)
    own = [f"own {place}" for place in range(200)]
    other = [f"clip {place // 20}" for place in range(100)]
    runs = [
        mz.train(
            mz.from_arrays(train, train_labels, test, labels, groups=own, test_groups=each),
            "centroid",
            runs_dir=tmp_path,
        )
        for each in (videos, other)
    ]
    with refuses(mz.RunError, "different groups"):
        mz.compare(*runs)
    renamed = mz.from_arrays(train, train_labels, test, labels, groups=own, test_groups=[f"x{v}" for v in videos])
    assert mz.compare(runs[0], mz.train(renamed, "centroid", runs_dir=tmp_path)).p == 1


def test_a_hint_at_groups_is_part_of_the_verdict(tmp_path):
    """Near copies within the test split, and no groups given: a sentence says that intervals would be too short."""
    train, train_labels, test, labels, _ = copies(30, 10, seed=2)
    ladder = climb(mz.from_arrays(train, train_labels, test, labels), ["majority"], runs_dir=tmp_path)
    (said,) = (each for each in ladder.verdict() if each.startswith("Groups:"))
    assert "300 of 300 test images" in said
    assert mz.Ladder.read(ladder.path).verdict() == ladder.verdict()


def test_adding_seeds_is_counted_as_another_look(digits, tmp_path):
    """More seeds for the same rungs are look 2, the very same seeds or new ones are not."""
    settings = {"audit": False, "runs_dir": tmp_path}
    rungs = ["centroid", "softmax"]
    first = climb(digits, rungs, seeds=2, **settings)
    assert first.looks == 1
    assert climb(digits, rungs, seeds=2, **settings).looks == 1
    assert climb(digits, rungs, seeds=2, seed=100, **settings).looks == 1
    more = climb(digits, rungs, seeds=3, **settings)
    assert (more.looks, mz.Ladder.read(more.path).looks, more.as_dict()["looks"]) == (2, 2, 2)
    assert any(each.startswith("Exploratory: this is look 2") for each in more.verdict())
    named = [as_rung(name) for name in rungs]
    assert count_looks(tmp_path, digits.fingerprint, named, [42, 43, 44, 45]) == 3
    assert count_looks(tmp_path, "another set", named, [42, 43, 44, 45]) == 1
    assert count_looks(tmp_path, digits.fingerprint, named[:1], [42, 43, 44, 45]) == 1


def test_runs_that_no_climb_declared_are_exploratory(digits, tmp_path):
    """`compare` says so of trainings one by one, not of those of one ladder."""
    ladder = climb(digits, ["majority", "softmax"], seeds=2, audit=False, runs_dir=tmp_path)
    told = CliRunner().invoke(app, ["compare", str(ladder.path)]).stdout
    assert "Exploratory" not in told
    some = [str(run.path) for run in ladder.runs if run.seed == 42]
    assert "Exploratory" in CliRunner().invoke(app, ["compare", *some]).stdout
    runs = [mz.train(digits, name, runs_dir=tmp_path) for name in ("majority", "centroid")]
    assert "Exploratory" in CliRunner().invoke(app, ["compare", *(str(run.path) for run in runs)]).stdout


def test_fewer_trainings_than_asked_for_are_a_look_too(digits, tmp_path):
    """What a budget or Ctrl-C left of an earlier climb counts by the seeds that were trained."""

    def listen(ladder):
        if sum(cell.status == "finished" for cell in ladder.record.cells) == 3:
            raise KeyboardInterrupt

    rungs = ["centroid", "softmax"]
    with pytest.raises(KeyboardInterrupt):
        mz.climb(digits, rungs, seeds=5, audit=False, workers=1, progress=listen, runs_dir=tmp_path)
    again = climb(digits, rungs, seeds=5, audit=False, runs_dir=tmp_path)
    assert again.looks == 2


def test_a_rung_that_is_measured_counts_in_full_while_it_is_trained(digits, tmp_path):
    """Trainings that are not needed are not waited for, and no reason for a warning in the report."""
    seen = []

    def listen(ladder):
        seen.append(rung_table(ladder.findings).columns[3]._cells[-1])

    rungs = ["majority", "sklearn.naive_bayes.GaussianNB"]
    ladder = mz.climb(digits, rungs, seeds=5, audit=False, executor=Inline(), progress=listen, runs_dir=tmp_path)
    assert seen[0] == "0 of 5"
    assert seen[-1] == "2 of 2"
    assert len(gather([ladder]).runs) == 3


def test_a_signal_before_anything_is_planned_is_an_interruption(digits, tmp_path, monkeypatch):
    """Also with a rung whose randomness is measured."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("modelzero.climbing.climb.share", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        climb(digits, ["sklearn.naive_bayes.GaussianNB"], audit=False, runs_dir=tmp_path)
    assert caught.value.ladder.record.status == "interrupted"
