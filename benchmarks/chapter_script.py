"""The chapter as a stand-alone script: reads the gzipped IDX files, makes PIL images and tensors, trains model 0.

`benchmarks/process.py` times it. It uses torch, numpy and Pillow, and nothing from modelzero.

    python benchmarks/chapter_script.py [FOLDER]
"""

import gzip
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")


class FashionMNIST(Dataset):
    """Like torchvision's, with its ToTensor."""

    def __init__(self, prefix):
        pictures = gzip.decompress((FOLDER / f"{prefix}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((FOLDER / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        self.data = torch.from_numpy(np.frombuffer(bytearray(pictures), np.uint8, offset=16).reshape(-1, 28, 28))
        self.targets = torch.from_numpy(np.frombuffer(bytearray(labels), np.uint8, offset=8).astype(np.int64))

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        picture = Image.fromarray(self.data[index].numpy())
        tensor = torch.from_numpy(np.array(picture, copy=True)).view(*picture.size[::-1], 1)
        return tensor.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.targets[index])


def main():
    train_dataloader = DataLoader(FashionMNIST("train"), batch_size=32, shuffle=True)
    test_dataloader = DataLoader(FashionMNIST("t10k"), batch_size=32, shuffle=False)
    torch.manual_seed(42)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Linear(10, 10))
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(42)
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
        test_loss, test_acc = 0, 0
        model.eval()
        with torch.inference_mode():
            for x, y in test_dataloader:
                test_pred = model(x)
                test_loss += loss_fn(test_pred, y)
                test_acc += torch.eq(y, test_pred.argmax(dim=1)).sum().item() / len(test_pred) * 100
            test_loss /= len(test_dataloader)
            test_acc /= len(test_dataloader)
        train_loss /= len(train_dataloader)
        print(f"Train loss: {train_loss:.5f} | Test loss: {test_loss:.5f}, Test acc: {test_acc:.2f}%")
    print(f"Train time on cpu: {time.perf_counter() - start:.3f} seconds")


if __name__ == "__main__":
    main()
