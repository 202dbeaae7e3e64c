"""`modelzero export`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import modelzero as mz
from modelzero.cli import app

for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name)


def export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    return mz.train(digits, "softmax", runs_dir=tmp_path_factory.mktemp("runs"), progress=False)


def test_written_checked_and_said(run):
    """The path, the bytes, and on how many images both agree; then the file is checked again."""
    answer = export(run.id, "--runs-dir", run.path.parent, "-o", "digits.onnx")
    assert answer.exit_code == 0, answer.output
    first, second = answer.stdout.splitlines()
    assert first == f"digits.onnx: {Path('digits.onnx').stat().st_size:,} bytes, written"
    assert second.startswith("checked on 360 test images: onnxruntime gives the same classes as modelzero")
    again = export(run.path, "--check", "digits.onnx")
    assert (again.exit_code, again.stdout.splitlines()[1]) == (0, second)
    assert "valid" in again.stdout


def test_json_is_one_document(run):
    """With the figures of the check and the file's metadata."""
    shown = json.loads(export(run.path, "--to", "torch", "-o", "digits.pt2", "--json").stdout)
    assert (shown["path"], shown["to"], shown["written"]) == ("digits.pt2", "torch", True)
    assert shown["bytes"] == Path("digits.pt2").stat().st_size
    assert (shown["parity"]["pictures"], shown["parity"]["other_classes"], shown["parity"]["ties"]) == (360, 0, 0)
    assert shown["metadata"]["run"] == run.id


def test_a_changed_file_ends_with_1(run):
    """The work failed: the input was in order."""
    export(run.path, "-o", "digits.onnx")
    content = Path("digits.onnx").read_bytes()
    Path("digits.onnx").write_bytes(content.replace(b"softmax", b"sofTmax"))
    answer = export(run.path, "--check", "digits.onnx")
    assert (answer.exit_code, answer.stdout, len(answer.stderr.splitlines())) == (1, "", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "onyx"], "did you mean"),
        (["--check", "x.onnx", "-o", "y.onnx"], "--check"),
        (["--check", "x.pt2"], "torch program"),
        (["--data", "nowhere"], "nowhere"),
        (["-o", "no/where.onnx"], "cannot be written"),
    ],
)
def test_bad_usage(arguments, words, run):
    """One line and exit code 2."""
    answer = export(run.path, *arguments)
    assert (answer.exit_code, answer.stdout, len(answer.stderr.splitlines())) == (2, "", 1)
    assert words in answer.stderr


def test_no_such_run():
    """One line and exit code 2."""
    answer = export("nowhere")
    assert (answer.exit_code, len(answer.stderr.splitlines())) == (2, 1)
