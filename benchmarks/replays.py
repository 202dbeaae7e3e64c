"""Claim: `replay` finds every rung of the ladder identical on digits, and names epoch and field of any altered figure.

python benchmarks/replays.py [--rungs majority,softmax]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import modelzero as mz
from modelzero.models.rungs import LADDER


def command(*words):
    done = subprocess.run([sys.executable, "-m", "modelzero", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", default=",".join(rung.name for rung in LADDER))
    arguments = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.rungs.split(","):
            path = mz.train("digits", name, runs_dir=temporary, progress=False).path
            code, told = command("replay", str(path))
            wrong += code != 0 or not told.startswith("identical")
            print(f"{name}: {told}")
            record = json.loads(Path(path, "run.json").read_text())
            last = record["history"][-1]
            last["test_loss"] = float(last["test_loss"]) * (1 + 1e-12)
            Path(path, "run.json").write_text(json.dumps(record))
            code, told = command("replay", str(path))
            wrong += code != 1 or f"epoch {last['epoch']}, test_loss: recorded {last['test_loss']}, now" not in told
            print(f"  altered: {told.splitlines()[1].strip()}", flush=True)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
