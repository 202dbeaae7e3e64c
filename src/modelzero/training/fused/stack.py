"""Choose the engine of a training, and check which models the compiled kernel can train."""

from __future__ import annotations

import torch
from torch import nn

from modelzero.errors import SettingError
from modelzero.models.recipe import Recipe
from modelzero.models.standardise import Standardise
from modelzero.training.options import ENGINES

# Settings of a recipe that the kernel does not have, in words.
_NOT_COMPILED = {
    "loss": "a loss of its own",
    "class_weights": "class weights",
    "transform": "a transform of images",
    "clip_norm": "a limit on the gradients",
    "early_stopping": "early stopping",
}


def choose_engine(engine: str, model: nn.Module, recipe: Recipe, device: str) -> tuple[str, str]:
    """Choose the engine that trains a model, `torch` or `fused`; return it with the reason.

    By a rule, not by timing, because the last bits of the results differ.

    Raises:
        SettingError: the engine is unknown, or `fused` cannot train the model.
    """
    if engine not in ENGINES:
        raise SettingError(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
    if engine == "torch":
        return "torch", "torch: as requested"
    why_not = what_hinders(model, recipe)
    if why_not is None and device not in ("auto", "cpu"):
        why_not = f"the fused kernel computes on the CPU, not on {device}"
    if engine == "fused":
        if why_not is not None:
            raise SettingError(f"engine 'fused' cannot train this: {why_not}; use auto or torch")
        return "fused", "fused: as requested"
    return ("fused", "fused: linear layers and ReLU with SGD") if why_not is None else ("torch", f"torch: {why_not}")


def what_hinders(model: nn.Module, recipe: Recipe) -> str | None:
    """Return why the kernel cannot train a model; None if it can.

    It can train an `nn.Sequential` of one `nn.Flatten`, perhaps after a `Standardise`, then `nn.Linear` layers, each
    optionally followed by an `nn.ReLU`: no subclasses, hooks, shared or frozen weights.

    >>> what_hinders(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), Recipe())
    >>> what_hinders(nn.Sequential(nn.Flatten(), nn.Tanh()), Recipe())
    'it has a Tanh, expected a Linear or ReLU'
    """
    for name, does in (("flip", "mirrors"), ("shift", "moves"), ("reduced", "reduces")):
        if getattr(recipe, name):
            return f"its recipe {does} images"
    if recipe.precision == "bf16":
        return "its recipe computes with bfloat16"
    if recipe.optimizer != "sgd":
        return f"its optimizer is {recipe.recipe()['optimizer']}, not sgd"
    for name, words in _NOT_COMPILED.items():
        if getattr(recipe, name) is not None:
            return f"its recipe has {words}"
    layers: list[nn.Module] = list(model) if type(model) is nn.Sequential else []
    after = layers[1:] if layers and type(layers[0]) is Standardise else layers
    if not after or type(after[0]) is not nn.Flatten:
        return "it is not an nn.Sequential that begins with nn.Flatten"
    if (after[0].start_dim, after[0].end_dim) != (1, -1):
        return "its Flatten keeps some dimensions"
    before: type[nn.Module] = nn.ReLU
    for layer in after[1:]:
        if type(layer) not in (nn.Linear, nn.ReLU):
            return f"it has a {type(layer).__name__}, expected a Linear or ReLU"
        if type(layer) is nn.ReLU and before is nn.ReLU:
            return "it has a ReLU that does not follow a Linear"
        before = type(layer)
    tensors = list(model.parameters())
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if not linears:
        return "it has no Linear"
    if any(layer.bias is None for layer in linears):
        return "it has a Linear without bias"
    if len(tensors) < 2 * len(linears):
        return "its layers share weights"
    if any(not tensor.requires_grad for tensor in tensors):
        return "some of its weights are frozen"
    if any(tensor.dtype != torch.float32 or tensor.device.type != "cpu" for tensor in tensors):
        return "its weights are not float32 on the CPU"
    parts: list[nn.Module | torch.Tensor] = [model, *layers, *tensors]
    if any(_hooked(part) for part in parts):
        return "it has hooks or a replaced forward method"
    return None


def _hooked(held: nn.Module | torch.Tensor) -> bool:
    """Detect hooks, including those of weight_norm, and replaced methods."""
    if isinstance(held, torch.Tensor):
        return bool(getattr(held, "_backward_hooks", None) or getattr(held, "_post_accumulate_grad_hooks", None))
    return "forward" in vars(held) or any(
        value for name, value in vars(held).items() if name.endswith("_hooks") and "state_dict" not in name
    )
