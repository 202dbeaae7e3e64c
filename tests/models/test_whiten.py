"""Whitened patches: against scikit-learn, on any number of threads, and on images without contrast."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn.functional import unfold

import modelzero as mz
from modelzero.data.dataset import Split
from modelzero.models.whiten import Whiten, patch_figures
from modelzero.training.device import PeakMemory, use_threads


@pytest.fixture(scope="module")
def photos():
    """Smooth coloured noise, whose neighbouring pixels are alike, as a split."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(300, 3, 12, 10)) + 2 * random.normal(size=(300, 1, 12, 10))
    smooth = noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 3)
    images = torch.from_numpy((128 + 20 * smooth).clip(0, 255).astype(np.uint8))
    return Split(images, torch.zeros(300, dtype=torch.int64))


@pytest.mark.parametrize(("side", "stride"), [(2, 1), (3, 2)])
def test_the_features_are_those_of_scikit_learn(photos, side, stride):
    """The strongest whitened principal components, up to their sign, and the same with the other sign."""
    layer = Whiten(3, side, stride)
    layer.measure(photos)
    floats = photos.images / 255
    patches = unfold(floats.double(), side, stride=stride).transpose(1, 2).flatten(0, 1).numpy()
    expected = PCA(12, whiten=True).fit_transform(patches)
    features = layer(floats).permute(0, 2, 3, 1).flatten(0, 2)
    assert features.shape == (len(expected), 24)
    torch.testing.assert_close(features[:, :12].abs(), torch.from_numpy(expected).float().abs(), atol=0.02, rtol=0.02)
    torch.testing.assert_close(features[:, 12:], -features[:, :12])


def test_the_figures_are_those_of_numpy(photos):
    """Mean and covariance of all patches, here of one pixel."""
    mean, covariance = patch_figures(photos.images, 1)
    pixels = photos.images.numpy().transpose(1, 0, 2, 3).reshape(3, -1) / 255
    np.testing.assert_allclose(mean, pixels.mean(1))
    np.testing.assert_allclose(covariance, np.cov(pixels, bias=True))


def test_the_filters_do_not_depend_on_threads(photos):
    """They are weights of the model, which a replay compares to the bit."""
    made = []
    for threads in (1, 2):
        with use_threads(threads):
            made.append(Whiten(3))
            made[-1].measure(photos)
    assert made[0].weight.equal(made[1].weight)
    assert made[0].bias.equal(made[1].bias)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_without_contrast_give_finite_features(channels):
    """Black images, and coloured ones that are grey."""
    grey = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(4, channels, 1, 1)
    for images in (torch.zeros_like(grey), grey):
        layer = Whiten(channels)
        layer.measure(Split(images, torch.zeros(4, dtype=torch.int64)))
        assert layer(images / 255).isfinite().all()
        assert layer(images / 255).abs().max() < 1e3


def test_large_images_do_not_fill_the_memory():
    """Only patches that the layer sees are counted: all of them would take 1.7 GB for each image here."""
    layer = Whiten(3, 17, 16)
    photos = Split(torch.randint(256, (4, 3, 512, 512), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    before = PeakMemory()
    held = before.bytes()
    layer.measure(photos)
    assert layer(photos.images[:1] / 255).isfinite().all()
    assert held is None or before.bytes() - held < 2**30


def test_a_stored_model_has_its_filters(digits):
    """They are part of the weights, so that predictions after reading are the stored ones."""
    run = mz.train(digits, "resnet", epochs=1, threads=1, progress=False)
    assert not run.model[0].weight.equal(Whiten(1).weight)
    torch.testing.assert_close(mz.Run.read(run.path).model(digits.test.images / 255), run.test_logits)
