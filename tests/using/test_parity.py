"""Agreement of probabilities: what is allowed, what is not, and with which figures it is refused."""

import math

import numpy as np
import pytest

from modelzero.errors import ExportError
from modelzero.using.parity import BATCH, ask, compare, refuse

OWN = np.array([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7]], np.float32)


def changed(image, values):
    other = OWN.copy()
    other[image] = values
    return other


def test_the_same_agrees():
    """To the bit, and to 1e-5."""
    assert compare(OWN, OWN).holds
    assert compare(OWN, changed(0, [0.600009, 0.299991, 0.1])).holds


@pytest.mark.parametrize(
    ("values", "other_classes", "beyond"),
    [([0.60002, 0.29998, 0.1], 0, 1), ([0.3, 0.6, 0.1], 1, 1), ([math.nan, 0.3, 0.1], 0, 1)],
)
def test_a_difference_is_refused_with_its_figures(values, other_classes, beyond, refuses):
    """A probability beyond 1e-5, another class, and what is no number."""
    parity = compare(OWN, changed(0, values))
    assert (parity.other_classes, parity.beyond) == (other_classes, beyond)
    with refuses(
        ExportError, "of 3 test images", f"{other_classes} get a different class", f"and {beyond} a probability"
    ):
        refuse(parity, "the file")


def test_a_tie_is_no_other_class():
    """Where modelzero gives two classes the same probability to within 1e-5, either may come first; it is counted."""
    parity = compare(OWN, changed(1, [0.499999, 0.500001, 0.0]))
    assert (parity.holds, parity.ties, parity.other_classes) == (True, 1, 0)


@pytest.mark.parametrize("n", [1, 2, BATCH, BATCH + 1, 2 * BATCH + 7])
def test_all_images_are_asked_for_once_in_their_order(n):
    """The first one alone: a file that knows one number of images only is found out."""
    images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    sizes = []

    def double(batch):
        sizes.append(len(batch))
        return np.repeat(batch.reshape(-1, 1).astype(np.float32) * 2, 3, axis=1)

    assert np.array_equal(ask(double, images)[:, 0], images.ravel() * np.float32(2))
    assert (sizes[0], sum(sizes)) == (1, n)


@pytest.mark.parametrize(
    "answer",
    [lambda _: 1 / 0, lambda batch: np.zeros((2, 3), np.float32), lambda batch: np.zeros((len(batch), 3))],
)
def test_files_that_answer_with_something_else(answer, refuses):
    """They fail, answer for another number of images, or in float64."""
    with refuses(ExportError):
        ask(answer, np.zeros((1, 1, 2, 2), np.uint8))
    with refuses(ExportError, "[3, 2]"):
        compare(OWN, OWN[:, :2])
