"""`modelzero replay`: repeat a run from its record alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelzero.cli.app import command, console, folder_of, print_json
from modelzero.cli.options import Json, OwnModel, RunsDir

_SHOWN = 5


@command
def replay(
    run: Annotated[Path, typer.Argument(help="The id or folder of a finished run.")],
    model: OwnModel = None,
    runs_dir: RunsDir = Path("runs"),
    json: Json = False,
) -> None:
    """Repeat a run from its record alone, and say whether the result is identical."""
    import modelzero

    result = modelzero.replay(folder_of(run, runs_dir), model=model)
    if json:
        print_json({"format": 1, **result.as_dict()})
    else:
        out = console()
        if result.identical:
            out.print(f"identical: weights, predictions and history of {result.run}, bit for bit")
        else:
            out.print(f"different: {result.run}")
            for difference in result.differences[:_SHOWN]:
                out.print(f"  {difference}")
            if len(result.differences) > _SHOWN:
                out.print(f"  and {len(result.differences) - _SHOWN} more")
        if result.altered:
            out.print("run.json was changed after it was written: checksum mismatch")
        for line in result.environment:
            out.print(f"environment: {line}")
    if not result.identical:
        raise typer.Exit(1)
