"""How test splits and shares are drawn: by class, by group, by seed, nested; and what is refused."""

import numpy as np
import pytest

from modelzero import DataError, SettingError
from modelzero.data.options import LoadOptions
from modelzero.data.splits import (
    check_both_splits,
    check_divisible,
    class_order,
    draw_share,
    draw_test,
    draw_test_groups,
    groups_by_pattern,
)


def labels_of(*counts, seed=0):
    """Shuffled labels with so many of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_each_class_gives_its_share(share):
    """Rounded, half up; at least one image of each class on each side, however few it has."""
    counts = [100, 37, 10, 3, 2]
    labels = labels_of(*counts)
    test = draw_test(labels, test_share=share, seed=1)
    for label, count in enumerate(counts):
        drawn = int(test[labels == label].sum())
        assert 1 <= drawn <= count - 1
        assert abs(drawn - count * share) <= 0.5 or drawn in (1, count - 1)


def test_draw_follows_labels_and_seed_only():
    """The same labels and seed give the same draw; another seed another one; numpy's state plays no part."""
    labels = labels_of(50, 50)
    np.random.seed(1)  # noqa: NPY002
    one = draw_test(labels, test_share=0.2, seed=3)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(one, draw_test(labels.copy(), test_share=0.2, seed=3))
    assert not np.array_equal(one, draw_test(labels, test_share=0.2, seed=4))


def test_draw_is_the_recorded_one():
    """A record that says seed 0 means these images, with every version of numpy."""
    labels = np.arange(20) % 2
    assert np.flatnonzero(draw_test(labels, test_share=0.3, seed=0)).tolist() == [3, 5, 8, 9, 10, 14]
    assert draw_share(labels, share=0.2, seed=0).tolist() == [0, 7, 8, 19]


def test_a_class_more_leaves_the_others_as_they_are():
    """What is drawn of a class does not depend on the images of others."""
    labels = np.arange(40) % 4
    more = np.concatenate([labels, np.full(10, 4)])
    assert np.array_equal(
        draw_test(labels, test_share=0.25, seed=5), draw_test(more, test_share=0.25, seed=5)[: len(labels)]
    )


def test_drawn_images_are_spread_over_the_class():
    """Each image is drawn about as often as any other over many seeds: no head of the class is preferred."""
    labels = np.zeros(20, np.int64)
    drawn = sum(draw_test(labels, test_share=0.25, seed=seed).astype(int) for seed in range(400))
    assert drawn.min() > 60
    assert drawn.max() < 140


