"""Write predicted classes as CSV and as JSON."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import IO, Any

from torch import Tensor


def header(top: int) -> list[str]:
    """Return the columns of the CSV.

    >>> header(2)
    ['picture', 'class', 'probability', 'class_2', 'probability_2']
    """
    more = (f"{what}_{rank}" for rank in range(2, top + 1) for what in ("class", "probability"))
    return ["picture", "class", "probability", *more]


def most_probable(probabilities: Tensor, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
    """Return class and probability of the `top` most probable classes of each image, the most probable first.

    Of equally probable classes the first one wins, as everywhere else.

    >>> import torch
    >>> most_probable(torch.tensor([[0.25, 0.5, 0.25]]), ("a", "b", "c"), 2)
    [[('b', 0.5), ('a', 0.25)]]
    """
    values, labels = (part[:, :top].tolist() for part in probabilities.sort(dim=1, descending=True, stable=True))
    return [
        [(classes[label], value) for label, value in zip(*row, strict=True)] for row in zip(labels, values, strict=True)
    ]


def write_rows(file: IO[str], names: Sequence[str], ranked: Sequence[Sequence[tuple[str, float]]]) -> None:
    """Write one CSV row for each image, with probabilities of six decimals."""
    # csv quotes a lone carriage return only if lines end with one.
    plain, quoting = (csv.writer(file, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for name, row in zip(names, ranked, strict=True):
        cells = [name, *(cell for each, value in row for cell in (_encodable(each), f"{value:.6f}"))]
        (quoting if any("\r" in cell for cell in cells) else plain).writerow(cells)


def as_dicts(names: Sequence[str], ranked: Sequence[Sequence[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Return the same for JSON, with probabilities of eight decimals, the precision of float32."""
    return [
        {
            "picture": name,
            "class": row[0][0],
            "probability": round(row[0][1], 8),
            "top": [{"class": each, "probability": round(value, 8)} for each, value in row],
        }
        for name, row in zip(names, ranked, strict=True)
    ]


def _encodable(name: str) -> str:
    """Escape lone surrogates that encode no byte of a file name."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode()
    return name
