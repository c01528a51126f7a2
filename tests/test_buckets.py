"""Bounds as users write them."""

import math
from fractions import Fraction

import numpy as np
import pytest

import gangplank
from gangplank import NativeBuckets, weights_histogram
from gangplank.weights.buckets import finite_bounds


def test_presets():
    assert gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3 == (
        *(-0.3, -0.25, -0.2, -0.15, -0.1, -0.05),
        *(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
    )
    assert gangplank.HISTOGRAM_WEIGHT_BUCKETS_1_0 == (
        *(-1.0, -0.9, -0.8, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1),
        *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    )


@pytest.mark.parametrize(
    ("buckets", "bounds"),
    [
        ([1, 2], (1.0, 2.0)),
        ((0.5, math.inf), (0.5,)),
        (np.linspace(0, 1, 3), (0.0, 0.5, 1.0)),
        (np.array([0.1], np.float32), (0.10000000149011612,)),
        (iter([Fraction(1, 4), np.int8(3)]), (0.25, 3.0)),
        (range(3), (0.0, 1.0, 2.0)),
    ],
)
def test_numbers_of_any_kind(buckets, bounds):
    received = finite_bounds(buckets, "buckets")
    assert received == bounds
    assert all(type(bound) is float for bound in received)


def test_negative_zero_becomes_zero():
    (bound,) = finite_bounds([-0.0], "buckets")
    assert math.copysign(1, bound) == 1


BAD = [
    ([-0.3, 0.1, 0.1], r"element 2 \(0.1\) does not exceed element 1 \(0.1\)"),
    ([0.2, 0.1], r"element 1 \(0.1\) does not exceed element 0 \(0.2\)"),
    ([-0.0, 0.0], "strictly increasing"),
    ([0.1, math.nan], "element 1 is nan"),
    ([-math.inf, 0.1], "element 0 is -inf"),
    ([0.1, math.inf, 0.2], "element 1 is inf"),
    ([], "at least one finite upper bound"),
    ([math.inf], "at least one finite upper bound"),
    (["0.1"], "element 0 is '0.1', of type str"),
    ([[0.1, 0.2]], r"element 0 is \[0.1, 0.2\], of type list"),
    (np.zeros((2, 2)), "of type ndarray"),
    ([0.1, None], "element 1 is None"),
    ([True], "element 0 is True, of type bool"),
    ([1j], "of type complex"),
    ([10**400], "element 0 exceeds them all"),
    (b"12", "a sequence of numbers"),
    ("0.1", "element 0 is '0', of type str"),
    (0.1, "a sequence of numbers"),
    (None, "a sequence of numbers"),
    (np.array(0.5), "a sequence of numbers"),
]


@pytest.mark.parametrize(("buckets", "message"), BAD, ids=[str(buckets) for buckets, _ in BAD])
def test_anything_else_is_refused(buckets, message):
    with pytest.raises(ValueError, match=message) as refusal:
        gangplank.weights_histogram([np.zeros(1)], buckets)
    assert str(refusal.value).startswith("buckets must ")
    assert "Received " in str(refusal.value)


def test_the_exporter_refuses_buckets_where_they_are_written():
    with pytest.raises(ValueError, match=r"^histogram_buckets must be strictly increasing"):
        gangplank.TrainTestExporter(None, "job", histogram_buckets=[2, 1])


def test_a_long_list_is_shortened_in_the_message():
    with pytest.raises(ValueError, match="strictly increasing") as refusal:
        finite_bounds(list(range(10_000, 0, -1)), "buckets")
    assert len(str(refusal.value)) < 500


def test_native_buckets_among_bounds_and_their_class():
    for buckets in ([NativeBuckets()], (NativeBuckets(), [0.0])):
        with pytest.raises(ValueError, match=r"Pass NativeBuckets\(\) by itself, or to the callb"):
            weights_histogram([np.ones(3)], buckets)
    with pytest.raises(ValueError, match=r"Pass NativeBuckets\(\), with parentheses"):
        weights_histogram([np.ones(3)], NativeBuckets)
