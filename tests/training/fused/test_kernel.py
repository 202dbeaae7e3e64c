"""Compiled code is kept where that is possible, and costs only time where it is not."""

from __future__ import annotations

import numpy as np

from modelzero.training.fused.kernel import _compiled


def test_what_cannot_be_stored_is_compiled_all_the_same():
    """A function without a file is one that numba refuses to cache."""
    scope: dict = {}
    exec("def double(x): x[0] *= 2", scope)
    values = np.ones(1)
    _compiled("void(f8[::1])", scope["double"])(values)
    assert values[0] == 2
