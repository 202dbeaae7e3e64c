"""Intervals for a single accuracy."""

from __future__ import annotations

from statistics import NormalDist


def accuracy_interval(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval for the accuracy of one trained model on new images, from `right` of `n` test images.

    Wilson's score interval; Clopper and Pearson's exact one where n is below 100 or where none or all are right.

    >>> low, high = accuracy_interval(8341, 10000)
    >>> round(low, 4), round(high, 4)
    (0.8267, 0.8413)
    """
    if n < 100 or right in (0, n):
        return clopper_pearson(right, n, confidence)
    return wilson(right, n, confidence)


def most_failures(trainings: int) -> float:
    """Return the largest share of trainings that may fail although none of these did, with 95 % confidence.

    `1 - 0.05^(1/K)`: the one-sided exact bound for 0 of K (C. J. Clopper and E. S. Pearson 1934).

    >>> round(most_failures(5), 2), round(most_failures(20), 2)
    (0.45, 0.14)
    """
    return float(1 - 0.05 ** (1 / trainings))


def wilson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of E. B. Wilson (1927), JASA 22, 209-212.

    >>> low, high = wilson(50, 100)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / n
    middle = share + z**2 / (2 * n)
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def clopper_pearson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of C. J. Clopper and E. S. Pearson (1934), Biometrika 26, 404-413.

    >>> low, high = clopper_pearson(0, 50)
    >>> low, round(high, 4)
    (0.0, 0.0711)
    """
    from scipy import special  # imported here: it takes as long as training model 0

    tail = (1 - confidence) / 2
    low = float(special.betaincinv(right, n - right + 1, tail)) if right > 0 else 0.0
    high = float(special.betaincinv(right + 1, n - right, 1 - tail)) if right < n else 1.0
    return low, high
