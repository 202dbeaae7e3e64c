"""How recipes that follow the images were chosen: on validation sets held out from the training splits of several sets.

A fifth of each training split, drawn at random, is the validation set; the test splits are not used. docs/ladder.md has
the results.

    python benchmarks/recipes_sets.py mlp fashion-mnist digits photos.zip [--seeds 1,2]
"""

import argparse
import tempfile

import torch

import modelzero as mz
from modelzero.models.rungs import rung_named

CANDIDATES = {
    "model0": [
        {"least_steps": 1, "standardise": False, "full_rate_power": None},
        *[{"least_steps": steps, "standardise": False, "full_rate_power": 200} for steps in (1, 1000, 3000)],
        *[{"standardise": True, "full_rate_power": None, "learning_rate": rate} for rate in (0.001, 0.003, 0.01, 0.03)],
        {},
    ],
    "softmax": [
        {},
        {"full_rate_power": 200},
        *[{"standardise": True, "full_rate_power": 784, "learning_rate": rate} for rate in (0.01, 0.03)],
    ],
    "mlp": [
        {"standardise": False, "full_rate_power": None},
        *[{"full_rate_power": None, "learning_rate": rate} for rate in (0.1, 0.03)],
        *[{"full_rate_power": power} for power in (784, 3072)],
    ],
    "tinyvgg": [
        {"standardise": False, "clip_norm": None},
        {"standardise": False, "clip_norm": 1.0},
        *[{"standardise": True, "clip_norm": 1.0, "learning_rate": rate} for rate in (0.1, 0.05)],
    ],
    "convnet": [
        {"standardise": False, "flip": False, "shift": 0.0},
        {"standardise": True, "flip": False, "shift": 0.0},
        {"standardise": True, "flip": None, "shift": 0.0},
        {"standardise": True, "flip": None, "shift": 1 / 16},
    ],
    "resnet": [{}, {"reduced": 0.0}],
}
CANDIDATES["model1"] = CANDIDATES["model0"]


def cut(data):
    """Hold out a fifth of the training split as the validation set."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    held = len(order) // 5
    train, rest = (
        mz.Split(data.train.images[part].contiguous(), data.train.labels[part]) for part in (order[held:], order[:held])
    )
    return mz.ImageData("validation cut", train=train, test=rest, classes=data.classes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rung", choices=sorted(CANDIDATES))
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", default="1,2")
    arguments = parser.parse_args()
    own = rung_named(arguments.rung)
    print("| set | recipe, where it differs | rate | validation accuracy, % | train seconds |")
    print("| --- | --- | ---: | --- | ---: |")
    for source in arguments.data:
        data = mz.load(source, progress=False)
        name, held = f"{data.name} {'x'.join(map(str, data.image_shape))}", cut(data)
        for changes in CANDIDATES[arguments.rung]:
            recipe = own.recipe() | changes | {"loss": None, "second_chance": False}
            rung, found, rate, seconds = mz.Rung("candidate", own.make, **recipe), [], None, 0.0
            for seed in map(int, arguments.seeds.split(",")):
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        run = mz.train(held, rung, seed=seed, threads=1, runs_dir=folder, progress=False)
                    except mz.TrainingError:
                        found.append("NaN")
                        continue
                    rate, seconds = run.record.learning_rate, run.train_seconds
                    found.append(f"{100 * run.history[-1].test_accuracy:.2f}")
            words = ", ".join(f"{key} {value}" for key, value in changes.items()) or "the ladder's"
            print(f"| {name} | {words} | {rate or '':} | {', '.join(found)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
