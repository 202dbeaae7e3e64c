"""Claim: `modelzero train fashion-mnist --model model0` takes at most a quarter of the time of the chapter's script.

Both as whole processes, alternating: start, imports, reading the data, three epochs with evaluation; modelzero also
writes its record.

    python benchmarks/process.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pairs import in_turn, table


def seconds_of(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    script = [sys.executable, str(Path(__file__).with_name("chapter_script.py"))]
    with tempfile.TemporaryDirectory() as runs_dir:
        ours = [
            sys.executable,
            "-m",
            "modelzero",
            "train",
            "fashion-mnist",
            "--model",
            "model0",
            "--runs-dir",
            runs_dir,
        ]
        table(
            in_turn(
                [
                    ("the chapter's script", lambda: seconds_of(script)),
                    ("modelzero train fashion-mnist --model model0", lambda: seconds_of(ours)),
                ],
                repeats,
            )
        )


if __name__ == "__main__":
    main()
