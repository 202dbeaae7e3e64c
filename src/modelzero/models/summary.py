"""Summarise a model: layers, output shapes, parameters, multiply-adds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One layer of a model, as a single image passes it.

    Args:
        name: its place in the model, such as "0.2".
        kind: its class, such as "Conv2d".
        output_shape: without the batch.
        parameters: numbers that training changes.
        multiply_adds: for one image, as torch's own FlopCounterMode counts them: matrix products and convolutions
            (half of what it calls FLOPs); adding a bias or a ReLU counts nothing.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers(model: nn.Module, image_shape: tuple[int, int, int]) -> list[Layer]:
    """List the innermost layers in the order in which an image passes them.

    >>> from modelzero.models.linear import model0
    >>> [layer.multiply_adds for layer in layers(model0((1, 28, 28), 10), (1, 28, 28))]
    [0, 7840, 100]
    """
    passed: list[tuple[str, nn.Module, tuple[int, ...]]] = []
    handles = [
        module.register_forward_hook(lambda module, _, output, name=name: passed.append((name, module, _shape(output))))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    try:
        flops = _flops(model, image_shape)
    finally:
        for handle in handles:
            handle.remove()
    root = type(model).__name__
    # The counter adds up all passes through a module; a layer that is passed twice is listed twice.
    passes = Counter(name for name, _, _ in passed)
    return [
        Layer(
            name=name,
            kind=type(module).__name__,
            output_shape=shape,
            parameters=parameters(module),
            multiply_adds=sum(flops.get(f"{root}.{name}" if name else root, {}).values()) // 2 // passes[name],
        )
        for name, module, shape in passed
    ]


def parameters(model: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def multiply_adds(model: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count the multiply-adds of one image's forward pass.

    >>> multiply_adds(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3)), (1, 8, 8))
    670
    """
    stack = list(model) if type(model) is nn.Sequential else []
    if stack and type(stack[0]) is nn.Flatten and all(type(layer) in (nn.Linear, nn.ReLU) for layer in stack[1:]):
        # Equal to the counter, which imports torch's compiler: that takes longer than training model 0.
        return sum(layer.in_features * layer.out_features for layer in stack if isinstance(layer, nn.Linear))
    return sum(_flops(model, image_shape)["Global"].values()) // 2


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode in the block; restore the mode of each of its modules afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _flops(model: nn.Module, image_shape: tuple[int, int, int]) -> dict[str, dict[Any, int]]:
    from torch.utils.flop_counter import FlopCounterMode

    # Two images, as in the check of a new model: some models cannot take one alone.
    with torch.no_grad(), evaluating(model), FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, *image_shape, device=next(model.parameters()).device))
    counts = {"Global": {}, **counter.get_flop_counts()}
    return {name: {op: count // 2 for op, count in ops.items()} for name, ops in counts.items()}


def _shape(output: object) -> tuple[int, ...]:
    return tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
