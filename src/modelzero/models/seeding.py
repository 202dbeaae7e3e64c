"""Seed the global random generators, which models of other libraries draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy, Python and torch, and restore all three afterwards.

    If CUDA is already in use, its generators are restored too. A model's own generator, such as
    `np.random.default_rng()`, is not seeded.

    >>> def draws():
    ...     with seeded(42):
    ...         return np.random.rand(), random.random(), torch.rand(1).item()
    >>> draws() == draws()
    True
    """
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - models draw from the global one
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpys)  # noqa: NPY002
            random.setstate(pythons)
