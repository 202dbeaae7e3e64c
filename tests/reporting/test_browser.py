"""The page in a real browser, where there is one; `benchmarks/report.py --screenshots` looks at all sizes."""

from __future__ import annotations

import shutil
import subprocess

import pytest

import modelzero as mz
from helpers import climb

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)")
def test_a_browser_runs_the_script_and_complains_about_nothing(digits, tmp_path):
    """The policy lets the page's own script and style pass: headings become buttons, and the console stays empty."""
    run = mz.train(digits, "softmax", epochs=2, runs_dir=tmp_path)
    ladder = climb(digits, ["majority"], runs_dir=tmp_path)
    for path in (mz.report(ladder, tmp_path / "ladder.html"), mz.report([run], tmp_path / "run.html")):
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                   f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]  # fmt: skip
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert '<button type="button">accuracy</button>' in answer.stdout
        assert "CONSOLE" not in answer.stderr
