"""Claim: every rung trains on an accelerator to the CPU's results, and resumes there to the same bits.

All rungs that are trained by gradient steps, with their recipes (without a second chance): on the CPU by default, where
the kernel trains stacks of linear layers, and on the accelerator. What is compared, and how far apart it may be:

- The losses of the first three steps, in the plain loop on both sides, without TF32: 1e-4 of the CPU's. The first loss
  needs the forward pass, the second also the gradients, the third also the momentum. Both sides sum the same float32
  numbers in another order, which costs some 1e-7; later steps magnify that, so they are not compared one by one.
- The mean test accuracy over the seeds: four standard errors of the difference, and one test image for seeds that
  agree to the image. With five seeds chance alone exceeds four in 0.4 % of comparisons (Student's t, 8 degrees of
  freedom).
- A training that is repeated there, and one that is stopped in an epoch and resumed: identical weights, predictions and
  history.

Times are of the training steps, both sides alternating, after a warm-up; each figure is the median over the seeds, with
the extremes. Peak memory is that of tensors on `cuda`, what the driver holds on `mps`, and that of the whole process on
the CPU. Without an accelerator nothing is measured; `--device cpu` compares the CPU with itself in the plain loop,
which checks this script. It has not been run on an accelerator yet.

    python benchmarks/gpu.py [--data digits,fashion-mnist] [--rungs model0,convnet] [--seeds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import modelzero as mz
from children import Stops, outcome
from modelzero.models.learner import learner_of
from modelzero.models.rungs import LADDER, rung_named
from modelzero.signals import Interruption
from modelzero.training.checkpoint import last_good
from modelzero.training.device import accelerators

FIRST_STEPS, RELATIVE, STANDARD_ERRORS = 3, 1e-4, 4
SEED, STOP_AT = 42, 0.45  # of the training: in the middle of an epoch, whether it has three or eight


def stopped(data, rung, folder, images, **side):
    """Train until so many images are done; return the folder of the run."""
    try:
        mz.train(data, rung, seed=SEED, runs_dir=folder, progress=Stops(images), **side)
    except Interruption as interruption:
        if interruption.number != signal.SIGTERM:  # Ctrl-C is meant for this script
            raise
    (path,) = folder.iterdir()
    return path


def first_losses(data, rung, folder, **side):
    """Return the losses of the first steps of the plain loop, without TF32, which `cuda` may use for convolutions."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        path = stopped(data, rung, folder, FIRST_STEPS * rung.batch_size, **side | {"engine": "torch"})
    finally:
        torch.backends.cudnn.allow_tf32 = before
    return last_good(path)[0].losses.tolist()


def figures(run, data, device):
    """Return what is shown of a training."""
    memory = run.record.peak_memory_bytes
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    elif device == "mps":
        memory = torch.mps.driver_allocated_memory()
    return {
        "seed": run.record.seed,
        "accuracy": run.history[-1].test_accuracy,
        "seconds": run.train_seconds,
        "images_per_second": len(run.history) * len(data.train) / run.train_seconds,
        "peak_memory_bytes": memory,
    }


def measured(data, rung, device, threads, seeds, folder):
    """Train a rung on both sides; return all figures as a row."""
    sides = {
        "cpu": {"device": "cpu", "threads": threads},
        "accelerator": {"device": device, "threads": threads, "engine": "torch"},
    }
    first = {side: first_losses(data, rung, folder / f"first-{side}", **sides[side]) for side in sides}
    trained = {side: [] for side in sides}
    outcomes = []
    for seed in (SEED, *range(SEED, SEED + seeds)):  # the first one warms up
        for side, how in sides.items():
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            run = mz.train(data, rung, seed=seed, runs_dir=folder / side, progress=False, **how)
            trained[side].append(figures(run, data, how["device"]))
            if side == "accelerator" and seed == SEED:
                outcomes.append(outcome(run.path))
    cpu, there = (runs[1:] for runs in trained.values())
    path = stopped(data, rung, folder / "stopped", STOP_AT * len(run.history) * len(data.train), **sides["accelerator"])
    position = last_good(path)[0]
    mz.resume(path, data, rung, progress=False)
    accuracies = [[run["accuracy"] for run in runs] for runs in (cpu, there)]
    error = math.sqrt(sum(statistics.variance(each) for each in accuracies) / seeds)
    return {
        "data": data.name,
        "rung": rung.name,
        "environment": run.record.environment.as_dict(),
        "first_losses": first,
        "losses_apart": max(abs(b - a) / a for a, b in zip(*first.values(), strict=True)),
        "accuracy_apart": abs(statistics.mean(accuracies[0]) - statistics.mean(accuracies[1])),
        "accuracy_may_be_apart": STANDARD_ERRORS * error + 1 / len(data.test),
        "repeated_identical": outcomes[0] == outcomes[1],
        "stopped_at": [position.epoch, position.step],
        "resumed_identical": outcome(path) == outcomes[0],
        "cpu": cpu,
        "accelerator": there,
    }


