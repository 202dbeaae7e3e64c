"""Claim: `modelzero --help` answers in under 0.4 s of processor time.

python benchmarks/startup.py
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys


def processor_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    command = [sys.executable, "-m", "modelzero", "--help"]
    seconds = [processor_seconds(command) for _ in range(11)][1:]
    print(f"modelzero --help: median {statistics.median(seconds):.3f} s, max {max(seconds):.3f} s of processor time")


if __name__ == "__main__":
    main()
