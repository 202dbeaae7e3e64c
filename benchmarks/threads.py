"""Claim: TinyVGG gains little from a second thread, and beside other programs it loses by it (see `default_threads`).

Each is trained for an epoch in a process of its own, in turn, as a command does it, beside so many processes that keep
a core busy.

    python benchmarks/threads.py [--busy 0,1,4] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

BUSY = "while True: pass"


def seconds_of_an_epoch(threads, folder):
    command = [sys.executable, "-m", "modelzero", "train", "fashion-mnist", "--model", "tinyvgg", "--epochs", "1"]
    command += ["--threads", str(threads), "--device", "cpu", "--runs-dir", folder, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)["train_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", default="0,1,4")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print("| busy processes beside it | 1 thread | 2 threads |\n| ---: | ---: | ---: |")
    for count in map(int, arguments.busy.split(",")):
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
        taken = {1: [], 2: []}
        try:
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(arguments.repeats):
                    for threads, values in taken.items():
                        values.append(seconds_of_an_epoch(threads, folder))
        finally:
            for other in others:
                other.kill()
                other.wait()
        shown = [f"{statistics.median(each):.1f} s ({min(each):.1f} to {max(each):.1f})" for each in taken.values()]
        print(f"| {count} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
