"""Claims: ten times the images take at most 10.5 times the training time, and little more memory than their bytes.

Fashion-MNIST's training split, and the same tiled ten times, three epochs of a model. Each side runs in its own
process, alternating, and trains five times after a warm-up; the median counts. The peak must stay under 1.3 times the
uint8 bytes plus 400 MB.

    python benchmarks/growth.py [--model model0] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile

TIMES, TRAININGS = 10, 5


def one(model, times):
    """Train once, after a short training that compiles and loads code; print seconds and peak memory as JSON."""
    import numpy as np
    import torch

    import modelzero as mz
    from modelzero.data.dataset import ImageData, Split

    data = mz.load("fashion-mnist")
    # By numpy, as readers do it: it asks the system for large pages, without which random access costs some 4 % more.
    images = torch.from_numpy(np.tile(data.train.images.numpy(), (times, 1, 1, 1)))
    train = Split(images, data.train.labels.repeat(times))
    tiled = ImageData("tiled", train, data.test, data.classes)
    del data, train, images
    with tempfile.TemporaryDirectory() as folder:
        small = Split(tiled.train.images[:640], tiled.train.labels[:640])
        mz.train(ImageData("small", small, tiled.test, tiled.classes), model, epochs=1, runs_dir=folder, progress=False)
        seconds = [
            mz.train(tiled, model, epochs=3, runs_dir=folder, progress=False).train_seconds
            for _ in range(TRAININGS + 1)
        ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pixels = tiled.train.images.numel() + tiled.test.images.numel()
    print(json.dumps({"seconds": statistics.median(seconds[1:]), "peak": peak, "bytes": pixels}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="model0")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--times", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.times:
        one(arguments.model, arguments.times)
        return
    ratios, peaks = [], []
    for _ in range(arguments.repeats):
        command = [sys.executable, __file__, "--model", arguments.model, "--times"]
        small, large = (
            json.loads(subprocess.run([*command, str(times)], check=True, capture_output=True).stdout)
            for times in (1, TIMES)
        )
        ratios.append(large["seconds"] / small["seconds"])
        limit = 1.3 * large["bytes"] + 400e6
        peaks.append(large["peak"])
        print(
            f"{small['seconds']:.3f} s, {large['seconds']:.3f} s: {ratios[-1]:.2f} times; "
            f"peak {large['peak'] / 1e6:.0f} MB of {limit / 1e6:.0f}",
            flush=True,
        )
    print(
        f"\n{arguments.model}: median {statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}) ",
        end="",
    )
    print(f"for {TIMES} times the images; peak at most {max(peaks) / 1e6:.0f} MB, limit {limit / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