def what_is_wrong(row):
    """List the comparisons of a row that failed."""
    checks = {
        "first losses": row["losses_apart"] <= RELATIVE,
        "accuracy": row["accuracy_apart"] <= row["accuracy_may_be_apart"],
        "repeating": row["repeated_identical"],
        "resuming": row["resumed_identical"],
    }
    return [name for name, passed in checks.items() if not passed]


def tables(rows, device):
    """Print what agrees, then what it costs, as Markdown."""
    there = device if device != "cpu" else "cpu again"
    print(f"\n| data | rung | first losses apart | accuracy, cpu | {there} | apart, of at most | repeated, resumed |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    for row in rows:
        cpu, other = (100 * statistics.mean(run["accuracy"] for run in row[side]) for side in ("cpu", "accelerator"))
        apart = f"{100 * row['accuracy_apart']:.2f} of {100 * row['accuracy_may_be_apart']:.2f} points"
        same = ", ".join("identical" if row[f"{how}_identical"] else "DIFFERS" for how in ("repeated", "resumed"))
        first = f"{row['data']} | {row['rung']} | {row['losses_apart']:.1e}"
        print(f"| {first} | {cpu:.2f} % | {other:.2f} % | {apart} | {same} |")
    print("\n| data | rung | on | training, s | images/s | peak memory, MB | times as fast as the CPU |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(row["cpu"], row["accelerator"], strict=True)]
        for side, name, faster in (("cpu", "cpu", ""), ("accelerator", there, spread(ratios, ".2f"))):
            shown = [
                spread([run[key] / scale for run in row[side]], form)
                for key, scale, form in (
                    ("seconds", 1, ".3f"),
                    ("images_per_second", 1, ",.0f"),
                    ("peak_memory_bytes", 1e6, ",.0f"),
                )
            ]
            print(f"| {row['data']} | {row['rung']} | {name} | {' | '.join(shown)} | {faster} |")


def spread(values, form):
    """Write the median and the extremes."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main():
    by_steps = [rung.name for rung in LADDER if learner_of(rung, (1, 8, 8), 10).by_steps]
    present = accelerators()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=[*present, "cpu"], default=next(iter(present), None))
    parser.add_argument("--data", default="digits,fashion-mnist")
    parser.add_argument("--rungs", default=",".join(by_steps))
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--threads", type=int, help="of the CPU; by default as many as a training takes by itself")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    arguments = parser.parse_args()
    names = arguments.rungs.split(",")
    if arguments.seeds < 2 or not set(names) <= set(by_steps):
        parser.error(f"expected at least 2 seeds, and rungs out of {', '.join(by_steps)}")
    if arguments.device is None:
        print("no accelerator that torch can use: nothing was measured (--device cpu checks this script)")
        return
    rows, wrong = [], []
    for source in arguments.data.split(","):
        try:
            data = mz.load(source)
        except mz.DataError as error:
            print(f"{source} is left out: {error}")
            continue
        for name in names:
            rung = replace(rung_named(name), second_chance=False)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(
                        measured(data, rung, arguments.device, arguments.threads, arguments.seeds, Path(folder))
                    )
            except (mz.InputError, mz.TrainingError) as error:
                wrong.append(f"{source}, {name}: {error}")
                continue
            failed = what_is_wrong(rows[-1])
            wrong += [f"{source}, {name}: {', '.join(failed)}"] if failed else []
            print(f"{source}, {name}: {', '.join(failed) or 'agrees'}", file=sys.stderr, flush=True)
    tables(rows, arguments.device)
    if arguments.json:
        arguments.json.write_text(json.dumps({"device": arguments.device, "rows": rows, "wrong": wrong}, indent=1))
    print(f"\n{len(rows) - sum(bool(what_is_wrong(row)) for row in rows)} of {len(rows)} rungs agree with the CPU")
    for each in wrong:
        print("wrong:", each, file=sys.stderr)
    sys.exit(bool(wrong) or not rows)


if __name__ == "__main__":
    main()