def test_shares_are_nested():
    """Every smaller share lies within every larger one, holds each class, and the whole is the whole."""
    labels = labels_of(200, 31, 4, 1)
    before: set[int] = set()
    for share in (0.001, 0.01, 0.1, 0.2, 0.5, 0.9, 1.0):
        places = draw_share(labels, share=share, seed=7)
        assert np.all(np.diff(places) > 0)
        assert before <= set(places.tolist())
        assert set(labels[places]) == {0, 1, 2, 3}
        before = set(places.tolist())
    assert len(before) == len(labels)


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_never_divided(seed):
    """No group lies on both sides, each class lies on both, and the shares come near to what was asked for."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(120), rng.integers(1, 30, 120))
    labels = rng.integers(0, 4, len(groups))
    test = draw_test_groups(labels, [f"patient {group}" for group in groups], test_share=0.2, seed=seed)
    assert not set(groups[test]) & set(groups[~test])
    for label in range(4):
        assert abs(test[labels == label].mean() - 0.2) < 0.03


def test_group_names_play_no_part():
    """Groups that are called otherwise are drawn alike."""
    groups = [k // 3 for k in range(60)]
    labels = np.arange(60) % 2
    one, other = (
        draw_test_groups(labels, [word + str(group * sign) for group in groups], test_share=0.3, seed=1)
        for word, sign in (("a", 1), ("z", -1))
    )
    assert np.array_equal(one, other)


def test_classes_that_share_no_group():
    """Videos of one class each: every class still gets whole videos on both sides."""
    groups = [f"video {k // 10}" for k in range(200)]
    labels = np.arange(200) // 100
    test = draw_test_groups(labels, groups, test_share=0.2, seed=0)
    assert [int(test[labels == label].sum()) for label in (0, 1)] == [20, 20]


def test_many_groups_are_drawn_in_no_time():
    """Fifty thousand groups are a few passes, not a search over pairs."""
    groups = [str(k // 2) for k in range(20_000)]
    labels = np.arange(20_000) % 100
    test = draw_test_groups(labels, groups, test_share=0.2, seed=0)
    assert abs(test.mean() - 0.2) < 0.01


def test_pattern_finds_the_group():
    """The first parentheses, or the whole match."""
    names = ["a/p12_1.png", "a/p12_2.png", "b/p7_1.png"]
    assert groups_by_pattern(names, r"p(\d+)_") == ["12", "12", "7"]
    assert groups_by_pattern(names, r"p\d+") == ["p12", "p12", "p7"]


@pytest.mark.parametrize(
    ("pattern", "kind", "words"),
    [("(", SettingError, ["neither a column nor a pattern"]),
     ("patinet", DataError, ["'patinet'", "not a column", "a/1.png"]),
     ("(x)?a", DataError, ["a/1.png"])],
)  # fmt: skip
def test_pattern_that_cannot_be_used(refuses, pattern, kind, words):
    """A slip in a column's name ends as a pattern that finds nothing, and both are said."""
    with refuses(kind, *words):
        groups_by_pattern(["a/1.png"], pattern)


def test_missing_classes_are_named(refuses):
    """Which side lacks which classes is said, however they are called."""
    classes = ["cat", "<b>", "\udcff" * 50, "x" * 300, "fine"]
    train, test = np.array([0, 1, 2, 3, 4]), np.array([4])
    with refuses(DataError, "4 of 5 classes have no test image: 'cat', '<b>'", "and 1 more") as caught:
        check_both_splits(classes, train, test)
    str(caught.value).encode()  # shown on any terminal
    with refuses(DataError, "1 of 1 classes has no training image: 'cat'"):
        check_both_splits(["cat", "dog"], np.array([], np.int64), np.array([0]))
    check_both_splits(["cat", "dog"], np.array([0]), np.array([0]))  # what has no image at all is on no side


def test_classes_that_cannot_be_divided(refuses):
    """One image, or images of one group, cannot lie on both sides."""
    with refuses(DataError, "1 of 2 classes has a single image: 'dog'"):
        check_divisible(["cat", "dog"], np.array([0, 0, 1]), None)
    with refuses(DataError, "1 of 2 classes has images of one group only: 'dog'"):
        check_divisible(["cat", "dog"], np.array([0, 0, 1, 1]), ["a", "b", "b", "b"])


@pytest.mark.parametrize(
    "settings",
    [{"test_share": 0}, {"test_share": 1}, {"test_share": 1.5}, {"test_share": float("nan")}, {"test_share": "0.2"},
     {"test_share": True}, {"share": 0}, {"share": 1.01}, {"share": None}, {"seed": -1}, {"seed": 1.5}, {"group": ""},
     {"group": 3}],
    ids=str,
)  # fmt: skip
def test_settings_outside_their_range(refuses, settings):
    """Refused with what was given, before anything is read."""
    with refuses(SettingError, next(iter(settings)).replace("_", " "), repr(next(iter(settings.values())))):
        LoadOptions(**settings)


def test_class_order():
    """By number where all are whole numbers, else by characters."""
    assert class_order(["10", "2", "0"]) == ("0", "2", "10")
    assert class_order(["10", "02", "b", "A"]) == ("02", "10", "A", "b")
    assert class_order(["9" * 5000, "1"]) == ("1", "9" * 5000)
