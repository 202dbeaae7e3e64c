"""Claim: the 10,000 test images of Fashion-MNIST, as PNG files, get the classes that each run stored for them.

Every rung of the ladder is trained with its recipe, the test images are written as files, and `Decoder` and
`Predictor`, of which `modelzero predict` consists, read and classify them. The time of decoding alone is shown beside
that of both: predicting should add little to it.

    python benchmarks/predict.py [--rungs softmax,convnet]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

import modelzero as mz
from modelzero.models.rungs import LADDER
from modelzero.using.files import Decoder, Preprocessing, find_images
from modelzero.using.predict import Predictor


def read(run, paths, predictor):
    """Classify the files, or only decode them."""
    found = []
    start = time.perf_counter()
    with Decoder(Preprocessing.of(run.record.data)) as decoder:
        for at in range(0, len(paths), decoder.at_once):
            images, _, bad = decoder.decode(paths[at : at + decoder.at_once])
            assert not bad
            if predictor is not None:
                found.append(predictor.probabilities(torch.from_numpy(images)).argmax(1))
    seconds = time.perf_counter() - start
    return seconds, torch.cat(found) if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", default=",".join(rung.name for rung in LADDER))
    arguments = parser.parse_args()
    data = mz.load("fashion-mnist")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "pictures")
        folder.mkdir()
        for place, image in enumerate(data.test.images):
            Image.fromarray(image[0].numpy()).save(folder / f"{place}.png")
        os.environ["XDG_CACHE_HOME"] = temporary
        paths = list(find_images([str(folder)]))
        print(f"{len(paths):,} images; seconds to decode them, and to decode and classify them")
        print(f"{'rung':10} {'accuracy':>9} {'other class':>12} {'decode':>8} {'classify':>9}")
        for name in arguments.rungs.split(","):
            run = mz.train(data, name, runs_dir=Path(temporary, "runs"), progress=False)
            run = mz.Run.read(run.path)
            predictor = Predictor.of(run)
            decoding, _ = read(run, paths, None)
            both, classes = read(run, paths, predictor)
            other = int((classes != run.test_logits.argmax(1)).sum())
            accuracy = float((classes == data.test.labels).float().mean())
            print(f"{name:10} {accuracy:9.2%} {other:12,} {decoding:8.2f} {both:9.2f}", flush=True)


if __name__ == "__main__":
    main()
