"""How the recipes of mlp and convnet were chosen: on a validation cut of Fashion-MNIST's training split.

The first 50,000 training pictures are trained on, the last 10,000 are judged on; the test split is not touched.

    python benchmarks/recipes.py              every candidate
    python benchmarks/recipes.py convnet      those whose name holds the word
"""

import functools
import statistics
import sys
import tempfile

import modelzero as mz
from modelzero.models.convnet import convnet
from modelzero.models.linear import softmax
from modelzero.models.perceptron import mlp

SGD = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "schedule": "triangle"}
CANDIDATES = [
    ("softmax lr 0.1", softmax, {}, {"epochs": 3}),
    ("softmax lr 0.02", softmax, {}, {"epochs": 3, "learning_rate": 0.02}),
    ("softmax triangle 0.1", softmax, {}, {"epochs": 5, "schedule": "triangle"}),
    *[
        (f"mlp {width}, {epochs} epochs, rate {rate}", mlp, {"width": width}, {
            "epochs": epochs, "batch_size": 128, "learning_rate": rate, "label_smoothing": 0.1, **SGD
        })
        for width, epochs, rate in [(128, 8, 0.1), (256, 8, 0.05), (256, 8, 0.1), (256, 8, 0.2), (512, 8, 0.1)]
    ],
    *[
        (f"convnet {channels}, {epochs} epochs, rate {rate}, flip {flip}", convnet, {"channels": channels}, {
            "epochs": epochs, "batch_size": 128, "learning_rate": rate, "label_smoothing": 0.1, "flip": flip, **SGD
        })
        for channels, epochs, rate, flip in [
            ((16, 64, 128), 4, 0.2, True),
            ((16, 64, 128), 4, 0.2, False),
            ((32, 64, 128), 4, 0.2, False),
            ((16, 64, 128), 5, 0.2, False),
            ((16, 48, 96), 5, 0.2, False),
            ((16, 64, 128), 4, 0.1, False),
            ((16, 64, 128), 4, 0.4, False),
        ]
    ],
]  # fmt: skip


def cut(data, train_images=50_000):
    """The training split alone, cut in two."""
    train, rest = (mz.Split(data.train.images[part], data.train.labels[part])
                   for part in (slice(train_images), slice(train_images, None)))  # fmt: skip
    return mz.ImageData("validation cut", train=train, test=rest, classes=data.classes)


def main():
    words, seeds = sys.argv[1:], (1, 2)
    data = cut(mz.load("fashion-mnist"))
    print("| recipe | validation accuracy, % (one for each seed) | train seconds |\n| --- | --- | ---: |")
    for name, make, settings, recipe in CANDIDATES:
        if any(word not in name for word in words):
            continue
        rung = mz.Rung(make.__name__, functools.partial(make, **settings), **recipe)
        with tempfile.TemporaryDirectory() as folder:
            runs = [mz.train(data, rung, seed=seed, threads=1, runs_dir=folder, progress=False) for seed in seeds]
        accuracies = ", ".join(f"{100 * run.history[-1].test_accuracy:.2f}" for run in runs)
        print(f"| {name} | {accuracies} | {statistics.mean(run.train_seconds for run in runs):.0f} |", flush=True)


if __name__ == "__main__":
    main()
