"""Claim: `mz.train` gives the chapter's figures for model 0 six times as fast (median) as the chapter's own loop.

Both sides run in this process, in turn: the chapter's loop (a Dataset that makes a PIL image and a tensor of every
picture, as torchvision's FashionMNIST and ToTensor do; DataLoader with its default collate; evaluation after each
epoch) and `mz.train`, which also writes its record. The figures of both are compared before the times are shown.

    python benchmarks/chapter_loop.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

import modelzero as mz


class Pictures(Dataset):
    """The per-picture path of torchvision.datasets.FashionMNIST with transforms.ToTensor, written out."""

    def __init__(self, split):
        self.images, self.targets = split.images[:, 0], split.labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        picture = Image.fromarray(self.images[index].numpy(), mode=None)
        tensor = torch.from_numpy(np.array(picture, copy=True)).view(*picture.size[::-1], 1)
        return tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.targets[index])


class ModelV0(nn.Module):
    """The chapter's FashionMNISTModelV0."""

    def __init__(self):
        super().__init__()
        self.layer_stack = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Linear(10, 10))

    def forward(self, x):
        return self.layer_stack(x)


def accuracy_fn(y_true, y_pred):
    return torch.eq(y_true, y_pred).sum().item() / len(y_pred) * 100


def chapter(data):
    """Run the chapter's training cell; return its printed figures and the seconds that it took."""
    torch.manual_seed(42)
    model = ModelV0()
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    train_dataloader = DataLoader(Pictures(data.train), batch_size=32, shuffle=True)
    test_dataloader = DataLoader(Pictures(data.test), batch_size=32, shuffle=False)
    torch.manual_seed(42)
    figures = []
    start = time.perf_counter()
    for _ in range(3):
        train_loss = 0
        for x, y in train_dataloader:
            model.train()
            loss = loss_fn(model(x), y)
            train_loss += loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        train_loss /= len(train_dataloader)
        test_loss, test_acc = 0, 0
        model.eval()
        with torch.inference_mode():
            for x, y in test_dataloader:
                test_pred = model(x)
                test_loss += loss_fn(test_pred, y)
                test_acc += accuracy_fn(y_true=y, y_pred=test_pred.argmax(dim=1))
            test_loss /= len(test_dataloader)
            test_acc /= len(test_dataloader)
        figures.append((train_loss.item(), test_loss.item(), test_acc))
    return figures, time.perf_counter() - start


def ours(data, runs_dir):
    start = time.perf_counter()
    run = mz.train(data, "model0", epochs=3, batch_size=32, learning_rate=0.1, seed=42, runs_dir=runs_dir)
    seconds = time.perf_counter() - start
    return [(e.train_loss, e.test_loss_batch_mean, 100 * e.test_accuracy_batch_mean) for e in run.history], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    data = mz.load("fashion-mnist")
    pairs = []
    with tempfile.TemporaryDirectory() as runs_dir:
        for repeat in range(repeats):
            (expected, slow), (found, fast) = chapter(data), ours(data, runs_dir)
            np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
            pairs.append((slow, fast))
            note = "  (cold)" if repeat == 0 else ""
            print(f"chapter's loop {slow:6.2f} s   mz.train {fast:5.2f} s   ratio {slow / fast:5.1f}{note}", flush=True)
    for epoch, (train_loss, test_loss, test_acc) in enumerate(found, 1):
        print(f"epoch {epoch}: train loss {train_loss:.4f}, test loss {test_loss:.4f}, test accuracy {test_acc:.4f} %")
    print("the figures of both agree to 1e-5")
    for name, values in (
        ("chapter's loop", [slow for slow, _ in pairs]),
        ("mz.train", [fast for _, fast in pairs]),
        ("ratio", [slow / fast for slow, fast in pairs]),
    ):
        print(f"{name:15} median {statistics.median(values):6.2f}  min {min(values):6.2f}  max {max(values):6.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process, both sides: {peak:.0f} MB; torch {torch.__version__}")


if __name__ == "__main__":
    main()
