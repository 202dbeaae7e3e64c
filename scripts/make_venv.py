"""Make a virtual environment with pip in it, also where Debian's python3 comes without ensurepip.

Used by the Makefile: `python3 scripts/make_venv.py .venv`. Standard library only.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from pathlib import Path


def main() -> None:
    """Make the environment that the first argument names."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this is the check
        sys.exit(f"Python {sys.version.split()[0]} is too old: 3.11 or newer is needed; try make PYTHON=python3.12")
    target = Path(sys.argv[1])
    with_pip = importlib.util.find_spec("ensurepip") is not None
    venv.create(target, with_pip=with_pip, symlinks=True, clear=True)
    if not with_pip:
        install_pip(target)


def install_pip(target: Path) -> None:
    """Fetch pip's wheel from PyPI and let it install itself."""
    try:
        with urllib.request.urlopen("https://pypi.org/pypi/pip/json", timeout=30) as answer:
            index, files = answer.url, json.load(answer)["urls"]
        wheel = next(file for file in files if file["packagetype"] == "bdist_wheel")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / wheel["filename"]
            with urllib.request.urlopen(urllib.parse.urljoin(index, wheel["url"]), timeout=30) as answer:
                path.write_bytes(answer.read())
            command = [str(target / "bin" / "python"), f"{path}/pip", "install", "--quiet", "--no-index", str(path)]
            subprocess.run(command, check=True)
    except OSError as error:
        sys.exit(f"pip could not be fetched ({error}): install Debian's python3-venv and try again")


main()
