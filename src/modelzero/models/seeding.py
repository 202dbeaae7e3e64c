"""Seed the global random generators, which models of other libraries draw from."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_ONE_AT_A_TIME = threading.RLock()  # all threads share the global generators


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy, Python and torch, and restore all three afterwards.

    Other threads that call it wait meanwhile. If CUDA is already in use, its generators are restored too. A model's own
    generator, such as `np.random.default_rng()`, is not seeded.

    >>> def draws():
    ...     with seeded(42):
    ...         return np.random.rand(), random.random(), torch.rand(1).item()
    >>> draws() == draws()
    True
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - models draw from the global one
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(numpys)  # noqa: NPY002
            random.setstate(pythons)
