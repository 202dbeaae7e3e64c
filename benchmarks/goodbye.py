"""Claim: SIGINT, SIGTERM and SIGHUP end a training within 5 s, with a checkpoint and exit code 130, 143 or 129.

Real processes train on Fashion-MNIST; each signal comes at a random moment. The rungs are trained by the kernel and by
torch.

    python benchmarks/goodbye.py [--rungs mlp,tinyvgg,convnet] [--repeats 3] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import modelzero as mz

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
MOST_SECONDS = 5.0


def goodbye(rung, number, wait, folder):
    """Start a training and end it with a signal; return the seconds until it ended, and what is wrong."""
    words = ["train", "fashion-mnist", "--model", rung, "--epochs", "100", "--runs-dir", folder]
    process = subprocess.Popen([sys.executable, "-m", "modelzero", *words], stderr=subprocess.PIPE, text=True)
    while not list(Path(folder).glob("*/run.json")):
        time.sleep(0.05)
    time.sleep(wait)
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate()
    seconds = time.monotonic() - began
    (path,) = Path(folder).iterdir()
    wrong = []
    if process.returncode != CODES[number]:
        wrong.append(f"exit code {process.returncode}")
    if mz.Run.read(path).status != "interrupted" or not list(path.glob("checkpoint-*.json")):
        wrong.append("no checkpoint")
    if seconds > MOST_SECONDS:
        wrong.append(f"{seconds:.1f} s")
    return seconds, wrong + ([err] if "Traceback" in err else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", default="mlp,tinyvgg,convnet")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would stay ignored, as it should
    draws, failed = random.Random(arguments.seed), 0
    for rung in arguments.rungs.split(","):
        took = []
        for number in CODES:
            for _ in range(arguments.repeats):
                with tempfile.TemporaryDirectory() as folder:
                    seconds, wrong = goodbye(rung, number, draws.uniform(0.5, 6), folder)
                took.append(seconds)
                failed += bool(wrong)
                if wrong:
                    print(f"{rung}, {number.name}: {'; '.join(wrong)}")
        print(f"{rung}: {len(took)} signals, median {statistics.median(took):.2f} s, at most {max(took):.2f} s")
    print(f"{failed} went wrong")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
