"""Claim: a full disk loses nothing: completed files are intact, and with more space the training ends the same.

A training with a checkpoint after each step writes to a tmpfs of 64 KB, 128 KB and so on, until it fits. On each disk
that is too small, the record and the last checkpoint must load; then the disk is enlarged and the training resumed.
Requires permission to mount a tmpfs: run it as root, or with `unshare --map-root-user --mount`.

    python benchmarks/full_disk.py [--step 64]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import modelzero as mz
from children import debris, outcome, small
from modelzero.training.checkpoint import last_good
from modelzero.training.fused import loop as fused_loop


def mount(folder, kilobytes, *more):
    options = ",".join([f"size={kilobytes}k", *more])
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", None) or error
        print(f"no tmpfs can be mounted here: {str(why).strip()}", file=sys.stderr)
        sys.exit(2)


def one(data, rung, disk, expected, counts):
    """Train on this disk; return what is wrong, or None."""
    runs = disk / "runs"
    try:
        mz.train(data, rung, threads=1, runs_dir=runs, checkpoint_every=1e-6, progress=False)
    except mz.RunError as error:
        if "\n" in str(error):
            return f"reported as {error!r}"
        counts["too small, reported in one line"] += 1
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    else:
        counts["large enough"] += 1
    found = [path for path in runs.iterdir() if not path.name.startswith(".")] if runs.exists() else []
    if found:
        status = mz.Run.read(found[0]).status
        counts[f"records that load, {status}"] += 1
        there = sorted(found[0].glob("checkpoint-*.json"))
        good, trouble = last_good(found[0])
        if trouble or (there and good is None):
            return f"a checkpoint is lost: {trouble}"
        counts["with a checkpoint that loads"] += good is not None
    mount(disk, 65536, "remount")
    if found:
        mz.resume(found[0], data, rung, checkpoint_every=1e-6, progress=False)
    else:
        mz.train(data, rung, threads=1, runs_dir=runs, progress=False)
    found = [path for path in runs.iterdir() if not path.name.startswith(".")]
    if len(found) != 1 or outcome(found[0]) != expected:
        return "a different result"
    return f"left over: {debris(runs)}" if debris(runs) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=64, help="difference between two disk sizes, in KB")
    arguments = parser.parse_args()
    fused_loop._MULTIPLY_ADDS_AT_ONCE = 1  # noqa: SLF001 - look after each step
    torch.set_num_threads(1)
    digits = mz.load("digits")
    few = mz.Split(digits.train.images[:160], digits.train.labels[:160])
    data = mz.ImageData("few digits", few, digits.test, digits.classes)
    counts, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("mlp", "convnet"):
            rung = small(name, epochs=2)
            whole = mz.train(data, rung, threads=1, runs_dir=Path(temporary, name), progress=False)
            expected = outcome(whole.path)
            for kilobytes in range(arguments.step, 100_000, arguments.step):
                disk = Path(temporary, "disk")
                disk.mkdir()
                mount(disk, kilobytes)
                fitted = counts["large enough"]
                try:
                    trouble = one(data, rung, disk, expected, counts)
                finally:
                    subprocess.run(["umount", str(disk)], check=True)
                    shutil.rmtree(disk)
                counts["disks"] += 1
                if trouble:
                    wrong.append((name, f"{kilobytes} KB", trouble))
                if counts["large enough"] > fitted:
                    break
    for what, count in sorted(counts.items()):
        print(f"{count:6,} {what}")
    print(f"{len(wrong):6,} lost something or misreported it")
    for each in wrong[:10]:
        print("wrong:", *each, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
