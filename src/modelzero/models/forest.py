"""A forest of extremely randomised trees, grown by scikit-learn and kept as tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelzero.data.dataset import Split
from modelzero.errors import ModelError, check_count
from modelzero.models.fitted import Fitted, to_pixels

# Limit for the least memory that scikit-learn's trees take: each node holds a number for each class.
_MOST_BYTES = 8 << 30


class Forest(Fitted):
    """Let trees vote that test one pixel at a time: scikit-learn's `ExtraTreesClassifier`, on pixels 0 to 255.

    The logits are the logarithms of its probabilities, each at least half a tree's vote.

    >>> model = Forest((1, 1, 1), classes=2, trees=10)
    >>> model.fit(Split(torch.tensor([0, 20, 200, 220]).byte().view(4, 1, 1, 1), torch.tensor([0, 0, 1, 1])), seed=0)
    >>> model(torch.tensor([[[[0.0]]], [[[1.0]]]])).argmax(1)
    tensor([0, 1])

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
        trees: number of trees; 50 take about 15 s on a core for the 60,000 images of Fashion-MNIST, and fewer that try
            more pixels were no better (benchmarks/recipes_classical.py).
        min_samples_leaf: minimum number of training images in a leaf.
        max_features: pixels tried at each node, at most all; if None the square root of their number, rounded down.

    Raises:
        ModelError: for so many classes the trees would take more than 8 GiB, even with few images.
    """

    random = True

    # Of each node of all trees, one after the other. The left child comes right after its parent.
    pixel: Tensor  # int16 or int32 [nodes], which pixel is tested
    bound: Tensor  # uint8 [nodes], a value below goes to the left; 0 in a leaf: none is below
    right: Tensor  # int32 [nodes], the right child; in a leaf -1 - (its row of `shares`)
    roots: Tensor  # int32 [trees]
    shares: Tensor  # float64 [different leaves, classes], each combination of class shares that a leaf has

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int,
        trees: int = 50,
        min_samples_leaf: int = 1,
        max_features: int | None = None,
    ) -> None:
        super().__init__(image_shape, classes)
        self.trees = check_count("trees", trees)
        self.min_samples_leaf = check_count("min_samples_leaf", min_samples_leaf)
        # Trees with a leaf for each class have about two nodes for each; of float64.
        needed = 16 * classes**2 * self.trees // self.min_samples_leaf
        if needed > _MOST_BYTES:
            raise ModelError(
                f"a forest of {self.trees} trees takes at least {needed / 1e9:.0f} GB for {classes:,} classes: "
                f"expected at most {math.isqrt(_MOST_BYTES * self.min_samples_leaf // (16 * self.trees)):,} classes; "
                "use another model"
            )
        numbers = math.prod(image_shape)
        chosen = math.isqrt(numbers) if max_features is None else check_count("max_features", max_features)
        self.max_features = min(chosen, numbers)
        self._learned("pixel", "bound", "right", "roots", "shares")

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide how the trees grow."""
        return {
            "trees": self.trees,
            "min_samples_leaf": self.min_samples_leaf,
            "max_features": self.max_features,
        }

    def fit(self, split: Split, seed: int) -> None:
        """Grow the trees on one core."""
        from sklearn.ensemble import ExtraTreesClassifier  # imported here, as it takes a second

        pixels = split.images.cpu().flatten(1).numpy()
        forest = ExtraTreesClassifier(
            self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            random_state=seed % 2**32,
        )
        # The type and layout that the trees work on: scikit-learn makes no second copy.
        forest.fit(pixels.astype(np.float32), split.labels.cpu().numpy())
        self._keep([tree.tree_ for tree in forest.estimators_], forest.classes_)

    def _keep(self, trees: list[Any], known: np.ndarray[Any, Any]) -> None:
        """Copy scikit-learn's trees. Leaves share few combinations of shares, so each is stored only once."""
        sizes = [tree.node_count for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]])
        right = np.concatenate([tree.children_right + root for tree, root in zip(trees, roots, strict=True)])
        left = np.concatenate([tree.children_left + root for tree, root in zip(trees, roots, strict=True)])
        leaf = np.concatenate([tree.children_left < 0 for tree in trees])
        assert (left[~leaf] == np.flatnonzero(~leaf) + 1).all(), "scikit-learn numbers nodes in another order"
        pixel = np.where(leaf, 0, np.concatenate([tree.feature for tree in trees]))
        # A whole number is at most a threshold where it is below the next whole number.
        bound = np.where(leaf, 0, np.floor(np.concatenate([tree.threshold for tree in trees])) + 1)
        values = np.concatenate([tree.value[tree.children_left < 0, 0] for tree in trees])
        combinations, row = np.unique(values, axis=0, return_inverse=True)
        right[leaf] = -1 - row.ravel()
        shares = np.zeros((len(combinations), self.classes))
        shares[:, known] = combinations
        small = pixel.max() <= np.iinfo(np.int16).max
        self.pixel = torch.from_numpy(pixel.astype(np.int16 if small else np.int32))
        self.bound = torch.from_numpy(bound.astype(np.uint8))
        self.right = torch.from_numpy(right.astype(np.int32))
        self.roots = torch.from_numpy(roots.astype(np.int32))
        self.shares = torch.from_numpy(shares)

    def probabilities(self, images: Tensor) -> Tensor:
        """Return scikit-learn's `predict_proba`, float64 [B, classes], to the bit: trees are added in its order."""
        rows = self._leaves(to_pixels(images).to(torch.uint8))
        total = torch.zeros(len(images), self.classes, dtype=torch.float64, device=images.device)
        for row in rows.T:
            total += self.shares[row]
        return total / len(self.roots)

    def _logits(self, images: Tensor) -> Tensor:
        # One class has at least 1 / classes, so the floor ties no other with it.
        floor = 0.5 / max(len(self.roots), self.classes)
        return self.probabilities(images).clamp(min=floor).log().float()

    def _leaves(self, pixels: Tensor) -> Tensor:
        """Walk down all trees at once; return the rows of `shares`, int64 [B, trees]."""
        rows = torch.empty(len(pixels) * len(self.roots), dtype=torch.int64, device=pixels.device)
        walks = torch.arange(len(rows), device=pixels.device)  # those that have not reached a leaf
        image = walks // len(self.roots) * pixels.shape[1]  # where its pixels begin
        node = self.roots.repeat(len(pixels)).long()
        flat = pixels.flatten()
        while len(walks):
            below = flat[image + self.pixel[node]] < self.bound[node]
            node = torch.where(below, node + 1, self.right[node])
            ended = node < 0
            rows[walks[ended]] = -1 - node[ended]
            walks, image, node = walks[~ended], image[~ended], node[~ended]
        return rows.view(len(pixels), -1)
