"""The notebooks of examples/ run from their first cell to their last."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_cells(name):
    """Run the code cells of a notebook in order, in one namespace; return it and what each cell shows."""
    notebook = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    namespace, shown = {}, []
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]), f"{name}, cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), namespace)
        shown.append(None if last is None else eval(compile(ast.Expression(last.value), name, "eval"), namespace))
    return namespace, shown


@pytest.mark.usefixtures("fashion_mnist")
def test_the_chapter_as_a_notebook():
    """Ten cells, each shows something, and the figures are the chapter's."""
    namespace, shown = run_cells("chapter.ipynb")
    assert len(shown) == 10
    assert shown[2] == ((32, 1, 28, 28), (32,))
    assert shown[3] == (32, 784)
    assert shown[5] == "83.4265 % and 83.41 %"
    assert sum(shown[7].values()) == 1000
    assert namespace["ladder"].worth_it == "softmax"
    for figure in (shown[1], shown[6], shown[9]):
        assert figure._repr_png_()[1:4] == b"PNG"
    assert "<table>" in shown[4]._repr_html_()
    assert "<table>" in shown[8]._repr_html_()
    assert Path("report.html").stat().st_size > 100_000


def test_no_output_is_kept():
    """A notebook in the repository holds no output and no count, so that it changes only where it was edited."""
    for path in EXAMPLES.glob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert notebook["nbformat"] == 4
        for cell in notebook["cells"]:
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None
