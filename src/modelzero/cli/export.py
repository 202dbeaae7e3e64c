"""`modelzero export`: export a run as a file for other programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from modelzero.cli.app import command, console, print_json
from modelzero.cli.options import DataDir, Json, RunsDir
from modelzero.cli.predict import find_run
from modelzero.data.options import option
from modelzero.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What the record of a run may not contain."""

    data: str | None = option(None, "Images of the run.  [default: the recorded source]")
    model: str | None = option(None, "module:name of the model, if it is your own.")


@command
def export(
    run: Annotated[str, typer.Argument(help="Id or folder of a finished run.")],
    to: Annotated[str | None, typer.Option(help="onnx, or torch for a torch.export program.  [default: onnx]")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file to write.  [default: model.onnx or model.pt2 in the run's folder]"
        ),
    ] = None,
    check: Annotated[Path | None, typer.Option(help="Check this ONNX file against the run, and write nothing.")] = None,
    missing: Missing = Missing(),
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Export a run as a file that maps raw images to calibrated probabilities, and check it on the test split."""
    if check is not None and (output is not None or to is not None):
        raise SettingError("--check with --to or -o: a file is either checked or written; leave one out")
    found = find_run(run, runs_dir)

    from modelzero.using import export as exporting

    if check is None:
        done = exporting.export(found, output, to=to or "onnx", data_dir=data_dir, **vars(missing))
    else:
        done = exporting.check(found, check, data_dir=data_dir, **vars(missing))
    parity = done.parity
    if json:
        print_json(
            {
                "format": 1,
                "path": str(done.path),
                "to": done.kind,
                "bytes": done.size_bytes,
                "written": check is None,
                "metadata": done.metadata,
                "parity": asdict(parity),
            }
        )
        return
    out = console()
    runner = "onnxruntime" if done.kind == "onnx" else "torch.export"
    out.print(f"{done.path}: {done.size_bytes:,} bytes, {'written' if check is None else 'valid'}")
    ties = f", except for {parity.ties} ties" if parity.ties else ""
    out.print(
        f"checked on {parity.pictures:,} test images: {runner} gives the same classes as modelzero{ties}; the "
        f"largest difference in probability is {parity.largest:.1e}"
    )
