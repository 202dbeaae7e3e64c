"""`modelzero inspect`: show the layers of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from modelzero.cli.app import SENTENCE_LETTERS, command, console, print_json
from modelzero.cli.options import HiddenUnits, Json
from modelzero.errors import SettingError
from modelzero.models.defaults import HIDDEN_UNITS
from modelzero.text import plain

_LAYER_LETTERS = 60  # of the path of a layer within layers


@command
def inspect(
    model: Annotated[str, typer.Argument(help="A rung of the ladder, or module:name of your own model.")],
    shape: Annotated[str, typer.Option(help="Channels, height and width of the images.")] = "1,28,28",
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 10,
    hidden_units: HiddenUnits = HIDDEN_UNITS,
    json: Json = False,
) -> None:
    """Show a model's layers with output shapes, parameters and multiply-adds."""
    from dataclasses import asdict

    from modelzero.errors import check_count
    from modelzero.models.learner import learner_of
    from modelzero.models.rungs import rung_named

    image_shape = _image_shape(shape)
    check_count("classes", classes)
    check_count("hidden_units", hidden_units)
    rung = rung_named(model)
    learner = learner_of(rung, image_shape, classes, hidden_units=hidden_units)
    rows = learner.layers(image_shape)
    recipe = rung.recipe() if learner.by_steps else learner.settings()
    parameters = sum(row.parameters for row in rows)
    multiply_adds = sum(row.multiply_adds for row in rows)
    if json:
        print_json(
            {
                "format": 1,
                "model": rung.name,
                "adds": rung.adds,
                "recipe": recipe,
                "image_shape": list(image_shape),
                "classes": classes,
                "hidden_units": hidden_units,
                "layers": [asdict(row) for row in rows],
                "parameters": parameters,
                "multiply_adds": multiply_adds,
            }
        )
        return
    from rich.table import Table

    out = console()
    out.print(f"{plain(rung.name)}: {plain(rung.adds, SENTENCE_LETTERS)}")
    settled = [f"{name} {plain(str(value), SENTENCE_LETTERS)}" for name, value in recipe.items()]
    out.print(f"recipe: {', '.join(settled) or 'no settings'}")
    if not learner.by_steps:
        out.print("fitted in one go, without gradient steps: it has no layers")
        return
    out.print(f"for images of {' x '.join(map(str, image_shape))} and {classes} classes\n")
    table = Table("layer", "kind", "output shape", box=None, pad_edge=False)
    table.add_column("parameters", justify="right")
    table.add_column("multiply-adds", justify="right")
    for row in rows:
        shape_shown = " x ".join(map(str, row.output_shape))
        table.add_row(
            plain(row.name, _LAYER_LETTERS),
            plain(row.kind, _LAYER_LETTERS),
            shape_shown,
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
        )
    table.add_row("total", "", "", f"{parameters:,}", f"{multiply_adds:,}")
    out.print(table)
    out.print("\nMultiply-adds are for one image; biases, activations and pooling are not counted.")


def _image_shape(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and 0 < int(part) <= 100_000 for part in parts):
        raise SettingError(f"shape {text!r}: expected channels, height and width, such as 1,28,28")
    channels, height, width = map(int, parts)
    return channels, height, width
