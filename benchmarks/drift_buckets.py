"""What joined native buckets keep of Kolmogorov-Smirnov's statistic of the values themselves."""

from unittest import mock

import numpy as np
from scipy import stats

from gangplank.drift import features
from gangplank.drift.comparison import ks_statistics

REFERENCE, WINDOW, TRIALS = 2000, 500, 50

# Values, and how they drift.
KINDS = {
    "normal": (lambda rng, n: rng.normal(size=n), lambda x: x + 0.3),
    "290 to 300": (lambda rng, n: rng.uniform(290, 300, n), lambda x: x + 1),
    "101,325 ± 500": (lambda rng, n: rng.normal(101_325, 500, n), lambda x: x + 150),
    "years": (lambda rng, n: rng.integers(1990, 2026, n), lambda x: x + 4),
    "log-normal": (lambda rng, n: np.exp(3 * rng.normal(size=n)), lambda x: x * 1.5),
    "half zero": (lambda rng, n: np.maximum(rng.normal(size=n), 0), lambda x: x * 1.3),
}

# Schema, whether centres are medians where that is finer, and how many buckets.
WAYS = [
    *((schema, True, 128) for schema in (3, 4, 5, 6, 8)),
    *((schema, False, 128) for schema in (5, 8)),
    *((5, True, buckets) for buckets in (16, 32, 64, 256)),
]


def measured_buckets():
    for schema, is_centred, buckets in WAYS:
        kept = {}
        with mock.patch.object(features, "SCHEMA", schema):
            features.last_place.cache_clear()
            if is_centred:
                kept = {kind: share(kind, buckets) for kind in KINDS}
            else:
                with mock.patch.object(features, "_medians", no_medians):
                    kept = {kind: share(kind, buckets) for kind in KINDS}
        features.last_place.cache_clear()
        found = {"schema": schema, "is_centred": is_centred, "buckets": buckets, "kept": kept}
        print(found, flush=True)
        yield found


def no_medians(rows):
    return np.zeros(rows.shape[1], np.float32)


def share(kind, buckets):
    """The mean share of the statistic that is kept."""
    draw, drift = KINDS[kind]
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(TRIALS):
        reference = draw(rng, REFERENCE).astype(np.float32)
        window = drift(draw(rng, WINDOW)).astype(np.float32)
        counted = features.features_of(reference[:, np.newaxis], (("", (1,)),), buckets)
        (statistic,) = ks_statistics(counted.counts, counted.count(window[:, np.newaxis]))
        shares.append(statistic / stats.ks_2samp(reference, window, method="asymp").statistic)
    return float(np.mean(shares))
