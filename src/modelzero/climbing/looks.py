"""How often such rungs were looked at before: whoever adds seeds until a difference shows finds one too often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelzero.models.rungs import Rung
from modelzero.runs.ladders import read_ladder_records
from modelzero.runs.record import LadderRecord


def count_looks(runs_dir: str | Path, fingerprint: str, rungs: Sequence[Rung], seeds: Sequence[int]) -> int:
    """Count this look and the earlier ones at the same comparisons with some of the same seeds.

    An earlier ladder in the folder counts where it compared two or more of these rungs, with the same recipes, on the
    same data, and one of them had trained with some of these seeds and not with the same ones. The same seeds give
    the same figures, and seeds that were never used are a new experiment.

    >>> import tempfile
    >>> count_looks(tempfile.mkdtemp(), "1234", [], [42, 43])
    1

    Args:
        runs_dir: where ladders are recorded.
        fingerprint: of the data.
        rungs: of the climb that begins.
        seeds: of the climb that begins.
    """
    recipes = {rung.name: rung.recipe() for rung in rungs}
    earlier = {
        frozenset(used.items())
        for record in read_ladder_records(runs_dir)[0].values()
        if record.data.fingerprint == fingerprint and len(used := _trained(record, recipes)) > 1
    }
    return 1 + sum(any(_are_others(used, seeds) for _, used in looked) for looked in earlier)


def _trained(record: LadderRecord, recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    """Return the seeds with which an earlier ladder trained those of its rungs that are among these."""
    shared = [rung.name for rung in record.rungs if rung.recipe == recipes.get(rung.name, {})]
    used = {name: tuple(cell.seed for cell in record.cells_of(name) if cell.status == "finished") for name in shared}
    return {name: trained for name, trained in used.items() if trained}


def _are_others(used: Sequence[int], seeds: Sequence[int]) -> bool:
    """Tell whether a rung was trained with some of these seeds, not with all; a single one may be all that it takes."""
    return len(used) > 1 and bool(set(used) & set(seeds)) and set(used) != set(seeds)
