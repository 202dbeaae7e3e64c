"""The global random generators that models of others draw from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of numpy, Python and torch, and put all three back afterwards.

    Where CUDA is in use already, its generators are put back too. What draws from a generator of its own that nobody
    seeds, such as `np.random.default_rng()`, is not reached.

    >>> def draws():
    ...     with seeded(42):
    ...         return np.random.rand(), random.random(), torch.rand(1).item()
    >>> draws() == draws()
    True
    """
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one, which they draw from
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
