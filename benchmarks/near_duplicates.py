"""Claim: planted near duplicates are found, at least 95 % of each kind, and at most 1 % of reported pairs are false.

Training images are planted as test images in Fashion-MNIST, scikit-learn's digits, patches of its two sample
photographs and pure noise: moved by a pixel, mirrored, brightened, or compressed as a JPEG of quality 75. Then the
search runs without planted images: Fashion-MNIST's test split against itself and against the training split. Two
figures judge it there: the share of reported pairs whose labels disagree, and the share of images reported.

    python benchmarks/near_duplicates.py [--planted 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
import torch
from PIL import Image

import modelzero as mz
from modelzero.data.auditing import near
from modelzero.data.auditing.duplicates import same_pixels
from modelzero.data.auditing.near import near_duplicates
from modelzero.training.device import PeakMemory

DIRECTIONS = {
    "up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1),
    "up left": (-1, -1), "up right": (-1, 1), "down left": (1, -1), "down right": (1, 1),
}  # fmt: skip
KINDS = [
    *(f"moved {direction}" for direction in DIRECTIONS),
    "mirrored",
    "brightened",
    "gain 1.1",
    "offset 10",
    "jpeg 75",
]


def plant(images, kind):
    """Return the images, uint8 [N, C, H, W], changed as one kind of near duplicate is."""
    if kind.startswith("moved"):
        y, x = DIRECTIONS[kind.removeprefix("moved ")]
        moved = torch.zeros_like(images)  # black comes in from outside
        height, width = images.shape[2:]
        to = (..., slice(max(y, 0), height + min(y, 0)), slice(max(x, 0), width + min(x, 0)))
        of = (..., slice(max(-y, 0), height + min(-y, 0)), slice(max(-x, 0), width + min(-x, 0)))
        moved[to] = images[of]
        return moved
    if kind == "mirrored":
        return images.flip(3)
    if kind == "jpeg 75":
        return torch.stack([recompressed(image) for image in images])
    gain, offset = {"brightened": (1.1, 10), "gain 1.1": (1.1, 0), "offset 10": (1, 10)}[kind]
    return (images.float() * gain + offset).round().clamp(0, 255).to(torch.uint8)


def recompressed(image):
    """Write one image as a JPEG of quality 75 and read it again."""
    file = io.BytesIO()
    array = image.permute(1, 2, 0).numpy()
    Image.fromarray(array if len(image) == 3 else array[:, :, 0]).save(file, "JPEG", quality=75)
    return torch.from_numpy(np.array(Image.open(file)).reshape(array.shape)).permute(2, 0, 1)


def recall(train, chosen, kind):
    """Return the share of the chosen training images that are found after being planted in a test split."""
    planted = plant(train[chosen], kind)
    found = {(pair.train, pair.test) for pair in near_duplicates(train, planted)}
    equal = (planted == train[chosen]).flatten(1).all(1)  # such as a symmetrical image, mirrored: an exact duplicate
    return sum((int(place), test) in found or bool(equal[test]) for test, place in enumerate(chosen)) / len(chosen)


def photographs(count, size, generator):
    """Cut square patches of 3 channels out of scikit-learn's two sample photographs, at four scales."""
    from sklearn.datasets import load_sample_images

    patches = []
    for photograph in load_sample_images().images:
        image = Image.fromarray(photograph)
        for scale in (1, 2, 3, 4):
            pixels = np.asarray(image.resize((image.width // scale, image.height // scale), Image.Resampling.LANCZOS))
            for _ in range(count // 8):
                y, x = (int(generator.integers(0, side - size + 1)) for side in pixels.shape[:2])
                patches.append(pixels[y : y + size, x : x + size])
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).contiguous()


def false_pairs(name, train, test, equal):
    """Search without planted images, and print how often the labels of a pair disagree."""
    pairs = near_duplicates(train.images, test.images)
    disagree = sum(int(train.labels[pair.train] != test.labels[pair.test]) for pair in pairs)
    reported = len({pair.test for pair in pairs})
    of_all = f"{100 * reported / len(test):.2f} %"
    of_pairs = f"{100 * disagree / len(pairs):.2f} %" if pairs else "none"
    print(f"| {name} | {equal} | {len(pairs):,} | {reported:,} | {of_all} | {disagree} | {of_pairs} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planted", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    clothing, digits = mz.load("fashion-mnist"), mz.load("digits")
    train, test = clothing.train, clothing.test

    memory, began = PeakMemory(), time.perf_counter()
    near_duplicates(train.images, test.images)
    took = time.perf_counter() - began
    print(
        f"search of 60,000 x 10,000 images: {took:.1f} s with {torch.get_num_threads()} threads, "
        f"{memory.bytes() / 1e6:.0f} MB at most (55 MB of them images)\n"
    )

    noise = torch.from_numpy(generator.integers(0, 256, (5000, 1, 28, 28), dtype=np.uint8))
    sets = {
        "Fashion-MNIST": train.images,
        "digits 8x8": digits.train.images,
        "photographs 32x32": photographs(4000, 32, generator),
        "noise 28x28": noise,
    }
    print("| found | " + " | ".join(sets) + " |\n| --- |" + " ---: |" * len(sets))
    chosen = {}
    for name, images in sets.items():
        contrast = (
            images.float().mean(1).flatten(1).std(1) if len(images) < 10_000 else torch.full((len(images),), 99.0)
        )
        seen = torch.nonzero(contrast > 20).flatten().numpy()  # photographs: patches that show more than sky
        chosen[name] = generator.choice(seen, min(options.planted, len(seen)), replace=False)
    print("| images planted per kind | " + " | ".join(str(len(each)) for each in chosen.values()) + " |")
    exact = []
    for name, images in sets.items():
        groups = same_pixels([images, images[chosen[name]]])
        exact.append(len({place for group in groups for number, place in group if number == 1}) / len(chosen[name]))
    print("| exact | " + " | ".join(f"{100 * share:.1f} %" for share in exact) + " |")
    for kind in KINDS:
        shares = [recall(images, chosen[name], kind) for name, images in sets.items()]
        print(f"| {kind} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |", flush=True)

    print(
        "\n| nothing planted | equal pixels | near pairs | images in them | of all | labels disagree | of the pairs |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    equal = len(same_pixels([test.images]))
    false_pairs("test split against itself (each pair twice)", test, test, equal)
    across = sum({number for number, _ in group} == {0, 1} for group in same_pixels([train.images, test.images]))
    false_pairs("test split against the training split", train, test, across)
    false_pairs("digits: test against training split", digits.train, digits.test, 0)
    near.MOST_RMS = near.MOST_DIFFERENCE = 999.0
    for least in (0.95, 0.97, 0.985, 0.99):
        near.LEAST_COSINE = least
        false_pairs(f"the same with the cosine alone, at least {least}", train, test, across)


if __name__ == "__main__":
    main()
