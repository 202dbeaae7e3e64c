"""Claims: on 2 cores the whole ladder takes at most 10 minutes on Fashion-MNIST, 30 s on digits, and a budget holds.

Each is the command as a user types it, timed from outside. Run it on an otherwise idle machine.

    python benchmarks/ladder.py             all commands, about 12 minutes
    python benchmarks/ladder.py digits      only commands that contain this word
"""

import json
import subprocess
import sys
import tempfile
import time

COMMANDS = [
    ("climb digits", 30),
    ("climb fashion-mnist --budget 30s", 35),
    ("climb fashion-mnist --budget 2m", 125),
    ("climb fashion-mnist --seeds 5", 600),
]


def main():
    word = " ".join(sys.argv[1:])
    print(
        "| command | seconds | at most | best rung | trainings | left out |\n| --- | ---: | ---: | --- | ---: | --- |"
    )
    for command, most in COMMANDS:
        if word not in command:
            continue
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            answer = subprocess.run(
                [sys.executable, "-m", "modelzero", *command.split(), "--json", "--runs-dir", folder],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            took = time.perf_counter() - began
        ladder = json.loads(answer.stdout)
        best = max(ladder["rungs"], key=lambda rung: rung["accuracy"])
        left_out = ", ".join(each["name"] for each in ladder["left_out"]) or "nothing"
        print(
            f"| {command} | {took:.0f} | {most} | {best['name']}, {100 * best['accuracy']:.2f} % | "
            f"{len(ladder['runs'])} | {left_out} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
