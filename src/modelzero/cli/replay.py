"""`modelzero replay`: a run done again from its record alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modelzero.cli.app import Json, RunsDir, command, console, folder_of, print_json

_SHOWN = 5


@command
def replay(
    run: Annotated[Path, typer.Argument(help="The id or folder of a finished run.")],
    model: Annotated[
        str | None, typer.Option(help="module:name of what makes the model, where it is one of your own.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    json: Json = False,
) -> None:
    """Train again from the record of a run alone, and say whether the very same came out."""
    import modelzero

    result = modelzero.replay(folder_of(run, runs_dir), model=model)
    if json:
        print_json({"format": 1, **result.as_dict()})
    else:
        out = console()
        if result.identical:
            out.print(f"identical: weights, predictions and history of {result.run}, to the bit")
        else:
            out.print(f"different: {result.run}")
            for difference in result.differences[:_SHOWN]:
                out.print(f"  {difference}")
            if len(result.differences) > _SHOWN:
                out.print(f"  and {len(result.differences) - _SHOWN} more")
        if result.altered:
            out.print("run.json was changed after it was written: its checksum is another one")
        for line in result.environment:
            out.print(f"environment: {line}")
    if not result.identical:
        raise typer.Exit(1)
