"""Fitted models as graphs of torch operations, for exporters.

Fitted models search with loops whose length depends on the images. The graphs here compute the same without such loops,
so that torch can export them.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from modelzero.errors import ModelError
from modelzero.models import neighbours
from modelzero.models.fitted import Fitted, to_pixels
from modelzero.models.forest import Forest
from modelzero.models.neighbours import NearestNeighbours
from modelzero.models.trivial import Centroid, Majority

# float64 holds all whole numbers up to this.
_MOST_WHOLE = 2**53
# The logit of a class that never wins; see `Centroid`.
_NEVER = -1e30


def exportable(model: nn.Module) -> nn.Module:
    """Return a copy of a trained model that torch can export, on the CPU and in evaluation mode.

    >>> exportable(nn.Linear(2, 2)).weight.requires_grad
    False

    Raises:
        ModelError: the fitted model cannot be written as a graph.
    """
    model = copy.deepcopy(model).cpu()
    for tensor in (*model.parameters(), *model.buffers()):
        # Channels-last only speeds up torch: files have one order, and no gradients.
        tensor.data = tensor.data.contiguous()
        tensor.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    for kind, make in _FITTED.items():
        if isinstance(model, kind):
            return make(model).eval()  # type: ignore[no-any-return]
    if isinstance(model, Fitted):
        raise ModelError(f"a {type(model).__name__} cannot be exported: it has no graph of torch operations")
    return model.eval()


class MajorityGraph(nn.Module):
    """What `Majority` computes."""

    log_shares: Tensor

    def __init__(self, model: Majority) -> None:
        super().__init__()
        self.register_buffer("log_shares", model.log_shares)

    def forward(self, images: Tensor) -> Tensor:
        """Return the same logits for each image."""
        return images.flatten(1)[:, :1] * 0 + self.log_shares


class CentroidGraph(nn.Module):
    """What `Centroid` computes."""

    means: Tensor
    absent: Tensor

    def __init__(self, model: Centroid) -> None:
        super().__init__()
        self.register_buffer("means", model.means)
        self.register_buffer("absent", model.counts == 0)
        self.scale = -0.5 / float(model.variance)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits from the distances to the means."""
        squares = (images.flatten(1)[:, None] - self.means).square().sum(2)
        return (squares * self.scale).masked_fill(self.absent, _NEVER)


class NeighboursGraph(nn.Module):
    """What `NearestNeighbours` computes, in one matrix product of whole numbers in float64, which is exact.

    The position in the training split is part of the score, so that no two scores are equal: of images at the same
    distance the earlier one counts as nearer, for any sorting algorithm.
    """

    pictures: Tensor
    squares: Tensor
    positions: Tensor
    labels: Tensor
    numbers: Tensor

    def __init__(self, model: NearestNeighbours) -> None:
        super().__init__()
        count, pixels = model.pictures.shape
        if (2 * pixels * 255**2 + 1) * count > _MOST_WHOLE:
            raise ModelError(f"{count:,} training images of {pixels:,} numbers are too many for exact distances")
        self.count = count
        self.neighbours = min(model.neighbours, count)
        self.classes = model.classes
        self.register_buffer("pictures", model.pictures)  # as uint8: eight times smaller in the file
        self.register_buffer("squares", (model.half_squares.double() * 2).round())
        for start in range(0, count, 4096):
            block = model.pictures[start : start + 4096].double()
            self.squares[start : start + 4096] = block.square().sum(1)
        self.register_buffer("positions", torch.arange(count, dtype=torch.float64))
        self.register_buffer("labels", model.labels)
        self.register_buffer("numbers", torch.arange(model.classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits from the votes of the nearest training images."""
        products = to_pixels(images).double() @ self.pictures.double().T
        scores = (2 * products - self.squares) * self.count - self.positions
        nearest = self.labels[scores.topk(self.neighbours, 1).indices]
        votes = (nearest[:, :, None] == self.numbers).float().sum(1)
        smoothing = neighbours._SMOOTHING  # noqa: SLF001 - it is that model's, written once
        return ((votes + smoothing) / (self.neighbours + smoothing * self.classes)).log()


class ForestGraph(nn.Module):
    """What `Forest` computes: every tree is walked for as many steps as the deepest has."""

    pixel: Tensor
    bound: Tensor
    left: Tensor
    right: Tensor
    row: Tensor
    roots: Tensor
    shares: Tensor

    def __init__(self, model: Forest) -> None:
        super().__init__()
        own = torch.arange(len(model.right))
        leaf = model.right < 0
        left = torch.where(leaf, own, own + 1)  # a leaf leads to itself
        right = torch.where(leaf, own, model.right.long())
        self.steps = _depth(model.roots.long(), left, right)
        buffers = {
            "pixel": model.pixel.long(), "bound": model.bound.int(), "left": left, "right": right,
            "row": torch.where(leaf, -1 - model.right.long(), 0), "roots": model.roots.long(), "shares": model.shares,
        }  # fmt: skip
        for name, values in buffers.items():
            self.register_buffer(name, values)
        self.least = 0.5 / max(len(model.roots), model.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits from the mean of the trees' shares."""
        pixels = to_pixels(images).int()
        node = self.roots + torch.zeros_like(pixels[:, :1])
        for _ in range(self.steps):
            below = pixels.gather(1, self.pixel[node]) < self.bound[node]
            node = torch.where(below, self.left[node], self.right[node])
        return self.shares[self.row[node]].mean(1).clamp(min=self.least).log().float()


def _depth(roots: Tensor, left: Tensor, right: Tensor) -> int:
    """Count the steps until every walk has reached a leaf."""
    steps, level = 0, roots
    while len(level := level[left[level] != level]):
        level = torch.cat([left[level], right[level]])
        steps += 1
    return steps


_FITTED = {
    Majority: MajorityGraph, Centroid: CentroidGraph, NearestNeighbours: NeighboursGraph, Forest: ForestGraph,
}  # fmt: skip
