"""The kernel takes what it can train exactly, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import modelzero as mz
from modelzero.models.recipe import Recipe
from modelzero.training.fused.stack import what_hinders


def good():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 10))


def hooked():
    model = good()
    model[1].register_forward_hook(lambda *_: None)
    return model


def gradient_hooked():
    model = good()
    model[1].weight.register_hook(lambda gradient: gradient)
    return model


def frozen():
    model = good()
    model[1].weight.requires_grad_(False)
    return model


def shared():
    layer = nn.Linear(64, 64)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)


def replaced():
    model = good()
    model.forward = lambda images: images.flatten(1)
    return model


class Derived(nn.Linear):
    """A layer with a forward pass of its own."""


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: nn.Linear(64, 10), "not an nn.Sequential"),
        (lambda: nn.Sequential(nn.Linear(64, 10)), "begins with nn.Flatten"),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 10)), "Flatten keeps"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout()), "Dropout"),
        (lambda: nn.Sequential(nn.Flatten(), Derived(64, 10)), "Derived"),
        (lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(64, 10)), "does not follow a Linear"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.ReLU()), "does not follow a Linear"),
        (lambda: nn.Sequential(nn.Flatten()), "no Linear"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False)), "without bias"),
        (lambda: good().double(), "not float32"),
        (shared, "share"),
        (frozen, "frozen"),
        (hooked, "hooks"),
        (gradient_hooked, "hooks"),
        (replaced, "replaced forward"),
        (lambda: nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(64, 10))), "Parametrized"),
    ],
)
def test_what_it_cannot_train_is_left_to_torch(make, why):
    assert why in what_hinders(make(), Recipe())


def test_mirrored_pictures_are_left_to_torch():
    assert what_hinders(good(), Recipe()) is None
    assert "mirrors" in what_hinders(good(), Recipe(flip=True))
    assert "moves" in what_hinders(good(), Recipe(shift=0.1))
    assert "reduces" in what_hinders(good(), Recipe(reduced=0.5))


@pytest.mark.parametrize(
    ("settings", "engine"),
    [
        ({}, "fused"),
        ({"engine": "fused"}, "fused"),
        ({"engine": "torch"}, "torch"),
        ({"threads": 1}, "fused"),
        ({"threads": 2}, "fused"),
        ({"device": "cpu"}, "fused"),
    ],
)
def test_the_record_says_which_engine_and_why(digits, tmp_path, settings, engine):
    run = mz.train(digits, "model0", epochs=1, runs_dir=tmp_path, **settings)
    assert run.record.engine == engine
    assert run.record.derived["engine"].startswith(f"{engine}: ")


def test_the_model_that_comes_out_is_the_one_that_was_tested(digits, tmp_path):
    run = mz.train(digits, "mlp", epochs=2, engine="fused", runs_dir=tmp_path)
    with torch.inference_mode():
        logits = mz.Run.read(run.path).model(digits.test.images.float() / 255)
    assert torch.allclose(logits, run.test_logits, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("model0", {"engine": "jax"}, "engine 'jax': expected one of auto, torch, fused"),
        ("tinyvgg", {"engine": "fused"}, "cannot train this: it has a Conv2d|begins with nn.Flatten"),
        ("model0", {"engine": "fused", "device": "cuda"}, "on the CPU, not on cuda"),
        ("knn", {"engine": "fused"}, "engine given: knn is fitted in one go"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(digits, tmp_path, model, settings, message):
    with pytest.raises(mz.SettingError, match=message):
        mz.train(digits, model, runs_dir=tmp_path, **settings)
    assert not list(tmp_path.iterdir())
