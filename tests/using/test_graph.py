"""The fitted models without loops compute what the models themselves compute, ties included."""

import pytest
import torch

import modelzero as mz
from modelzero.models.forest import Forest
from modelzero.models.graphs import NeighboursGraph, exportable
from modelzero.models.linear import model0
from modelzero.models.neighbours import NearestNeighbours
from modelzero.models.trivial import Centroid, Majority
from modelzero.using.graph import Graph


def _split(n, shape, classes, levels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, levels, (n, *shape), generator=generator).mul(255 // (levels - 1)).byte()
    return mz.Split(images, torch.randint(0, classes, (n,), generator=generator))


@pytest.mark.parametrize("make", [Majority, Centroid, NearestNeighbours, Forest])
def test_the_same_without_loops(make):
    """Classes and probabilities, where one class has no training image."""
    model = make((1, 3, 3), 4)
    model.fit(_split(400, (1, 3, 3), 3, 256), seed=0)
    images = _split(300, (1, 3, 3), 3, 256, seed=1).images
    expected = (model(images.float() / 255) / 1.7).softmax(1)
    found = Graph(exportable(model), 1.7)(images)
    assert torch.equal(found.argmax(1), expected.argmax(1))
    assert (found - expected).abs().max() < 2e-6


def test_of_images_at_one_distance_the_earlier_is_nearer():
    """Against a plain stable sort; with two grey levels dozens of images are equally far."""
    split = _split(400, (1, 3, 3), 3, 2)
    model = NearestNeighbours((1, 3, 3), 3, neighbours=5)
    model.fit(split, seed=0)
    images = _split(300, (1, 3, 3), 3, 2, seed=1).images
    far = (images.flatten(1)[:, None].long() - split.images.flatten(1).long()).square().sum(2)
    nearest = split.labels[far.sort(dim=1, stable=True).indices[:, :5]]
    votes = torch.nn.functional.one_hot(nearest, 3).sum(1)
    found = Graph(exportable(model), 1.0)(images)
    assert torch.equal(found.argmax(1), votes.argmax(1))
    assert (found - (votes + 0.03) / 5.09).abs().max() < 1e-6


def test_fewer_images_than_neighbours():
    """All of them vote."""
    model = NearestNeighbours((1, 2, 2), 2)
    model.fit(_split(3, (1, 2, 2), 2, 256), seed=0)
    images = _split(20, (1, 2, 2), 2, 256, seed=1).images
    assert torch.allclose(Graph(exportable(model), 1.0)(images), model(images.float() / 255).softmax(1))


def test_the_model_stays_as_it_is():
    """It may be trained on, and lies in memory as before."""
    model = model0((1, 8, 8), 10)
    before = [parameter.clone() for parameter in model.parameters()]
    Graph(exportable(model), 2.0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(map(torch.equal, model.parameters(), before))


def test_large_logits_lose_no_digits():
    """Distances as logits are in the hundreds of thousands; what counts are their differences."""
    logits = torch.tensor([[-4e5, -4e5 + 1.0]], dtype=torch.float64)

    class Far(torch.nn.Module):
        def forward(self, _):
            return logits.float()

    found = Graph(exportable(Far()), 3.0)(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))
    assert (found - (logits / 3).softmax(1)).abs().max() < 1e-7
    assert ((logits.float() / 3).softmax(1) - (logits / 3).softmax(1)).abs().max() > 1e-4  # the plain way


def test_too_many_images_to_be_exact(refuses):
    """Scores above 2 ** 53 would make neighbours change places."""
    model = NearestNeighbours((3, 1000, 1000), 2)
    model.pictures = torch.zeros(1, dtype=torch.uint8).expand(30_000, 3_000_000)
    model.labels = torch.zeros(30_000, dtype=torch.int64)
    model.half_squares = torch.zeros(30_000)
    with refuses(mz.ModelError, "30,000 training images"):
        NeighboursGraph(model)
