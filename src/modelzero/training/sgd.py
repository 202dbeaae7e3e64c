"""`torch.optim.SGD` and `torch.optim.AdamW` without the import of torch's compiler.

The methods of torch's optimizers are wrapped for `torch.compile`, and the first call of a wrapper imports the compiler:
2.7 s in each process that trains (torch 2.13.0), longer than many trainings take. Here the methods are called without
their wrappers.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

_add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
_sgd_step = inspect.unwrap(torch.optim.SGD.step)
_adam_step = inspect.unwrap(torch.optim.AdamW.step)


class _Unwrapped(torch.optim.Optimizer):
    """What both optimizers call without wrappers."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to optimize, as torch does."""
        _add_param_group(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: FBT002 - the signature of torch
        """Delete all gradients, or set them to zero."""
        _zero_grad(self, set_to_none)


class SGD(_Unwrapped, torch.optim.SGD):
    """Stochastic gradient descent, bit for bit as `torch.optim.SGD` does it.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = SGD([weight], lr=0.5)
    >>> (2 * weight).backward()
    >>> optimizer.step()
    >>> weight.item()
    0.0
    """

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Do one step with the gradients as they are."""
        _sgd_step(self)


class AdamW(_Unwrapped, torch.optim.AdamW):
    """Adam with decoupled weight decay, bit for bit as `torch.optim.AdamW` does it.

    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = AdamW([weight], lr=0.5)
    >>> (2 * weight).backward()
    >>> optimizer.step()
    >>> weight.item()
    0.495...
    """

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Do one step with the gradients as they are."""
        _adam_step(self)
