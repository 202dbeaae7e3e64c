"""Standardised inputs: against numpy, in both engines, in what is stored, predicted and exported."""

import numpy as np
import pytest
import torch
from torch import nn

import modelzero as mz
from modelzero.data.dataset import ImageData, Split
from modelzero.models.perceptron import mlp
from modelzero.models.recipe import Recipe
from modelzero.models.rungs import rung_named
from modelzero.models.standardise import Standardise, channel_figures, input_power, standardised


@pytest.fixture(scope="module")
def coloured():
    """Images of three channels of unlike brightness and contrast, in three classes that differ a little."""
    random = np.random.default_rng(0)
    labels = random.integers(3, size=900)
    means, spreads = np.array([40, 120, 220]), np.array([5, 60, 20])
    pixels = means[:, None, None] + spreads[:, None, None] * random.normal(size=(900, 3, 5, 6))
    pixels[:, :, 2] += 0.7 * spreads[:, None] * (labels[:, None, None] - 1)
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    targets = torch.from_numpy(labels)
    return ImageData("coloured", Split(images[:600], targets[:600]), Split(images[600:], targets[600:]), tuple("abc"))


def test_the_figures_are_those_of_numpy(coloured):
    """Over all pixels of each channel; a channel of one colour is not divided by zero."""
    mean, std = channel_figures(coloured.train)
    pixels = coloured.train.images.numpy() / 255
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)), rtol=1e-6)
    black = Split(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    assert Standardise(1)(torch.zeros(1, 1, 2, 2)).isfinite().all()
    assert channel_figures(black)[1] == pytest.approx(1 / 255)


def test_standardised_inputs_have_mean_0_and_deviation_1(coloured):
    """In each channel, over the training split."""
    layer = Standardise(3)
    layer.measure(coloured.train)
    seen = layer(coloured.train.images.float() / 255).transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.std(1, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_layers_keep_their_names():
    """So weights of a model with and without it are stored under the same names."""
    inside = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert {"1.weight", "1.bias"} <= standardised(inside, 1).state_dict().keys()
    assert "model.weight" in standardised(nn.Linear(4, 2), 1).state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 2},
        {
            "epochs": 2,
            "batch_size": 50,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "label_smoothing": 0.1,
        },
    ],
)
def test_kernel_and_torch_agree(coloured, settings):
    """Up to rounding; and the kernel to the bit, on any number of threads."""
    rung = mz.Rung("mine", mlp, learning_rate=0.01, standardise=True, **settings)
    fused, torchs, threads = (
        mz.train(coloured, rung, engine=engine, threads=threads, progress=False)
        for engine, threads in (("fused", 1), ("torch", 1), ("fused", 3))
    )
    torch.testing.assert_close(fused.test_logits, torchs.test_logits, atol=1e-4, rtol=0)
    assert torch.equal(fused.test_logits, threads.test_logits)
    assert fused.history[-1].train_loss == pytest.approx(torchs.history[-1].train_loss, abs=1e-5)
    assert fused.record.derived["standardise"].startswith("by mean and standard deviation")


def test_it_is_a_part_of_what_is_stored_and_predicted(coloured):
    """A run that is read back, replayed or asked for images computes with the figures of the training split."""
    run = mz.train(coloured, mz.Rung("mine", mlp, learning_rate=0.01, standardise=True), progress=False)
    stored = run.tensors("model.safetensors")
    mean, std = channel_figures(coloured.train)
    assert torch.equal(stored["standardise.mean"], mean)
    assert torch.equal(stored["standardise.std"], std)
    assert mz.replay(run.path, coloured, mz.Rung("mine", mlp), progress=False).identical
    assert torch.equal(mz.predict(run, coloured.test.images).argmax(1), run.test_predictions)


def test_the_rate_follows_from_the_inputs(coloured):
    """Up to a sum of squares the recipe's rate, beyond it in proportion less; not where a rate was asked for."""
    rung = mz.Rung("mine", mlp, learning_rate=0.1, standardise=True, full_rate_power=45.0, epochs=1)
    run = mz.train(coloured, rung, progress=False)
    assert run.record.learning_rate == 0.05  # 90 inputs
    assert run.record.derived["learning_rate"].startswith("0.05: 0.1 for images whose inputs have")
    assert mz.train(coloured, rung, learning_rate=0.02, progress=False).record.learning_rate == 0.02
    assert mz.replay(run.path, coloured, rung, progress=False).identical
    expected = np.square(coloured.train.images[::2].numpy() / 255).sum((1, 2, 3)).mean()  # some 256 images
    assert input_power(coloured.train, standardised=False) == pytest.approx(expected)
    assert Recipe(learning_rate=0.1, full_rate_power=expected).rate_for(expected) == 0.1


@pytest.mark.parametrize(("most", "expected"), [(10, True), (1000, False)])
def test_images_decide_whether_they_are_standardised(coloured, tmp_path, most, expected):
    """If the recipe leaves it open: by the power of the inputs, in a training and in a climb."""
    assert 20 < input_power(coloured.train, standardised=False) < 60
    rung = mz.Rung("mine", "model0", epochs=2, standardise=None, full_rate_power=most)
    run = mz.train(coloured, rung, runs_dir=tmp_path, progress=False)
    assert run.record.recipe["standardise"] is expected
    assert [type(layer) for layer in run.model.children()].count(Standardise) == expected
    rate = 0.1 * 10 / 90 if expected else 0.1  # 90 inputs, each with a mean square of 1
    assert run.record.learning_rate == pytest.approx(rate, rel=0.05)
    ladder = mz.climb(coloured, [rung], seeds=1, audit=False, runs_dir=tmp_path)
    assert ladder.runs[0].record.recipe["standardise"] is expected
    assert ladder.record.rungs[0].recipe["standardise"] is None
    assert ladder.runs[0].record.files == run.record.files


def test_the_chapters_images_are_of_the_chapters_kind(fashion_mnist, digits):
    """So that its models keep its recipe there."""
    limit = rung_named("model0").full_rate_power
    assert input_power(fashion_mnist.train, standardised=False) == pytest.approx(165, abs=5)
    assert input_power(fashion_mnist.train, standardised=False) < limit / 2
    assert input_power(digits.train, standardised=False) < limit / 2
