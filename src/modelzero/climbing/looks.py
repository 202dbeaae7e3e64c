"""How often such rungs were looked at before: whoever adds seeds until a difference shows finds one too often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelzero.climbing.ladder import read_ladder_records
from modelzero.models.ladder import Rung


def count_looks(runs_dir: str | Path, fingerprint: str, rungs: Sequence[Rung], seeds: Sequence[int]) -> int:
    """Count this look and the earlier ones at the same comparisons with some of the same seeds.

    An earlier ladder in the folder counts where it compared two or more of these rungs, with the same recipes, on the
    same data, with seeds of which some are used again and some not. The very same seeds give the very same figures, and
    seeds that were never used are a new experiment.

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
        tuple(record.get("seeds", ()))
        for record in read_ladder_records(runs_dir)[0].values()
        if record["data"].get("fingerprint") == fingerprint and _compared(record, recipes) > 1
    }
    return 1 + sum(bool(set(used) & set(seeds)) and set(used) != set(seeds) for used in earlier)


def _compared(record: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> int:
    """Count the trained rungs of an earlier ladder that are among these; 0 where none of them has several seeds."""
    done = [cell["rung"] for cell in record["cells"] if cell["status"] == "finished"]
    shared = [
        rung["name"]
        for rung in record["rungs"]
        if rung["name"] in done and rung["name"] in recipes and rung.get("recipe") == recipes[rung["name"]]
    ]
    return len(shared) if any(rung["seeds"] > 1 for rung in record["rungs"] if rung["name"] in shared) else 0
