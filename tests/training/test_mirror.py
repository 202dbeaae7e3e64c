"""Whether images may be mirrored."""

import pytest
import torch

import modelzero as mz
from modelzero.data.dataset import Split
from modelzero.training.mirror import may_mirror, mirror_trial


def noise(count, *, bright_left=0):
    """Images without a direction, or with a brighter left half."""
    images = torch.randint(0, 150, (count, 1, 10, 10), generator=torch.Generator().manual_seed(0))
    images[..., :5] += bright_left
    return Split(images.byte(), torch.arange(count) % 2)


def grouped(count, *, groups):
    """Images in groups of the same size."""
    split = noise(count)
    return Split(split.images, split.labels, groups=torch.arange(count) * groups // count)


def test_images_that_all_point_one_way_are_told_from_their_mirror_images():
    """As shoes are."""
    trial = mirror_trial(noise(300, bright_left=60))
    assert trial.told_apart > 0.95
    assert (trial.images, trial.pairs) == (200, 100)
    assert not may_mirror(trial)


def test_images_without_a_direction_are_not():
    """As cats are: half of the answers are right by chance."""
    trial = mirror_trial(noise(300))
    assert 0.35 < trial.told_apart < 0.6
    assert may_mirror(trial)


@pytest.mark.parametrize("split", [noise(1), noise(2), noise(80), grouped(90, groups=1), grouped(9000, groups=3)])
def test_too_few_images_decide_nothing(split):
    """What cannot be shown is not assumed; also where one group fills the trial."""
    trial = mirror_trial(split)
    assert trial.told_apart is None
    assert not may_mirror(trial)


def test_the_decision_does_not_depend_on_what_was_drawn_before():
    """Nor does it change what is drawn afterwards; and it is made once for a split."""
    one, other = noise(150), noise(150)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = mirror_trial(one)
    assert torch.equal(torch.rand(1), expected)
    assert mirror_trial(other).told_apart == first.told_apart
    assert mirror_trial(one) is first


def test_groups_are_not_divided():
    """Frames of one video would be told apart because the same scene was learned."""
    trial = mirror_trial(grouped(240, groups=4))  # a third of the images would end within the second group
    assert (trial.images, trial.pairs) == (120, 120)


def test_the_decision_and_its_figures_are_recorded(digits, tmp_path):
    """In the recipe, as a reason, and as figures; and a stored run has them too."""
    few = mz.load("digits", share=0.3)
    rung = mz.Rung("mine", lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(),
                                                       torch.nn.Linear(144, 10)), epochs=1, flip=None)  # fmt: skip
    run = mz.Run.read(mz.train(few, rung, runs_dir=tmp_path, progress=False).path)
    trial = run.record.mirror_trial
    assert trial.told_apart > 0.6
    assert run.record.recipe["flip"] is False
    assert run.record.derived["flip"].startswith("no: a small network tells images from their mirror images in")
    assert trial.pairs == pytest.approx(len(few.train) / 3, abs=1)
