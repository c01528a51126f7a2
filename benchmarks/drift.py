"""What a DriftMonitor finds, what it takes for drift that is none, how fast it is, what it takes.

    python benchmarks/drift.py [--alibi-detect PYTHON] [--evidently PYTHON] [--only PART …]

On scikit-learn's digits and a small model: false alarms where there is no drift, and how many
windows with a shift are found, beside SciPy's tests on the values themselves and beside other
detectors, each run by the interpreter of an environment that has it. Writes `results/drift.json`
and from it the tables of `docs/drift.md`. A part that is not run keeps its last figures, and on
what and with which versions they were measured; the other detectors are one if they are there.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from drift_buckets import measured_buckets
from drift_classes import measured_classes
from drift_tables import put_tables
from scipy import stats

import gangplank

RESULT = Path(__file__).parent / "results" / "drift.json"
PEERS = Path(__file__).parent / "drift_peers.py"

WINDOWS = (100, 200, 500)
WITHOUT_DRIFT, WITH_DRIFT = 1000, 200
EVIDENTLY_TRIALS, EVIDENTLY_SHIFTS = 20, ("none", "one class missing", "brightness × 0.9")
OVERFITTED = {"epochs": 400, "wrong": 0.2}
LEVELS = (0.05, 0.01)
FEATURES = 1000
REFERENCE_SIZES, REFERENCES, WINDOWS_A_REFERENCE = (500, 2000, 20_000), 50, 100


def monitored(reference, window):
    """The p-value of a monitor, of samples and predictions each."""
    monitor = gangplank.DriftMonitor(gangplank.drift_reference(*reference), window=len(window[0]))
    return monitor(*window).p_value


def of_one_family(reference, window):
    """The p-value that the predicted class would have among the tests of 1,000 features."""
    monitor = gangplank.DriftMonitor(gangplank.drift_reference(*reference), window=len(window[0]))
    monitor(*window)
    (found,) = (each for each in monitor.report() if each.name == "class")
    return found.p_value / 3 * (FEATURES + 11), min(1.0, found.p_value)


def of_raw_values(reference, window):
    """The same tests by SciPy on the values themselves, with the same correction."""
    families = [
        [stats.ks_2samp(*columns).pvalue for columns in zip(flat(one).T, flat(two).T, strict=True)]
        for one, two in zip(reference, window, strict=True)
    ]
    table = np.array([np.bincount(y.argmax(axis=1), minlength=10) for _, y in (reference, window)])
    families.append([stats.chi2_contingency(table[:, table.any(axis=0)]).pvalue])
    return min(1.0, *(3 * len(family) * min(family) for family in families))


def flat(samples):
    return samples.reshape(len(samples), -1)


def drawn(digits, shift, trials):
    """The reference and the window of each trial."""
    for reference, window in zip(*trials, strict=True):
        yield (
            [each[reference] for each in digits.shifted("none")],
            [each[window] for each in digits.shifted(shift)],
        )


def by_peer(python, name, digits, shift, trials):
    plain, shifted = (
        np.concatenate([flat(each) for each in digits.shifted(which)], axis=1)
        for which in ("none", shift)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trials.npz"
        references, windows = trials
        np.savez(path, plain=plain, shifted=shifted, references=references, windows=windows)
        command = [python, PEERS, name, path]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return row(shift, windows.shape[1], name, **json.loads(output))


def row(shift, window, detector, p_values, **more):
    shares = {str(level): float(np.mean(np.array(p_values) <= level)) for level in LEVELS}
    found = {"shift": shift, "window": window, "detector": detector, "trials": len(p_values)}
    print(found | shares | more, flush=True)
    return found | shares | more


def measured_detection(digits):
    for window in WINDOWS:
        for shift, trials in all_trials(digits, window):
            both = list(drawn(digits, shift, trials))
            yield row(shift, window, "gangplank", [monitored(*each) for each in both])
            if window == max(WINDOWS):
                yield row(shift, window, "SciPy", [of_raw_values(*each) for each in both])


def measured_peers(digits, options):
    """The other detectors on the same windows, a slow one on some of them."""
    window = max(WINDOWS)
    for shift, trials in all_trials(digits, window):
        if python := options.alibi_detect:
            yield by_peer(python, "alibi-detect", digits, shift, trials)
        if (python := options.evidently) and shift in EVIDENTLY_SHIFTS:
            few = [places[:EVIDENTLY_TRIALS] for places in trials]
            yield by_peer(python, "evidently", digits, shift, few)


def all_trials(digits, window):
    from drift_digits import MISSING, NONE, SHIFTS

    for shift in (NONE, MISSING, *SHIFTS):
        count = WITHOUT_DRIFT if shift == NONE else WITH_DRIFT
        yield shift, digits.trials(shift, window, count, seed=window)


def measured_choices(digits):
    """Where the reference is of the training's samples; and were all tests one family."""
    from drift_digits import MISSING, NONE, Digits

    for model, learner in {"": digits, ", overfitted": Digits(**OVERFITTED)}.items():
        trained = gangplank.drift_reference(*learner.training)
        for window in WINDOWS if model else (20, 50, *WINDOWS):
            trials = learner.trials(NONE, window, WITHOUT_DRIFT, seed=1000 + window)
            both = list(drawn(learner, NONE, trials))
            yield row(NONE, window, f"held out{model}", [monitored(*each) for each in both])
            monitor = gangplank.DriftMonitor(trained, window=window)
            found = [monitor(*each).p_value for _, each in both]
            yield row(NONE, window, f"trained on{model}", found)
    for window in WINDOWS:
        trials = digits.trials(MISSING, window, WITH_DRIFT, seed=2000 + window)
        found = [of_one_family(*each) for each in drawn(digits, MISSING, trials)]
        for i, name in enumerate(("one family", "three families")):
            yield row(MISSING, window, name, [p_values[i] for p_values in found])


