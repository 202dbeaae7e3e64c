"""Each setting of loading is declared once; signatures, commands, records and "how to repeat" follow from it."""

import inspect
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

import modelzero as mz
from modelzero.cli import app
from modelzero.climbing.options import ClimbOptions
from modelzero.data.options import LoadOptions, Origin, flag_of
from modelzero.training.options import TrainOptions

EVERY = {
    "format": "folder", "size": (8, 12), "fit": "crop", "test_share": 0.3, "seed": 5, "group": "(.)", "share": 0.5,
    "allow_unreadable": True, "data_dir": "/somewhere",
}  # fmt: skip


def test_this_file_knows_every_setting():
    assert set(EVERY) == {each.name for each in fields(LoadOptions)}


@pytest.mark.parametrize(
    ("function", "options"), [(mz.load, LoadOptions), (mz.train, TrainOptions), (mz.climb, ClimbOptions)]
)
def test_the_function_has_their_defaults(function, options):
    """Every field is a keyword of the public function, with the same default."""
    keywords = inspect.signature(function).parameters
    for each in fields(options):
        assert keywords[each.name].default == each.default, each.name


@pytest.mark.parametrize(
    ("command", "options"),
    [("data", [LoadOptions]), ("train", [LoadOptions, TrainOptions]), ("climb", [LoadOptions, ClimbOptions])],
)
def test_the_command_has_an_option_for_each(command, options):
    """With the same default and a line of help."""
    known = {flag: each for each in get_command(app).commands[command].params for flag in each.opts}
    for each in (field for kind in options for field in fields(kind) if field.metadata):  # the others are code
        option = known[flag_of(each).partition("/")[0]]
        assert option.default == each.default, each.name
        assert option.help == each.metadata["help"]


def test_a_record_gives_back_what_was_asked():
    """Through JSON, in the order of fields that records always had."""
    options = LoadOptions(**EVERY)
    origin = Origin.of("digits", options)
    stored = origin.as_dict()
    assert list(stored) == [
        "source", "data_dir", "size", "format", "fit", "test_share", "seed", "group", "share", "allow_unreadable"
    ]  # fmt: skip
    assert Origin.from_dict(stored) == origin
    newer = {**stored, "weather": "fine"}
    assert Origin.from_dict(newer).as_dict() == newer


def test_numbers_of_other_kinds_become_plain_ones():
    """So that a record of them can be written."""
    options = LoadOptions(test_share=Fraction(1, 4), seed=np.int64(3), share=np.float32(0.5))
    assert [type(each) for each in (options.test_share, options.seed, options.share)] == [float, int, float]


def test_paths_are_kept_in_full(monkeypatch, tmp_path):
    """So that a record is of use from any other folder."""
    monkeypatch.chdir(tmp_path)
    origin = Origin.of("mine", LoadOptions(data_dir="sets"), is_name=False)
    assert (origin.source, origin.options.data_dir) == (str(tmp_path / "mine"), str(tmp_path / "sets"))


def test_words_of_a_command_line_give_the_same_options():
    """What "how to repeat" prints, read by the command again."""
    words = LoadOptions(**EVERY).words()
    command = get_command(app).commands["data"]
    context = command.make_context("data", ["digits", *words])
    assert context.params["split_seed"] == 5
    assert (context.params["size"], context.params["data_dir"]) == ("8x12", Path("/somewhere"))
    assert LoadOptions().words() == []


def test_what_is_given_is_what_differs_from_the_default():
    assert set(LoadOptions(**EVERY).given()) == set(EVERY)
    assert LoadOptions(fit="crop", seed=1).given("seed", "size") == ["seed"]
