"""Pieces of arrays in host memory, and how threads share them."""

import numpy as np
import pytest

from gangplank._native import pieces


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_shares_hold_every_value_once(threads):
    batch = [*enumerate(np.split(np.arange(1000), [0, 1, 10, 10, 400, 999]))]
    shares = pieces.shares_of(batch, threads, 1)
    assert [value for share in shares for _, part in share for value in part] == list(range(1000))
    assert {group for share in shares for group, _ in share} == {1, 2, 4, 5, 6}
    sizes = [sum(part.size for _, part in share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
