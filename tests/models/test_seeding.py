"""The global generators are seeded for a while, and put back."""

import random

import numpy as np
import pytest
import torch

from modelzero.models.build import build
from modelzero.models.seeding import seeded


def draws():
    return np.random.rand(), random.random(), torch.rand(1).item()  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, 42, 2**32, 2**63 - 1])
def test_the_same_seed_gives_the_same_draws_and_nothing_else_notices(seed):
    """All three generators; any seed that modelzero takes."""
    np.random.seed(1), random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = draws()
    np.random.seed(1), random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    with seeded(seed):
        first = draws()
    with seeded(seed):
        assert draws() == first
    assert draws() == expected != first


def test_they_are_put_back_after_an_error():
    """As if nothing had been drawn."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with pytest.raises(ZeroDivisionError), seeded(3):
        raise ZeroDivisionError
    assert random.random() == expected


def test_a_factory_that_draws_from_any_of_them_follows_from_the_seed():
    """Also a classifier that settles something when it is made."""

    class Drawn:
        def __init__(self):
            self.drawn = draws()

        def fit(self, rows, labels):
            pass

        def predict(self, rows):
            pass

    first, again, other = (build(Drawn, (1, 8, 8), 10, seed=seed).drawn for seed in (1, 1, 2))
    assert first == again
    assert all(one != another for one, another in zip(first, other, strict=True))
