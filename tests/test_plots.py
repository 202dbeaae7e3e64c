"""Figures of matplotlib: what they show, and what is said where it is not there."""

import sys
from dataclasses import replace

import pytest

import modelzero as mz
from helpers import climb
from modelzero.plots import data_figure


@pytest.fixture(scope="module")
def ladder(digits, tmp_path_factory):
    """A small climb."""
    return climb(digits, ["majority", "softmax"], seeds=2, runs_dir=tmp_path_factory.mktemp("runs"))


def test_a_run_is_drawn_epoch_by_epoch(ladder):
    """The lines go through the figures of the history."""
    run = ladder.runs[-1]
    loss, accuracy = mz.plot(run).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [
        [epoch.train_loss for epoch in run.history],
        [epoch.test_loss for epoch in run.history],
    ]
    assert list(accuracy.lines[1].get_ydata()) == [epoch.test_accuracy for epoch in run.history]


def test_a_model_that_is_fitted_in_one_go_is_drawn_too(ladder):
    """It has no training loss: one line less."""
    assert len(mz.plot(ladder.runs[0]).axes[0].lines) == 1


def test_a_ladder_is_drawn_with_its_intervals(ladder):
    """A mark for each rung at its accuracy, on a logarithmic scale of time."""
    (axes,) = mz.plot(ladder).axes
    assert axes.get_xscale() == "log"
    marks = [container.lines[0].get_ydata()[0] for container in axes.containers]
    assert marks == [100 * rung.accuracy for rung in ladder.rungs]
    assert [text.get_text() for text in axes.texts] == ["majority", "softmax"]


def test_a_ladder_without_a_finished_run_is_not_drawn(ladder, refuses):
    """That is said, and not by matplotlib."""
    with refuses(mz.RunError, "no run of", "is finished"):
        mz.plot(mz.Ladder(ladder.path, ladder.record, []))


def test_images_are_drawn_class_by_class(digits):
    """The first images of each class, as they are."""
    (axes,) = data_figure(digits, columns=2, most_rows=3).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1", "2"]
    second = digits.train.images[digits.train.labels == 1][1, 0]
    drawn = axes.images[0].get_array()
    assert drawn.shape == (26, 17, 3)
    assert (drawn[9:17, 9:17, 0] == second.numpy()).all()


def test_a_name_is_no_formula(digits, tmp_path):
    """Dollars and backslashes of a name are drawn, not typeset."""
    classes = (r"$\frac{1}$", "$x^2$", *map(str, range(8)))
    data = mz.ImageData("$a$", digits.train, digits.test, classes)
    mz.plot(data).savefig(tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000


def test_notebooks_show_a_figure_once(ladder):
    """It shows itself as a PNG, and pyplot knows nothing of it."""
    assert mz.plot(ladder.runs[0])._repr_png_()[1:4] == b"PNG"
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_without_matplotlib_the_extra_is_named(ladder, digits, monkeypatch, refuses):
    """One line that says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for drawn in (ladder, ladder.runs[0], digits):
        with refuses(mz.SettingError, "pip install 'modelzero[plot]'"):
            mz.plot(drawn)


def test_runs_and_ladders_show_themselves(ladder, digits, tmp_path):
    """In a notebook: what it is, the figures of each epoch, and names as text."""
    run = ladder.runs[-1]
    shown = run._repr_html_()
    assert shown.count("<tr>") == 1 + 12
    assert f"the first {len(run.history) - 12} epochs are in run.history" in shown
    assert f"{100 * run.history[-1].test_accuracy:.2f} %" in shown
    assert "softmax" in ladder._repr_html_()
    data = mz.ImageData("<b>\u202e", digits.train, digits.test, digits.classes)
    assert "&lt;b&gt;\\u202e" in mz.train(data, "majority", runs_dir=tmp_path)._repr_html_()


def test_a_run_without_an_epoch_is_an_empty_figure(ladder):
    """One that was interrupted at once has nothing to draw, and nothing to name in a legend."""
    run = mz.Run(ladder.runs[0].path, replace(ladder.runs[0].record, history=()))
    assert [len(axes.lines) for axes in mz.plot(run).axes] == [0, 0]
