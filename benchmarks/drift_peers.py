"""Other detectors on the windows of `drift.py`, which runs this in an environment of theirs.

    python benchmarks/drift_peers.py {alibi-detect,evidently} FILE

FILE is an .npz of columns, inputs and predictions beside one another: `plain` and `shifted`, and
of the trials the places of the `references` and `windows` among them. Prints the p-values as JSON,
and how long a window took.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np


def alibi_detect(reference, window):
    """Kolmogorov-Smirnov's test of each column, corrected as Bonferroni does."""
    from alibi_detect.cd import KSDrift

    found = KSDrift(reference, p_val=0.05, correction="bonferroni").predict(window)
    return min(1.0, float(found["data"]["p_val"].min()) * reference.shape[1])


def evidently(reference, window):
    """There is drift where half of the columns drift: the p-value that so many are at most."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    names = [f"column {i}" for i in range(reference.shape[1])]
    frames = (pd.DataFrame(each, columns=names) for each in (window, reference))
    report = Report([DataDriftPreset()]).run(*frames)
    metrics = report.dict()["metrics"]
    columns = [each for each in metrics if each["metric_name"].startswith("ValueDrift")]
    assert len(columns) == len(names)
    # Kolmogorov-Smirnov's test, or that of shares where a column has two values at most.
    assert all("p_value,threshold=0.05" in each["metric_name"] for each in columns)
    p_values = sorted(float(each["value"]) for each in columns)
    return p_values[(len(p_values) + 1) // 2 - 1]


PEERS = {"alibi-detect": alibi_detect, "evidently": evidently}


def main():
    name, path = sys.argv[1:]
    with np.load(path) as arrays:
        plain, shifted = arrays["plain"], arrays["shifted"]
        trials = list(zip(arrays["references"], arrays["windows"], strict=True))
    PEERS[name](plain[trials[0][0]], shifted[trials[0][1]])  # loads what it needs
    start = time.perf_counter()
    p_values = [PEERS[name](plain[reference], shifted[window]) for reference, window in trials]
    taken = (time.perf_counter() - start) / len(trials)
    print(json.dumps({"version": version(name), "p_values": p_values, "seconds": taken}))


if __name__ == "__main__":
    main()
