"""What buckets keep of Kolmogorov-Smirnov's statistic of the values themselves."""

import numpy as np
from scipy import stats

from gangplank import NativeBuckets
from gangplank.drift.comparison import ks_statistics
from gangplank.drift.features import features_of
from gangplank.weights import counting

REFERENCE, WINDOW, TRIALS = 2000, 500, 50


def some(share, rng, values):
    """That share of them, and 0 else."""
    return np.where(rng.random(values.size) < share, values, 0)


def of_two(rng, n):
    return rng.normal(np.where(rng.random(n) < 0.5, 100, 300), 1, n)


# Values, and how they drift.
KINDS = {
    "normal": (lambda rng, n: rng.normal(size=n), lambda x: x + 0.3),
    "290 to 300": (lambda rng, n: rng.uniform(290, 300, n), lambda x: x + 1),
    "101,325 ± 500": (lambda rng, n: rng.normal(101_325, 500, n), lambda x: x + 150),
    "years": (lambda rng, n: rng.integers(1990, 2026, n), lambda x: x + 4),
    "log-normal": (lambda rng, n: np.exp(3 * rng.normal(size=n)), lambda x: x * 1.5),
    "half zero": (lambda rng, n: np.maximum(rng.normal(size=n), 0), lambda x: x * 1.3),
    "0 or 300 ± 2": (
        lambda rng, n: some(0.4, rng, rng.normal(300, 2, n)),
        lambda x: np.where(x, x + 2, 0),
    ),
    "100 ± 1 or 300 ± 1": (of_two, lambda x: x + 0.5),
    "300 ± 0.01": (lambda rng, n: rng.normal(300, 0.01, n), lambda x: x + 0.003),
    "always 300": (lambda _, n: np.full(n, 300), lambda x: x + 2),
}


def by_native_buckets(schema):
    """The statistic by buckets about zero, all of them."""
    bounds = counting(NativeBuckets(schema)).bounds.values

    def statistic(*samples):
        places = (np.searchsorted(bounds, each) for each in samples)
        counts = (np.bincount(each, minlength=bounds.size + 1)[np.newaxis] for each in places)
        return ks_statistics(*counts)[0]

    return statistic


def by_quantiles(buckets):
    def statistic(reference, window):
        counted = features_of(reference[:, np.newaxis], (("", (1,)),), buckets)
        return ks_statistics(counted.counts, counted.count(window[:, np.newaxis]))[0]

    return statistic


WAYS = {
    **{f"native, schema {schema}": by_native_buckets(schema) for schema in (3, 5, 8)},
    **{f"at most {buckets}": by_quantiles(buckets) for buckets in (16, 32, 64, 128, 256)},
}


def measured_buckets():
    for way, statistic in WAYS.items():
        kept = {kind: share(*KINDS[kind], statistic) for kind in KINDS}
        print(way, kept, flush=True)
        yield {"buckets": way, "kept": kept}


def share(draw, drift, statistic):
    """The mean share of the statistic that is kept."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(TRIALS):
        reference = draw(rng, REFERENCE).astype(np.float32)
        window = drift(draw(rng, WINDOW)).astype(np.float32)
        of_values = stats.ks_2samp(reference, window, method="asymp").statistic
        shares.append(statistic(reference, window) / of_values)
    return float(np.mean(shares))
