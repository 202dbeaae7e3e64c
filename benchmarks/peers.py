"""Claims: model 0, three epochs with evaluation: twice as fast as JAX's warm jitted scan, 5 times the next peer.

The same training (60,000 images, batches of 32, SGD at 0.1, cross-entropy, evaluation on 10,000 images after each
epoch) as each library's own documentation writes it, with the data in memory and loading excluded. Each side runs
twice in its own process: cold, then warm; the sides alternate. Libraries that are not installed are listed and skipped;
`make bench-peers` installs them all into a separate environment.

    python benchmarks/peers.py [--repeats 5] [--only NAME,NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

EPOCHS, BATCH, RATE = 3, 32, 0.1


def arrays():
    """Float32 rows in [0, 1] and labels, of both splits."""
    import numpy as np

    import modelzero as mz

    data = mz.load("fashion-mnist")
    return [
        part
        for split in (data.train, data.test)
        for part in ((split.images.flatten(1).numpy() / np.float32(255)), split.labels.numpy())
    ]


def model0():
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Linear(10, 10))


def chapter():
    import modelzero as mz
    from modelzero.bench import chapter_loop

    data = mz.load("fashion-mnist")
    return lambda: chapter_loop(data)[0][-1][2] / 100


def dataloader():
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset

    x, y, test_x, test_y = map(torch.from_numpy, arrays())

    def run():
        model = model0()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True)
        tests = DataLoader(TensorDataset(test_x, test_y), BATCH)
        for _ in range(EPOCHS):
            for images, labels in loader:
                loss = cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.inference_mode():
                right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in tests)
        return right / len(test_y)

    return run


def eager():
    import torch
    from torch.nn.functional import cross_entropy

    x, y, test_x, test_y = map(torch.from_numpy, arrays())

    def run():
        model = model0()
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        for _ in range(EPOCHS):
            order = torch.randperm(len(y))
            for start in range(0, len(y), BATCH):
                chosen = order[start : start + BATCH]
                loss = cross_entropy(model(x[chosen]), y[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.inference_mode():
                right = (model(test_x).argmax(1) == test_y).sum().item()
        return right / len(test_y)

    return run


def lightning():
    import logging

    import lightning as pl
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    x, y, test_x, test_y = map(torch.from_numpy, arrays())

    class Model0(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = model0()

        def training_step(self, batch, _):
            return cross_entropy(self.layers(batch[0]), batch[1])

        def validation_step(self, batch, _):
            right = (self.layers(batch[0]).argmax(1) == batch[1]).float().mean()
            self.log("accuracy", right, batch_size=len(batch[1]))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=RATE)

    def run():
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = pl.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", num_sanity_val_steps=0, enable_model_summary=False, **quiet
        )
        loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True)
        trainer.fit(Model0(), loader, DataLoader(TensorDataset(test_x, test_y), BATCH))
        return trainer.callback_metrics["accuracy"].item()

    return run


def skorch():
    import skorch
    import torch
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x, y, test_x, test_y = arrays()

    def run():
        net = skorch.NeuralNetClassifier(
            model0(),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            lr=RATE,
            batch_size=BATCH,
            max_epochs=EPOCHS,
            iterator_train__shuffle=True,
            train_split=predefined_split(Dataset(test_x, test_y)),
            verbose=0,
        )
        net.fit(x, y)
        return float(net.history[-1]["valid_acc"])

    return run


def keras(backend):
    os.environ["KERAS_BACKEND"] = backend
    import keras

    x, y, test_x, test_y = arrays()

    def run():
        model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(RATE), loss, metrics=["accuracy"])
        told = model.fit(x, y, BATCH, EPOCHS, verbose=0, validation_data=(test_x, test_y), validation_batch_size=BATCH)
        return told.history["val_accuracy"][-1]

    return run


def scikit_learn():
    from sklearn.neural_network import MLPClassifier

    x, y, test_x, test_y = arrays()

    def run():
        model = MLPClassifier(
            (10,), activation="identity", solver="sgd", alpha=0, batch_size=BATCH, learning_rate_init=RATE, momentum=0
        )
        for _ in range(EPOCHS):
            model.partial_fit(x, y, classes=range(10))
            right = model.score(test_x, test_y)
        return right

    return run


def jax():
    import jax
    import jax.numpy as jnp

    x, y, test_x, test_y = map(jnp.asarray, arrays())
    steps = len(y) // BATCH

    def logits(weights, images):
        return (images @ weights[0] + weights[1]) @ weights[2] + weights[3]

    def loss(weights, images, labels):
        logs = jax.nn.log_softmax(logits(weights, images))
        return -jnp.take_along_axis(logs, labels[:, None], 1).mean()

    @jax.jit
    def epoch(weights, key):
        order = jax.random.permutation(key, len(y)).reshape(steps, BATCH)

        def step(weights, chosen):
            value, gradient = jax.value_and_grad(loss)(weights, x[chosen], y[chosen])
            return jax.tree.map(lambda w, g: w - RATE * g, weights, gradient), value

        weights, losses = jax.lax.scan(step, weights, order)
        return weights, losses.mean(), (logits(weights, test_x).argmax(1) == test_y).mean()

    def run():
        keys = jax.random.split(jax.random.key(42), EPOCHS + 2)
        first, second = (
            jax.random.uniform(k, s, minval=-1) * s[0] ** -0.5
            for k, s in zip(keys, ((784, 10), (10, 10)), strict=False)
        )
        weights = [first, jnp.zeros(10), second, jnp.zeros(10)]
        for key in keys[2:]:
            weights, train_loss, right = epoch(weights, key)
            float(train_loss)  # each epoch's figures are looked at, as everywhere here
            accuracy = float(right)
        return accuracy

    return run


def modelzero():
    import modelzero as mz

    data = mz.load("fashion-mnist")
    folder = tempfile.mkdtemp()
    return lambda: mz.train(data, "model0", runs_dir=folder, progress=False).history[-1].test_accuracy


SIDES = {
    "modelzero, recorded": modelzero,
    "JAX, each epoch one jitted scan": jax,
    "scikit-learn, MLPClassifier": scikit_learn,
    "eager torch, data in memory": eager,
    "torch, DataLoader over a TensorDataset": dataloader,
    "skorch": skorch,
    "Keras on JAX": lambda: keras("jax"),
    "Lightning over a TensorDataset": lightning,
    "Keras on torch": lambda: keras("torch"),
    "the chapter's loop": chapter,
}


def one(name):
    """Run one side cold and warm; print both times, and the accuracy, as JSON."""
    run = SIDES[name]()
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        accuracy = run()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"cold": seconds[0], "warm": seconds[1], "accuracy": float(accuracy)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="only sides whose name contains one of these comma-separated words")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one)
        return
    words = arguments.only.split(",") if arguments.only else [""]
    answers = {name: [] for name in SIDES if any(word in name for word in words)}
    for repeat in range(arguments.repeats):
        for name in list(answers):
            command = [sys.executable, __file__, "--one", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"skipped: {name}: {done.stderr.strip().splitlines()[-1]}", flush=True)
                del answers[name]
                continue
            answers[name].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{repeat + 1} of {arguments.repeats}", flush=True)
    print("\n| side | cold | warm, median | min to max | times modelzero's, pair by pair | accuracy |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    ours = [answer["warm"] for answer in answers.get("modelzero, recorded", [])]
    for name, told in answers.items():
        warm = [answer["warm"] for answer in told]
        ratios = [theirs / mine for theirs, mine in zip(warm, ours, strict=True)] if ours else [float("nan")]
        cold = statistics.median(answer["cold"] for answer in told)
        accuracy = 100 * statistics.median(answer["accuracy"] for answer in told)
        times = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        warmth = f"{statistics.median(warm):.3f} s | {min(warm):.3f} to {max(warm):.3f} s"
        print(f"| {name} | {cold:.2f} s | {warmth} | {times} | {accuracy:.1f} % |")


if __name__ == "__main__":
    main()
