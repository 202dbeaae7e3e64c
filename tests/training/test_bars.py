"""Progress bars: where they show, and that they never mix with the output."""

import re
import sys
import types

import pytest

from modelzero.runs.record import Epoch
from modelzero.training import bars
from modelzero.training.bars import Bars

EPOCH = Epoch(1, 0.5, 0.8, 0.8, 0.4, 0.8765, 8765, 0.4, 0.8765, 1.0, 0.1)


def two_epochs(show):
    with Bars("model0", 2, 100, show=show) as shown:
        for number in (1, 2):
            shown.begin_epoch(number)
            for _ in range(4):
                shown.step(25)
            shown.end_epoch(EPOCH)


def test_bars_show_on_standard_error(capsys):
    """Label, epochs and the test accuracy; nothing on standard output, which belongs to the result."""
    two_epochs(show=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"model0: 100%.* 2/2 .*test accuracy 87\.65%", err)


def test_no_bars_when_told_so(capsys):
    """Neither on standard output nor on standard error."""
    two_epochs(show=False)
    assert capsys.readouterr() == ("", "")


def test_no_bars_where_nobody_looks(capsys):
    """Without being told, there are none in a file or pipe."""
    two_epochs(show=None)
    assert capsys.readouterr() == ("", "")


def test_bars_in_a_terminal(capsys, monkeypatch):
    """Without being told, they show in a terminal."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    two_epochs(show=None)
    assert "model0" in capsys.readouterr().err


def test_bars_in_a_notebook(capsys, monkeypatch):
    """A notebook is no terminal, but somebody looks."""
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    two_epochs(show=None)
    assert "model0" in capsys.readouterr().err


def test_no_bars_in_a_notebook_when_told_so(capsys, monkeypatch):
    """Being told counts more."""
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    two_epochs(show=False)
    assert capsys.readouterr() == ("", "")


def test_short_epoch_has_no_bar_of_its_own(capsys):
    """What is over at once does not flicker."""
    two_epochs(show=True)
    assert "epoch 1" not in capsys.readouterr().err


def test_long_epoch_has_a_bar_of_its_own(capsys, monkeypatch):
    """An epoch that takes longer than a moment says how far it is."""
    monkeypatch.setattr(bars, "_LONG_EPOCH_SECONDS", 0)
    two_epochs(show=True)
    err = capsys.readouterr().err
    assert "epoch 1" in err
    assert "epoch 2" in err


@pytest.mark.parametrize("moment", ["before", "within"])
def test_bars_are_closed_after_an_error(monkeypatch, moment):
    """Whatever stops the training, no bar stays open."""
    opened = []

    def opening(tqdm=bars.tqdm, **settings):
        opened.append(tqdm(**settings))
        return opened[-1]

    def stopped():
        with Bars("model0", 2, 100, show=True) as shown:
            if moment == "within":
                shown.begin_epoch(1)
                shown.step(25)
            raise KeyboardInterrupt

    monkeypatch.setattr(bars, "tqdm", opening)
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [bar.disable for bar in opened] == [True] * (1 if moment == "before" else 2)  # as tqdm marks closed ones
