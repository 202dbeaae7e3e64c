"""The options that commands share, each declared once, most of them as fields of option dataclasses.

Nothing here imports torch, so `--help` answers at once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from modelzero.data.options import LoadOptions, flag_of
from modelzero.training.options import TrainOptions

_DATA_HELP = (
    "A name such as fashion-mnist or digits; a folder with a folder of images for each class; IDX, .npz, "
    ".npy, CSV or Parquet files; or a zip or tar of class folders."
)
Data = Annotated[str, typer.Argument(help=_DATA_HELP)]
DataOrNone = Annotated[str | None, typer.Argument(help=_DATA_HELP, show_default=False)]
DataDir = Annotated[Path | None, typer.Option(help=LoadOptions.__dataclass_fields__["data_dir"].metadata["help"])]
RunsDir = Annotated[Path, typer.Option(help="Folder of all runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print a single JSON document on standard output.")]
OwnModel = Annotated[str | None, typer.Option(help="module:name of the model, if it is your own.")]
HiddenUnits = Annotated[int, typer.Option(help=TrainOptions.__dataclass_fields__["hidden_units"].metadata["help"])]
CheckpointEvery = Annotated[
    str, typer.Option(help="Time between two checkpoints of a long training, such as 60s or 5m.", metavar="TIME")
]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="With --resume: take over a run of another host that you know has ended."),
]


def expanded(function: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameters that are option dataclasses, such as `LoadOptions`, by one option per field.

    The command itself is called with the dataclasses, filled and checked.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Any, dict[str, str]]] = {}
    for parameter in inspect.signature(function).parameters.values():
        kind = hints.get(parameter.name)
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind))
            continue
        types = get_type_hints(kind)
        names = {}
        for each in fields(kind):
            if "help" not in each.metadata:  # only from Python
                continue
            flag = flag_of(each)
            name = flag.partition("/")[0].strip("-").replace("-", "_")
            names[each.name] = name
            of = each.metadata["kind"]
            annotation = types[each.name] if of is None else of if each.default is not None else of | None
            annotation = Annotated[annotation, typer.Option(flag, help=each.metadata["help"])]
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(name, keyword, default=each.default, annotation=annotation))
        groups[parameter.name] = kind, names

    @functools.wraps(function)
    def filled(**given: Any) -> None:
        for name, (kind, names) in groups.items():
            given[name] = kind(**{field: given.pop(option) for field, option in names.items()})
        function(**given)

    signature = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    filled.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    filled.__annotations__ = {each.name: each.annotation for each in signature}
    return filled
