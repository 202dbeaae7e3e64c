"""Nearest neighbours: the training images themselves are the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from modelzero.data.dataset import Split
from modelzero.errors import check_count
from modelzero.models.fitted import Fitted, to_pixels

# Limits of the memory: images looked up at once, training images compared at once, bytes of either as floats.
_ROWS = 512
_COLUMNS = 8192
_BYTES = 1 << 24
# Candidates that float32 picks beyond the neighbours asked for, before exact distances decide among them.
_SPARE = 3
# Size of the groups of scores, of which only the largest is compared first.
_GROUP = 32
# Votes that every class gets before the neighbours vote, so that no probability is 0. Of 0.01 to 1 it gives the
# least loss on the last 10,000 training images of Fashion-MNIST, for each k from 3 to 10.
_SMOOTHING = 0.03


class NearestNeighbours(Fitted):
    """Let the k nearest training images vote, by Euclidean distance; of classes with equal votes the first wins.

    Exact: float32 matrix products choose a few extra candidates, and distances among these are computed in whole
    numbers; of images at the same distance the earlier one counts as nearer. The logits are the logarithms
    of the smoothed shares of votes.

    >>> model = NearestNeighbours((1, 1, 1), classes=2, neighbours=3)
    >>> model.fit(Split(torch.tensor([0, 1, 2, 200]).byte().view(4, 1, 1, 1), torch.tensor([0, 1, 1, 0])), seed=0)
    >>> model(torch.tensor([[[[0.0]]]])).exp()
    tensor([[0.3366, 0.6634]])

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
        neighbours: k; where there are fewer training images, all of them vote. 7 was the most accurate of 3, 5, 7
            and 10, by no clear margin (benchmarks/recipes_classical.py).
    """

    pictures: Tensor  # uint8 [N, C * H * W]
    labels: Tensor  # int64 [N]
    half_squares: Tensor  # float32 [N], half the squared length of each image

    def __init__(self, image_shape: tuple[int, int, int], classes: int, neighbours: int = 7) -> None:
        super().__init__(image_shape, classes)
        self.neighbours = check_count("neighbours", neighbours)
        self._learned("pictures", "labels", "half_squares")

    def settings(self) -> dict[str, Any]:
        """Return how many neighbours vote."""
        return {"neighbours": self.neighbours}

    def fit(self, split: Split, seed: int) -> None:  # noqa: ARG002 - nothing here is random
        """Keep the training images."""
        self.pictures = split.images.flatten(1).contiguous()
        self.labels = split.labels
        blocks = self.pictures.split(self._columns())
        self.half_squares = torch.cat([block.float().square_().sum(1) / 2 for block in blocks])

    def _logits(self, images: Tensor) -> Tensor:
        return torch.cat([self._vote(rows) for rows in to_pixels(images).split(_ROWS)])

    def _vote(self, rows: Tensor) -> Tensor:
        nearest = self._labels_of_nearest(rows)
        votes = torch.zeros(len(rows), self.classes, device=rows.device)
        votes.scatter_add_(1, nearest, torch.ones_like(nearest, dtype=votes.dtype))
        return ((votes + _SMOOTHING) / (nearest.shape[1] + _SMOOTHING * self.classes)).log()

    def _labels_of_nearest(self, rows: Tensor) -> Tensor:
        """Labels [B, k] of the k nearest images; distances are computed in whole numbers among the candidates."""
        candidates = self._candidates(rows).sort(1).values
        step = max(1, _BYTES // (4 * candidates.shape[1] * rows.shape[1]))
        distances = torch.cat(
            [
                (self.pictures[chosen].int() - some[:, None].int()).square_().sum(2)
                for some, chosen in zip(rows.split(step), candidates.split(step), strict=True)
            ]
        )
        order = distances.argsort(dim=1, stable=True)[:, : self.neighbours]
        return self.labels[candidates.gather(1, order)]

    def _candidates(self, rows: Tensor) -> Tensor:
        """Positions [B, k + spare] of the nearest images b as float32 sees them: a * b - b * b / 2 is largest."""
        count = self.neighbours + _SPARE
        best = torch.empty(len(rows), 0, device=rows.device)
        positions = torch.empty(len(rows), 0, device=rows.device, dtype=torch.int64)
        step = self._columns()
        for start in range(0, len(self.labels), step):
            block = self.pictures[start : start + step].float()
            scores = torch.addmm(self.half_squares[start : start + step], rows, block.T, beta=-1)
            values, columns = _largest(scores, count)
            best = torch.cat([best, values], 1)
            positions = torch.cat([positions, columns + start], 1)
            best, kept = best.topk(min(count, best.shape[1]))
            positions = positions.gather(1, kept)
        return positions

    def _columns(self) -> int:
        return max(1, min(_COLUMNS, _BYTES // (4 * self.pictures.shape[1])))


def _largest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`topk`, at a fraction of its time: the largest scores lie in the groups whose maxima are largest."""
    groups = scores.shape[1] // _GROUP
    if groups <= count:
        return scores.topk(min(count, scores.shape[1]))
    grouped = groups * _GROUP  # column c belongs to group c % groups; what does not fill a group is a candidate anyway
    winners = scores[:, :grouped].unflatten(1, (_GROUP, groups)).amax(1).topk(count).indices
    members = winners[:, None] + groups * torch.arange(_GROUP, device=scores.device)[:, None]
    rest = torch.arange(grouped, scores.shape[1], device=scores.device).expand(len(scores), -1)
    columns = torch.cat([members.flatten(1), rest], 1)
    values, kept = scores.gather(1, columns).topk(count)
    return values, columns.gather(1, kept)
