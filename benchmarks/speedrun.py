"""Speed records: which mean test accuracy is reached in which time, all cores on one seed, one seed at a time.

Each target has a rung with the recipe of the ladder, which was chosen on validation cuts of training splits. Channels
and epochs differ: they fill the time, and were not searched. The time is that of `mz.train`: all training steps, all
evaluations on the test split, and the record. Images are loaded before; the first seed of a set also decides whether
images may be mirrored, for all of them. A target is reached if the mean over the seeds reaches it, in the median time.

    python benchmarks/speedrun.py [fashion-mnist] [cifar10=cifar10.zip] [--seeds 5]
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from functools import partial

import torch

import modelzero as mz
from modelzero.models.resnet import resnet
from modelzero.models.rungs import rung_named

# Name of the set, accuracy in %, seconds, rung, channels of its blocks or None, settings that differ.
TARGETS = [
    ("fashion-mnist", 90, 10, "mlp", None, {"epochs": 13}),
    ("fashion-mnist", 92, 30, "resnet", (16, 48, 96), {"epochs": 2}),
    ("fashion-mnist", 93, 90, "resnet", (24, 64, 128), {"epochs": 3}),
    ("fashion-mnist", 94, 300, "resnet", (32, 64, 128), {"epochs": 9}),
    ("cifar10", 80, 60, "resnet", (24, 48, 96), {"epochs": 2}),
    ("cifar10", 86, 180, "resnet", (32, 64, 128), {"epochs": 4}),
    ("cifar10", 90, 420, "resnet", (32, 64, 128), {"epochs": 9}),
    ("cifar10", 92, 900, "resnet", (48, 96, 192), {"epochs": 10}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="fashion-mnist, or NAME=PATH")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--targets", type=int, default=len(TARGETS), help="only the first so many targets of each set")
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{threads} threads, torch {torch.__version__}\n")
    print("| images | target | accuracy, mean | of the seeds | seconds, median | of the seeds | reached |")
    print("| --- | ---: | ---: | --- | ---: | --- | --- |")
    for source in arguments.data:
        name, _, path = source.partition("=")
        targets = [each[1:] for each in TARGETS if each[0] == name]
        if not targets:
            parser.error(f"no targets for {name!r}: expected fashion-mnist, or cifar10=PATH")
        data = mz.load(path or name)
        for accuracy, seconds, rung, channels, changes in targets[: arguments.targets]:
            own = rung_named(rung)
            make = own.make if channels is None else partial(resnet, channels=channels)
            found, took = [], []
            for seed in range(42, 42 + arguments.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    began = time.perf_counter()
                    run = mz.train(
                        data,
                        replace(own, make=make, **changes),
                        seed=seed,
                        threads=threads,
                        runs_dir=folder,
                        progress=False,
                    )
                    took.append(time.perf_counter() - began)
                found.append(100 * run.history[-1].test_accuracy)
            mean, median = statistics.mean(found), statistics.median(took)
            reached = "yes" if mean >= accuracy and median <= seconds else "no"
            print(
                f"| {name} | {accuracy} % in {seconds} s | {mean:.2f} % | {', '.join(f'{each:.2f}' for each in found)}"
                f" | {median:.1f} | {', '.join(f'{each:.1f}' for each in took)} | {reached} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
