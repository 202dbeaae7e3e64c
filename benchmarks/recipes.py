"""How the recipes of the rungs trained by gradient steps were chosen: on validation sets held out from training splits.

Fashion-MNIST: training on the first 50,000 training images, validation on the last 10,000. digits: 1,000 and 437. The
test splits are not used. docs/ladder.md has the results.

    python benchmarks/recipes.py              every candidate
    python benchmarks/recipes.py convnet      only candidates whose name contains this word
"""

import functools
import statistics
import sys
import tempfile

import modelzero as mz
from modelzero.models.convnet import convnet
from modelzero.models.linear import softmax
from modelzero.models.perceptron import mlp
from modelzero.models.tinyvgg import tinyvgg

SGD = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "schedule": "triangle"}
MODERN = {"batch_size": 128, "label_smoothing": 0.1, **SGD}
FASHION = [  # name, model, its settings, recipe, seeds
    ("softmax, rate 0.1", softmax, {}, {"epochs": 3}, (1, 2)),
    ("softmax, rate 0.02", softmax, {}, {"epochs": 3, "learning_rate": 0.02}, (1, 2)),
    ("softmax, 5 epochs, rate 0.1 up and down", softmax, {}, {"epochs": 5, "schedule": "triangle"}, (1, 2)),
    *[
        (f"mlp {width}, rate {rate}", mlp, {"width": width}, {"epochs": 8, "learning_rate": rate, **MODERN}, (1, 2))
        for width, rate in [(128, 0.1), (256, 0.05), (256, 0.1), (256, 0.2), (512, 0.1)]
    ],
    ("tinyvgg, the chapter's recipe", tinyvgg, {}, {}, range(42, 50)),
    ("tinyvgg, up and down", tinyvgg, {}, {"schedule": "triangle"}, range(42, 50)),
    ("tinyvgg, 4 epochs as mlp", tinyvgg, {}, {"epochs": 4, "learning_rate": 0.1, **MODERN}, range(42, 50)),
    *[
        (
            f"convnet {channels}, {epochs} epochs, rate {rate}, flip {flip}",
            convnet,
            {"channels": channels},
            {"epochs": epochs, "learning_rate": rate, "flip": flip, **MODERN},
            (1, 2),
        )
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
]
DIGITS = [
    (f"{model.__name__} at least {steps} steps", model, {}, {"least_steps": steps, **recipe}, (42, 43, 44))
    for model, recipe, choices in [
        (softmax, {"epochs": 5, "schedule": "triangle"}, (200, 500, 1000, 2000)),
        (tinyvgg, {"schedule": "triangle"}, (200, 500, 1000, 2000)),
        (mlp, {"epochs": 8, "learning_rate": 0.1, **MODERN}, (200, 500, 1000)),
        (convnet, {"epochs": 4, "learning_rate": 0.2, **MODERN}, (200, 500, 1000)),
    ]
    for steps in choices
]


def cut(data, train_images=50_000):
    """Cut the training split alone in two."""
    train, rest = (mz.Split(data.train.images[part], data.train.labels[part])
                   for part in (slice(train_images), slice(train_images, None)))  # fmt: skip
    return mz.ImageData("validation cut", train=train, test=rest, classes=data.classes)


def main():
    words = sys.argv[1:]
    print("| recipe | validation accuracy, % (one for each seed) | mean | train seconds |\n| --- | --- | ---: | ---: |")
    for name, train_images, candidates in (("fashion-mnist", 50_000, FASHION), ("digits", 1_000, DIGITS)):
        data = cut(mz.load(name), train_images)
        for title, make, settings, recipe, seeds in candidates:
            if any(word not in title for word in words):
                continue
            rung = mz.Rung(make.__name__, functools.partial(make, **settings), **recipe)
            with tempfile.TemporaryDirectory() as folder:
                runs = [mz.train(data, rung, seed=seed, threads=1, runs_dir=folder, progress=False) for seed in seeds]
            accuracies = [100 * run.history[-1].test_accuracy for run in runs]
            took = statistics.mean(run.train_seconds for run in runs)
            listed = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
            print(f"| {title} | {listed} | {statistics.mean(accuracies):.2f} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
