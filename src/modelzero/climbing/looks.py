"""Count earlier looks at the same rungs: adding seeds until a difference shows finds one too often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelzero.models.recipe import Recipe
from modelzero.models.rungs import Rung
from modelzero.runs.ladders import read_ladder_records
from modelzero.runs.record import LadderRecord


def count_looks(runs_dir: str | Path, fingerprint: str, rungs: Sequence[Rung], seeds: Sequence[int]) -> int:
    """Count this look and the earlier ones at the same comparisons with some of the same seeds.

    An earlier ladder in the folder counts if it compared two or more of these rungs, with the same recipes, on the
    same data, and one of them was trained with some of these seeds, but not with exactly these. Exactly the same seeds
    give the same figures, and unused seeds are a new experiment.

    >>> import tempfile
    >>> count_looks(tempfile.mkdtemp(), "1234", [], [42, 43])
    1

    Args:
        runs_dir: the folder with the ladders.
        fingerprint: fingerprint of the data.
        rungs: rungs of the new climb.
        seeds: seeds of the new climb.
    """
    recipes = {rung.name: rung.recipe() for rung in rungs}
    earlier = {
        frozenset(used.items())
        for record in read_ladder_records(runs_dir)[0].values()
        if record.data.fingerprint == fingerprint and len(used := _trained(record, recipes)) > 1
    }
    return 1 + sum(any(_are_others(used, seeds) for _, used in looked) for looked in earlier)


def _trained(record: LadderRecord, recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Return the seeds with which an earlier ladder trained these rungs, by rung."""
    shared = [
        rung.name
        for rung in record.rungs
        if rung.recipe is not None and Recipe.recorded(rung.recipe) == recipes.get(rung.name)
    ]
    used = {name: tuple(cell.seed for cell in record.cells_of(name) if cell.status == "finished") for name in shared}
    return {name: trained for name, trained in used.items() if trained}


def _are_others(used: Sequence[int], seeds: Sequence[int]) -> bool:
    """Return whether a rung was trained with some of these seeds, but not exactly these; one seed alone may suffice."""
    return len(used) > 1 and bool(set(used) & set(seeds)) and set(used) != set(seeds)
