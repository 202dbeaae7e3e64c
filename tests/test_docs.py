"""What README and docs tell people to type works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers import shortened
from modelzero.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = "modelzero reproduce"  # it takes a minute; tests/cli runs it once


def blocks(language):
    """Every code block of a language, with the name of its page."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page.name, block) for page in PAGES for block in pattern.findall(page.read_text(encoding="utf-8"))]


# Each once, however many pages show it.
COMMANDS = list(
    {
        line.split("  #")[0].strip(): page
        for page, block in blocks("console")
        for line in block.splitlines()
        if line.startswith("modelzero ") and line.strip() != LONG
    }.items()
)


@pytest.mark.usefixtures("fashion_mnist")
@pytest.mark.parametrize(("command", "page"), COMMANDS)
def test_commands_of_the_docs_work(command, page):
    """Each `modelzero` line of each console block ends with exit code 0."""
    answer = CliRunner().invoke(app, shortened(command))
    assert answer.exit_code == 0, f"{page}: {command}: {answer.output}"


@pytest.mark.usefixtures("fashion_mnist")
@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_python_of_the_docs_runs(page, block):
    """Each Python block runs by itself."""
    exec(compile(block, page, "exec"), {})


def test_links_between_pages_lead_somewhere():
    """No page points to a file that is not there."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
