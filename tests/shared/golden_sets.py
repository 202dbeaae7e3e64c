"""The small sets that the golden runs were trained on, made anew wherever they are needed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from modelzero import Rung, from_arrays


def write_folder(folder: Path) -> Path:
    """Write 3 classes of 20 colour images of 12 x 12 pixels, a folder each."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("ash", "beech", "oak")):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 120, (12, 12, 3), np.uint8)
            pixels[:, 4 * label : 4 * label + 4, label] += 90
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


def write_table(folder: Path) -> Path:
    """Write 2 classes of 40 grey images of 10 x 10 pixels, four of each patient, and a CSV that lists them."""
    rng = np.random.default_rng(1)
    (folder / "scans").mkdir(parents=True)
    with (folder / "scans.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "patient"])
        for number in range(80):
            patient = number // 4
            pixels = rng.integers(0, 150, (10, 10), np.uint8)
            pixels[2:6, 2:6] += np.uint8(50 * (patient % 2) + 2 * patient)
            Image.fromarray(pixels).save(folder / "scans" / f"{number:02}.png")
            rows.writerow([f"scans/{number:02}.png", ("healthy", "ill")[patient % 2], f"p{patient}"])
    return folder / "scans.csv"


def arrays():
    """Return image data of arrays, which no record can load again."""
    rng = np.random.default_rng(2)
    labels = np.arange(90) % 3
    images = rng.integers(0, 100, (90, 1, 6, 6), np.uint8)
    images[np.arange(90), 0, labels, 2] += 100
    return from_arrays(images[:60], labels[:60], images[60:], labels[60:], classes=["a", "b", "c"], name="arrays")


def small():
    """Return a model of nobody's ladder, with momentum."""
    return Rung("small", _small, epochs=6, batch_size=16, momentum=0.9, schedule="triangle", weight_decay=1e-3)


def _small(image_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), 8), nn.ReLU(), nn.Linear(8, classes))
