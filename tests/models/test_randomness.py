"""Whether another seed gives another model: declared, known, or assumed until it is measured."""

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB

import modelzero as mz
from modelzero.errors import SettingError
from modelzero.models.fitted import Fitted
from modelzero.models.learner import learner_of
from modelzero.models.randomness import randomness_of
from modelzero.models.rungs import as_rung


class Drawn(Fitted):
    """A user's own model that says of itself that it is random."""

    random = True


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("majority", (False, "known")),
        ("forest", (True, "known")),
        ("softmax", (True, "known")),
        (Drawn, (True, "known")),
        (GaussianNB, (True, "assumed")),
        (RandomForestClassifier, (True, "assumed")),
        (mz.Rung("bayes", GaussianNB, random=False), (False, "declared")),
        (mz.Rung("forest", RandomForestClassifier, random=False), (False, "declared")),
        (mz.Rung("drawn", Drawn, random=False), (False, "declared")),
    ],
)
def test_a_rung_overrides_what_is_known_and_that_what_is_assumed(model, expected):
    """A parameter's name decides nothing."""
    rung = as_rung(model)
    assert randomness_of(rung, learner_of(rung, (1, 8, 8), 10)) == expected


def test_random_is_true_false_or_none(refuses):
    """Nothing else, and the message says what was found."""
    with refuses(SettingError, "random 'yes'", "expected True, False or None"):
        mz.Rung("mine", GaussianNB, random="yes")
