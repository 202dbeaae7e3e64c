"""The independent units of a test split: single images, or groups of images that belong together.

Frames of one video or photographs of one patient are wrong or right together: fifty groups of ten images say little
more than fifty images. Every variance of this package is therefore between units: the groups if they are known, else
the images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ENOUGH = 100  # independent images, as for the intervals of a single accuracy


@dataclass(frozen=True, eq=False)
class Units:
    """The independent units of a test split.

    >>> units = Units.of(5, groups=[7, 7, 7, 9, 9])
    >>> units.count, units.sizes.tolist(), round(units.effective, 2)
    (2, [3, 2], 1.92)
    >>> Units.of(5).count, Units.of(5).effective
    (5, 5.0)

    Args:
        n: how many images.
        index: int64 [n], the unit of each image, counted from 0; None where each image is a unit.
        sizes: int64 [G], the images of each unit.
    """

    n: int
    index: NDArray[np.int64] | None
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, n: int, groups: ArrayLike | None = None) -> Units:
        """Find the units of `n` images, from the group of each image if there are groups.

        Args:
            n: how many images.
            groups: [n], any values that can be compared; groups of one image each are no groups.

        Raises:
            ValueError: the numbers of groups and images differ.
        """
        if groups is None:
            return cls(n, None, np.ones(n, np.int64))
        groups = np.asarray(groups)
        if groups.shape != (n,):
            raise ValueError(f"groups of shape {list(groups.shape)}: expected one for each of {n} images")
        _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        if len(sizes) == n:
            return cls.of(n)
        return cls(n, index.astype(np.int64), sizes.astype(np.int64))

    @property
    def count(self) -> int:
        """How many units there are, G."""
        return len(self.sizes)

    @cached_property
    def effective(self) -> float:
        """How many units of equal size would give as precise a mean: `n^2 / sum m^2`, at most G (L. Kish 1965)."""
        if self.index is None:
            return float(self.n)
        return float(self.n**2 / np.square(self.sizes).sum())

    @cached_property
    def freedom(self) -> float:
        """Degrees of freedom of a variance between the units: `(sum m^2)^2 / sum m^4 - 1`, at least 1.

        What a unit adds to a variance grows with the square of its size m, so a few large units are all that counts
        (A. V. Carter, K. T. Schnepel, D. G. Steigerwald 2017, Review of Economics and Statistics 99, 698-709).
        """
        if self.index is None:
            return max(self.n - 1.0, 1.0)
        squares = self.sizes.astype(np.float64) ** 2
        return max(float(squares.sum() ** 2 / (squares**2).sum()) - 1.0, 1.0)

    @cached_property
    def correction(self) -> float:
        """The factor that makes a sum of squared deviations unbiased; `G / (G - 1)` for units of equal size.

        A unit of m of n images is part of the mean that it is compared with. If the images of a unit are all alike,
        its squared deviation is too small by `1 - 2 sum m^3 / (n sum m^2) + sum m^2 / n^2` on average.
        """
        if self.count < 2:
            return 1.0
        if self.index is None:
            return self.n / (self.n - 1)
        m, n = self.sizes.astype(np.float64), float(self.n)
        squares = float((m**2).sum())
        return 1.0 / (1.0 - 2.0 * float((m**3).sum()) / (n * squares) + squares / n**2)

    def with_half_a_unit(self, variance: ArrayLike, *, one_run: ArrayLike = False) -> NDArray[np.float64]:
        """Return the variance of a mean difference after adding half a unit gained and half a unit lost.

        With few units a variance may be small by luck and claim too much: so for groups, and if one of the two methods
        has a single run on fewer than 100 independent images. As A. Agresti and Y. Min (2005, Statistics in
        Medicine 24, 729-740) do for matched pairs; with G units, `(V + 1 / G^2) / (1 + 1 / G)^2`. A variance
        of 0 stays 0 if images are independent, or all of one group.

        >>> units = Units.of(100, groups=np.arange(100) // 10)
        >>> float(units.with_half_a_unit(0.01).round(4)), float(Units.of(200).with_half_a_unit(0.01))
        (0.0165, 0.01)
        """
        variance = np.asarray(variance, np.float64)
        if self.count < 2 or (self.index is None and self.n >= _ENOUGH):
            return variance
        share = 1 / self.effective
        needed = self.index is not None or (np.asarray(one_run) & (variance > 0))
        return np.asarray(np.where(needed, (variance + share**2) / (1 + share) ** 2, variance))

    def sums(self, values: NDArray[np.integer] | NDArray[np.bool_]) -> NDArray[np.int64]:
        """Add up whole numbers over the images of each unit.

        >>> Units.of(3, groups=["a", "b", "a"]).sums(np.array([[1, 0, 1], [0, 0, 1]])).tolist()
        [[2, 0], [1, 0]]

        Args:
            values: [..., n].

        Returns:
            int64 [..., G].
        """
        if self.index is None:
            return np.asarray(values, np.int64)
        order = np.argsort(self.index, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        return np.add.reduceat(np.asarray(values)[..., order], starts, axis=-1, dtype=np.int64)

    def variance_of_mean(self, sums: NDArray[np.int64]) -> float:
        """Return the variance of `sum(sums) / n` as an estimate for images of new units; 0 for a single unit.

        `c sum_g (t_g - m_g D)^2 / n^2` with `D = sum t_g / n` and c the `correction`: the linearised variance of a
        ratio (W. G. Cochran 1977, Sampling Techniques, 3rd edition, section 9A.2). Computed in whole numbers: if all
        images have the same value, it is exactly 0.

        >>> Units.of(4).variance_of_mean(np.array([1, 1, 1, 1])), Units.of(2).variance_of_mean(np.array([0, 1]))
        (0.0, 0.25)

        Args:
            sums: int64 [G], the sum of each unit.
        """
        if self.count < 2:
            return 0.0
        n, total = self.n, int(sums.sum())
        squares = int(np.square(sums).sum())
        products = int((sums * self.sizes).sum())
        sizes = int(np.square(self.sizes).sum())
        return self.correction * ((n * n * squares - 2 * n * total * products + total * total * sizes) / n**4)