def measured_references():
    """Alarms where one reference serves all windows: of some references, at level 0.05."""
    rng = np.random.default_rng(0)

    def samples(count):
        x = rng.normal(size=(count, 20)).astype(np.float32)
        return x, rng.dirichlet(np.ones(10), count).astype(np.float32)

    for size in REFERENCE_SIZES:
        alarms = []
        for _ in range(REFERENCES):
            monitor = gangplank.DriftMonitor(gangplank.drift_reference(*samples(size)))
            found = [monitor(*samples(monitor.window)) for _ in range(WINDOWS_A_REFERENCE)]
            alarms.append(float(np.mean([drift.drift_detected for drift in found])))
        found = {"size": size, "mean": float(np.mean(alarms)), "most": max(alarms)}
        print(found, flush=True)
        yield found


def measured_speed():
    """Samples a second of processor time, and MiB, of a monitor of many features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, FEATURES)).astype(np.float32)
    y = rng.dirichlet(np.ones(10), len(x)).astype(np.float32)
    reference = gangplank.drift_reference(x, y)
    for window in (500, 5000):
        for batch in (1, 32, 1000):
            batches = [
                (x[start : start + batch], y[start : start + batch])
                for start in range(0, 4000, batch)
            ]
            monitor = gangplank.DriftMonitor(reference, window=window)
            rounds = [processor_time(monitor, batches) for _ in range(6)][1:]
            tracemalloc.start()
            monitor = gangplank.DriftMonitor(reference, window=window)
            for each in batches * 2:
                monitor(*each)
            held, peak = (size / 2**20 for size in tracemalloc.get_traced_memory())
            tracemalloc.stop()
            found = {"window": window, "batch": batch, "features": FEATURES}
            found |= {"samples_per_second": 4000 / float(np.median(rounds))}
            found |= {"held_mib": held, "peak_mib": peak}
            print(found, flush=True)
            yield found


def processor_time(monitor, batches):
    start = time.process_time()
    for each in batches:
        monitor(*each)
    return time.process_time() - start


def about():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    packages = ("gangplank", "keras", "numpy", "scipy", "scikit-learn")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--alibi-detect", metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--evidently", metavar="PYTHON", help="an interpreter that has it")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS])
    options = parser.parse_args()
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    parts = {each: measured for each, measured in PARTS.items() if each in options.only}
    if not (options.alibi_detect or options.evidently):
        parts.pop("peers", None)
    result |= measured_parts(parts, options)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    put_tables(result)


def measured_parts(parts, options):
    """The figures of each part, with where they were measured: others stay from earlier runs."""
    digits = None
    if not {*parts} <= WITHOUT_DIGITS:
        from drift_digits import Digits

        digits = Digits()
    measured = {}
    for each, rows in parts.items():
        measured[each] = about()
        if each not in WITHOUT_DIGITS:
            measured[each]["accuracy"] = digits.accuracy
        measured[each]["rows"] = list(rows(digits, options))
    return measured


PARTS = {
    "speed": lambda *_: measured_speed(),
    "buckets": lambda *_: measured_buckets(),
    "classes": lambda *_: measured_classes(),
    "detection": lambda digits, _: measured_detection(digits),
    "choices": lambda digits, _: measured_choices(digits),
    "references": lambda *_: measured_references(),
    "peers": measured_peers,
}
WITHOUT_DIGITS = {"speed", "buckets", "classes", "references"}


if __name__ == "__main__":
    main()
