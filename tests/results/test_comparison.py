"""Runs on disk against each other."""

import shutil

import numpy as np
import pytest

import modelzero as mz
from modelzero.results.comparison import methods_of
from modelzero.statistics.comparison import mcnemar


@pytest.fixture(scope="module")
def runs(digits, tmp_path_factory):
    """Trained once: model0 with three seeds, model0 with another rate, knn."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        **{f"seed{seed}": mz.train(digits, "model0", epochs=3, seed=seed, runs_dir=folder) for seed in (1, 2, 3)},
        "slow": mz.train(digits, "model0", epochs=3, seed=1, learning_rate=0.01, runs_dir=folder),
        "knn": mz.train(digits, "knn", runs_dir=folder),
    }


def test_two_runs_are_compared_by_mcnemar(runs):
    """B against A, from the stored predictions, worded as these two models."""
    a, b = runs["seed1"], runs["seed2"]
    result = mz.compare(a, b)
    right_a, right_b = ((run.test_logits.argmax(1) == run.test_labels).numpy() for run in (a, b))
    gained, lost = int((right_b & ~right_a).sum()), int((right_a & ~right_b).sum())
    assert (result.gained, result.lost, result.p) == (gained, lost, mcnemar(gained, lost))
    assert result.difference == pytest.approx(right_b.mean() - right_a.mean())
    assert result.of == "these two trained models"
    assert (result.rung, result.against) == (b.id, a.id)


def test_a_run_equals_itself(runs):
    """p = 1, no image flips, never better or worse."""
    result = mz.compare(runs["knn"], runs["knn"].path)
    assert (result.difference, result.p, result.gained, result.lost) == (0, 1, 0, 0)
    assert result.verdict in ("no different", "cannot tell")


def test_several_seeds_speak_of_methods(runs):
    """Lists of runs are methods; the sign turns with the order."""
    model0 = [runs[f"seed{seed}"] for seed in (1, 2, 3)]
    result, reverse = mz.compare(model0, runs["knn"]), mz.compare(runs["knn"], model0)
    assert (result.rung, result.against, result.of) == ("knn", "model0", "methods")
    assert result.difference == pytest.approx(-reverse.difference)
    assert np.sign([result.low, result.high]).tolist() == [1, 1]


def test_the_same_seed_twice_is_refused(runs, refuses):
    """A copy of a training is not a second observation."""
    with refuses(mz.SettingError, "seeds 1, 1", "each seed once"):
        mz.compare([runs["seed1"], runs["seed1"]], runs["knn"])


def test_runs_are_put_together_by_model_and_recipe(runs):
    """Another rate is another method; if all runs are of one method, each stands for itself."""
    everything = list(runs.values())
    assert [len(method) for method in methods_of(everything)] == [3, 1, 1]
    assert [len(method) for method in methods_of(everything[:3])] == [1, 1, 1]


def test_other_data_is_refused_by_the_field_that_differs(runs, digits, refuses):
    """Name, classes, counts, shape, or only the pixels, which the fingerprint tells."""
    fewer = mz.ImageData(
        "fewer", digits.train, mz.Split(digits.test.images[:100], digits.test.labels[:100]), digits.classes
    )
    with refuses(mz.RunError, "different data", "name digits and fewer", "test_images 360 and 100", "fingerprint"):
        mz.compare(runs["knn"], mz.train(fewer, "knn"))
    images = digits.test.images.clone()
    images[0, 0, 0, 0] += 1
    changed = mz.ImageData("digits", digits.train, mz.Split(images, digits.test.labels), digits.classes)
    with refuses(mz.RunError, "different data (fingerprint "):
        mz.compare(runs["knn"], mz.train(changed, "knn"))


def test_a_run_without_predictions_is_refused(runs, tmp_path, refuses):
    """It says which run lacks what."""
    path = shutil.copytree(runs["knn"].path, tmp_path / "copy")
    (path / "predictions.safetensors").unlink()
    with refuses(mz.RunError, "has no predictions.safetensors"):
        mz.compare(runs["seed1"], path)


def test_an_empty_side_is_refused(runs, refuses):
    """With what is needed."""
    with refuses(mz.RunError, "no run given"):
        mz.compare([], runs["knn"])
