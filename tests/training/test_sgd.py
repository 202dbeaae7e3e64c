"""The optimizer is torch's, without what torch imports for it."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from modelzero.training.sgd import SGD, AdamW


@pytest.mark.parametrize(
    ("kinds", "settings"),
    [
        ((SGD, torch.optim.SGD), {}),
        ((SGD, torch.optim.SGD), {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}),
        ((SGD, torch.optim.SGD), {"momentum": 0.5, "foreach": True}),
        ((AdamW, torch.optim.AdamW), {"foreach": False}),
        ((AdamW, torch.optim.AdamW), {"weight_decay": 0.1, "foreach": True}),
    ],
)
def test_every_step_is_torchs_to_the_bit(kinds, settings):
    """Weights and state, after twenty steps with a changing rate."""
    torch.manual_seed(0)
    images, labels = torch.rand(20, 8, 6), torch.randint(3, (20, 8))
    models = [nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [kind(model.parameters(), lr=0.1, **settings) for kind, model in zip(kinds, models, strict=True)]
    for step in range(20):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[step]), labels[step]).backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))
    own, torchs = (optimizer.state_dict()["state"] for optimizer in optimizers)
    assert own.keys() == torchs.keys()
    for place, state in own.items():
        assert all(value is None or torch.equal(value, torchs[place][name]) for name, value in state.items())


def test_a_training_imports_neither_torchs_compiler_nor_scikit_learn():
    """They take longer than the training. The first load of digits needs scikit-learn, the second does not."""
    code = (
        "import sys, modelzero as mz\n"
        "mz.train('digits', 'softmax', epochs=1, engine='torch', progress=False)\n"
        "mz.train('digits', 'softmax', epochs=1, optimizer='adamw', clip_norm=1, early_stopping=0.1, progress=False)\n"
        "print(sorted({'torch._dynamo', 'sklearn'} & sys.modules.keys()))\n"
    )
    printed = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
               for _ in range(2)]  # fmt: skip
    assert printed[1] == "[]\n"
