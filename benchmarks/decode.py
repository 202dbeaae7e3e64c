"""Claim: 10,000 JPEGs of mixed sizes in 20 classes load 3 times as fast as a Dataset that opens each with Pillow.

The Dataset opens, converts and resizes each image and turns it into a tensor in the training process, as torchvision's
Resize and ToTensor do. `mz.load` decodes into its cache the first time (a new cache for each repeat), and memory-maps
it the second time.

    python benchmarks/decode.py [--pictures 10000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pairs import in_turn, table

CLASSES = 20


def make(folder, count):
    """Write smooth coloured noise, 200 to 500 pixels on each side, as JPEGs of quality 90."""
    draws = np.random.default_rng(0)
    for k in range(count):
        path = folder / f"class-{k % CLASSES:02d}"
        path.mkdir(exist_ok=True)
        small = draws.integers(256, size=(25, 25, 3)).astype(np.uint8)
        sides = draws.integers(200, 501, size=2).tolist()
        Image.fromarray(small).resize(sides, Image.Resampling.BICUBIC).save(path / f"{k:05d}.jpg", quality=90)
        os.utime(path / f"{k:05d}.jpg", (1e9, 1e9))


class Opens(torch.utils.data.Dataset):
    """What a tutorial would write for a folder of images."""

    def __init__(self, folder):
        self.paths = sorted(folder.glob("*/*.jpg"))
        classes = sorted({path.parent.name for path in self.paths})
        self.labels = [classes.index(path.parent.name) for path in self.paths]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as image:
            small = image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(small)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return tensor, self.labels[index]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    import modelzero as mz

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pictures"
        folder.mkdir()
        make(folder, arguments.pictures)
        caches = []

        def dataset():
            start = time.perf_counter()
            for _ in Opens(folder):
                pass
            return time.perf_counter() - start

        def first():
            caches.append(Path(temporary) / f"cache{len(caches)}")
            os.environ["XDG_CACHE_HOME"] = str(caches[-1])
            return second()

        def second():
            start = time.perf_counter()
            data = mz.load(folder, size=64)
            seconds = time.perf_counter() - start
            assert len(data.train) + len(data.test) == arguments.pictures
            return seconds

        sides = [
            ("a Dataset that opens each image, one epoch", dataset),
            ("mz.load, first", first),
            ("mz.load, again", second),
        ]
        table(in_turn(sides, arguments.repeats, warm_up=1))


if __name__ == "__main__":
    main()
