"""Weights to count."""

from functools import lru_cache

import numpy as np

# A large array repeats so many of them, since making 1e9 takes longer than counting them.
DISTINCT = 10**7


@lru_cache(maxsize=2)
def normal(size):
    """Float32 weights as models have them, normal with a standard deviation of 0.1."""
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal(min(size, DISTINCT), np.float32) * np.float32(0.1)
    return np.resize(distinct, size)
