"""Claim: whichever file operation fails, the last good checkpoint loads, the error is one line, no file is left over.

A training of a few steps, with a checkpoint after each, and its resumption are repeated; each time a different open,
write, fsync, replace, rename or mkdir below its folder fails, once or permanently.

    python benchmarks/faults.py [--every 1]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import modelzero as mz
from children import Disk, debris, outcome, small
from modelzero.errors import UnfinishedError
from modelzero.training.checkpoint import last_good
from modelzero.training.fused import loop as fused_loop

HOWS = ("ENOSPC", "EIO", "EACCES", "short", "short ENOSPC")


def folders(runs):
    return [path for path in runs.iterdir() if not path.name.startswith(".")] if runs.exists() else []


def train(data, name, runs):
    mz.train(data, small(name, epochs=2), threads=1, runs_dir=runs, checkpoint_every=1e-6, progress=False)


def resume(data, name, runs):
    mz.resume(folders(runs)[0], data, small(name, epochs=2), checkpoint_every=1e-6, progress=False)


def stopped_in_the_middle(data, name, runs):
    """Leave a run that stopped after some steps, with two checkpoints."""
    with Disk(runs, 60, "EIO", lasting=True):
        try:
            train(data, name, runs)
        except mz.RunError:
            return
    raise AssertionError("it did not stop")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="make only every Nth operation fail")
    parser.add_argument("--offset", type=int, default=0, help="skip this many operations first, to divide the work")
    arguments = parser.parse_args()
    fused_loop._MULTIPLY_ADDS_AT_ONCE = 1  # noqa: SLF001 - look after each step
    torch.set_num_threads(1)
    digits = mz.load("digits")
    few = mz.Split(digits.train.images[:160], digits.train.labels[:160])
    data = mz.ImageData("few digits", few, digits.test, digits.classes)
    counts, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("mlp", "convnet"):
            for what in (train, resume):
                runs = Path(temporary, "whole")
                train(data, name, runs)
                expected = outcome(folders(runs)[0])
                shutil.rmtree(runs)
                if what is resume:
                    stopped_in_the_middle(data, name, runs)
                with Disk(runs) as disk:
                    what(data, name, runs)
                operations = disk.count
                shutil.rmtree(runs)
                for how in HOWS:
                    for lasting in (False, True):
                        for at in range(
                            1 + (2 * HOWS.index(how) + lasting + arguments.offset) % arguments.every,
                            operations + 1,
                            arguments.every,
                        ):
                            trouble = _one(
                                data, name, what, runs, expected, Disk(runs, at, how, lasting=lasting), counts
                            )
                            if trouble:
                                wrong.append((name, what.__name__, how, lasting, at, trouble))
                            shutil.rmtree(runs, ignore_errors=True)
    for what, count in sorted(counts.items()):
        print(f"{count:6,} {what}")
    print(f"{len(wrong):6,} went wrong")
    for each in wrong[:10]:
        print("wrong:", *each, file=sys.stderr)
    sys.exit(bool(wrong))


def _one(data, name, what, runs, expected, disk, counts):
    """Inject one fault; return what is wrong afterwards, or None."""
    counts["faults"] += 1
    if what is resume:
        stopped_in_the_middle(data, name, runs)
    before = [path.name for folder in folders(runs) for path in folder.glob("checkpoint-*.json")]
    try:
        with disk:
            what(data, name, runs)
        counts["  that did no harm"] += 1
    except mz.RunError as error:
        counts["  reported in one line"] += 1
        if "\n" in str(error) or not str(error).strip():
            return f"reported as {error!r}"
        if isinstance(error, UnfinishedError):
            counts["    after the training had started"] += 1
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    found = folders(runs)
    if found:
        status = mz.Run.read(found[0]).status
        left = sorted(path.name for path in found[0].glob("checkpoint-*.json"))
        good, trouble = last_good(found[0])
        if trouble or (left and good is None):
            return f"the last checkpoint does not load: {trouble}"
        if before and status != "finished" and (not left or left[-1] < max(before)):
            return "a checkpoint is lost"
        counts["  with a checkpoint that loads"] += good is not None
        resume(data, name, runs)
    else:
        train(data, name, runs)
    found = folders(runs)
    if len(found) != 1 or outcome(found[0]) != expected:
        return "a different result"
    lying = debris(runs)
    return f"left over: {lying}" if lying else None


if __name__ == "__main__":
    main()
