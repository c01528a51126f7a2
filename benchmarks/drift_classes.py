"""The test of the predicted classes where some are rare or new, beside SciPy's of all classes."""

import numpy as np
from scipy import stats

from gangplank.drift.comparison import classes_test

REFERENCE, WINDOW, TRIALS = 2000, 500, 1000


def with_rare(count, share):
    """Nine classes that are alike and `count` that have that share each."""
    return np.append(np.full(9, (1 - count * share) / 9), np.full(count, share))


def as_one_over(count):
    """The i-th class has 1 / i of what the first has."""
    shares = 1 / np.arange(1, count + 1)
    return shares / shares.sum()


NINE, HUNDRED = with_rare(0, 0), as_one_over(100)

# The shares of the classes, and of how many samples of a window there is one more.
CASES = {
    "none; nine classes and one of 1 / 2,000": (with_rare(1, 1 / 2000), 0),
    "none; nine classes and one of 1 / 200": (with_rare(1, 1 / 200), 0),
    "none; nine classes and a hundred of 1 / 2,000": (with_rare(100, 1 / 2000), 0),
    "none; a hundred classes, the i-th 1 / i as frequent": (HUNDRED, 0),
    "a new class in 3 samples; nine others": (NINE, 3),
    "a new class in 5 samples; nine others": (NINE, 5),
    "a new class in 10 samples; nine others": (NINE, 10),
    "a new class in 10 samples; those hundred others": (HUNDRED, 10),
    "a new class in 20 samples; those hundred others": (HUNDRED, 20),
}
TESTS = {
    "gangplank": lambda *counts: classes_test(*counts)[-1],
    "SciPy": lambda *counts: stats.chi2_contingency(np.array(counts)).pvalue,
}


def measured_classes():
    for case, (shares, new) in CASES.items():
        rng = np.random.default_rng(0)
        p_values = {name: [] for name in TESTS}
        for _ in range(TRIALS):
            reference = np.append(rng.multinomial(REFERENCE, shares), 0)
            window = np.append(rng.multinomial(WINDOW - new, shares), new)
            is_there = reference + window > 0
            for name, test in TESTS.items():
                p_values[name].append(test(reference[is_there], window[is_there]))
        found = {"case": case, "trials": TRIALS}
        for name in TESTS:
            for level in (0.05, 0.01):
                found[f"{name}, {level}"] = float(np.mean(np.array(p_values[name]) <= level))
        print(found, flush=True)
        yield found
