"""The commands of docs/predict.md and docs/export.md work: they need a run, so tests/test_docs.py cannot type them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["predict.md", "export.md"])
def test_commands_of_the_page_work(page, digits, tmp_path):
    """One after the other; 1 is the exit code where the page shows an image that is left out."""
    if page == "export.md":
        for name in ("onnx", "onnxruntime", "onnxscript"):
            pytest.importorskip(name)
    run = mz.train(digits, "softmax", progress=False)
    Path("images").mkdir()
    for place in range(3):
        Image.fromarray(digits.test.images[place, 0].numpy()).save(f"images/{place}.png")
    Path("images/notes.png").write_text("not an image")
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).splitlines()
    lines = [line for line in lines if line]
    assert len(lines) == 3
    for line in lines:
        listed, _, command = line.rpartition(" | ")  # what `ls` prints goes to standard input
        arguments = shlex.split(command.replace("$RUN", str(run.path)))
        answer = CliRunner().invoke(app, arguments[1:], input=listed.removeprefix("ls ") + "\n" if listed else None)
        assert answer.exit_code == (1 if "images --top" in line else 0), f"{line}: {answer.output}"
