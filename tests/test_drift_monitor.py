"""Monitors: windows, what they find, and that no call is lost or does harm."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse

from gangplank import Drift, DriftMonitor, drift_reference

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 5)).astype(np.float32)


def predicted(x):
    scores = np.exp(x[:, :3] * 2)
    return scores / scores.sum(axis=1, keepdims=True)


Y = predicted(X)
REFERENCE = drift_reference(X, Y)
NEW = RNG.normal(size=(400, 5)).astype(np.float32)


def test_nothing_is_told_before_a_window_is_full():
    monitor = DriftMonitor(REFERENCE, window=100)
    for start in range(0, 99, 33):
        part = NEW[start : start + 33]
        assert monitor(part, predicted(part)) == Drift(None, None, None)
    assert monitor.last == Drift()
    assert monitor.report() == []
    drift = monitor(NEW[99:101], predicted(NEW[99:101]))
    assert (drift.drift_detected, drift) == (False, monitor.last)
    assert type(drift.drift_detected) is bool
    assert type(drift.p_value) is type(drift.test_statistic) is float
    # The next one begins anew.
    assert monitor(NEW[:99], predicted(NEW[:99])) == Drift()
    assert monitor(NEW[:1], predicted(NEW[:1])) != Drift()


def test_windows_share_no_sample():
    monitor, fresh = (DriftMonitor(REFERENCE, window=50) for _ in range(2))
    shifted, plain = NEW[:50] + 3, NEW[50:100]
    assert monitor(shifted, predicted(shifted)).drift_detected
    assert monitor(plain, predicted(plain)) == fresh(plain, predicted(plain))


def test_pieces_of_any_size_come_to_the_same():
    expected = DriftMonitor(REFERENCE, window=400)
    result = expected(NEW, predicted(NEW))
    monitor = DriftMonitor(REFERENCE, window=400)
    *before, last = [monitor(row[None], predicted(row[None])) for row in NEW]
    assert {*before} == {Drift()}
    assert last == result
    assert monitor.report() == expected.report()


def test_what_drifted_stands_first():
    monitor = DriftMonitor(REFERENCE, window=400)
    shifted = NEW + np.array([0, 0, 0, 0, 1], np.float32)
    drift = monitor(shifted, predicted(shifted))
    report = monitor.report()
    assert drift.drift_detected
    assert report[0].name == "input[4]"
    assert (report[0].p_value, report[0].statistic) == (drift.p_value, drift.test_statistic)
    assert report[0].psi > 0.25 > max(each.psi for each in report[1:])
    assert [each.p_value <= monitor.level for each in report] == [True] + [False] * 8
    names = [f"input[{i}]" for i in range(5)] + [f"output[{i}]" for i in range(3)] + ["class"]
    assert sorted(each.name for each in report) == sorted(names)
    assert {each.name: each.test for each in report}["class"] == "chi2"


def test_nan_are_counted_and_their_share_is_compared():
    monitor = DriftMonitor(REFERENCE, window=400)
    holed = NEW.copy()
    holed[:4, 2] = np.nan
    drift = monitor(holed, predicted(NEW))
    assert not drift.drift_detected
    assert {each.name: each.nan_count for each in monitor.report()}["input[2]"] == 4
    holed[::2, 2] = np.nan
    assert monitor(holed, predicted(holed)).drift_detected
    report = {each.name: each for each in monitor.report()}
    assert report["input[2]"].nan_count == report["class"].nan_count == 202
    assert report["input[2]"].p_value < 1e-6


def test_predictions_that_are_all_nan():
    monitor = DriftMonitor(REFERENCE, window=400)
    drift = monitor(NEW, np.full((400, 3), np.nan))
    assert drift.drift_detected
    assert monitor.report()[0].name.startswith("output")


def test_an_empty_batch_changes_nothing():
    monitor = DriftMonitor(REFERENCE, window=1)
    assert monitor(NEW[:0], Y[:0]) == Drift()
    assert monitor(NEW[:1], Y[:1]) != Drift()


@pytest.mark.parametrize("x", [None, iter([NEW])])
def test_no_samples_leave_the_predictions(x):
    monitor = DriftMonitor(REFERENCE, window=400)
    assert monitor(x, predicted(NEW)).drift_detected is False
    assert {each.name.partition("[")[0] for each in monitor.report()} == {"output", "class"}
    assert monitor(x, predicted(NEW * 3)).drift_detected is True


def test_it_says_what_it_is():
    monitor = DriftMonitor(REFERENCE, window=20, level=0.01)
    assert repr(monitor) == f"DriftMonitor({REFERENCE!r}, window=20, level=0.01)"


def test_predictions_alone():
    monitor = DriftMonitor(drift_reference(None, Y), window=400)
    assert not monitor(np.array(["any", "words"]), predicted(NEW)).drift_detected
    assert monitor(None, predicted(NEW + 1.5 * (np.arange(5) == 0))).drift_detected


def test_several_inputs_and_outputs():
    def split(x):
        return {"a": x[:, :2], "b": x[:, 2:]}

    monitor = DriftMonitor(drift_reference(split(X), [Y, X[:, 0]]), window=400)
    y = predicted(NEW)
    assert not monitor(split(NEW), [y, NEW[:, 0]]).drift_detected
    assert {"input/b[2]", "output/1[0]", "class/0"} <= {each.name for each in monitor.report()}


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes_than_the_reference_has(dtype):
    monitor = DriftMonitor(REFERENCE, window=400)
    assert not monitor(NEW.astype(dtype), predicted(NEW).astype(dtype)).drift_detected


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_whole_numbers(dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (1000, 4)).astype(dtype)
    monitor = DriftMonitor(drift_reference(x, Y), window=200)
    assert not monitor(x[::5], Y[::5]).drift_detected
    x[:, 0] = 1
    assert monitor(x[::5], Y[::5]).drift_detected
    assert monitor.report()[0].name == "input[0]"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (NEW[:, :4], Y[:400], r"samples must have .* \(5,\) a sample\. Received \(4,\)\. Make"),
        (NEW, Y[:400, :2], r"predictions must have .* \(3,\) a sample\. Received \(2,\)\."),
        (NEW, Y[:3], r"for each sample\. Received 400 samples and 3 predictions"),
        (np.full((400, 5), "a"), Y[:400], "Samples must be numbers"),
        (scipy.sparse.csr_array(NEW), Y[:400], "Samples must be .* Received a csr_array"),
        ({"a": NEW, "b": None}, Y[:400], "Samples of 'b' must be .* Received a NoneType"),
        (NEW, (each for each in Y[:400]), "Predictions must be .* Received a generator"),
        (NEW, None, "Predictions must be an array, .* Received a NoneType"),
    ],
)
def test_what_is_not_like_the_reference_is_told_of_and_not_counted(x, y, message):
    monitor, untouched = (DriftMonitor(REFERENCE, window=400) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        monitor(x, y)
    assert monitor(NEW, predicted(NEW)) == untouched(NEW, predicted(NEW))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": 3}, r"reference must be what .*Received 3\."),
        ({"window": 0}, r"window must be an integer of at least 1\. Received 0\."),
        ({"window": True}, "Received True"),
        ({"window": 1.5}, r"Received 1\.5"),
        ({"level": 0}, r"level must be a number between 0 and 1\. Received 0\."),
        ({"level": 1}, r"Received 1\."),
        ({"level": "low"}, "Received 'low'"),
        ({"level": True}, "Received True"),
        ({"level": np.array(0.1)}, r"Received array\(0\.1\)"),
        ({"level": float("nan")}, "Received nan"),
    ],
)
def test_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        DriftMonitor(**{"reference": REFERENCE} | options)


def test_numbers_of_numpy():
    monitor = DriftMonitor(REFERENCE, window=np.int64(50), level=np.float32(0.25))
    assert (monitor.window, monitor.level) == (50, 0.25)
    assert (type(monitor.window), type(monitor.level)) == (int, float)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_begins_anew(copied):
    monitor = DriftMonitor(REFERENCE, window=50, level=0.01)
    monitor(NEW[:60] + 3, predicted(NEW[:60]))
    monitor(NEW[:30] + 3, predicted(NEW[:30]))
    twin, fresh = copied(monitor), DriftMonitor(REFERENCE, window=50, level=0.01)
    assert (twin.reference, twin.window, twin.level) == (REFERENCE, 50, 0.01)
    assert (twin.last, twin.report()) == (Drift(), [])
    for part in (NEW[:30], NEW[30:50]):
        assert twin(part, predicted(part)) == fresh(part, predicted(part))
    assert twin.last != Drift()
    # And what the first one has counted is still there.
    assert monitor(NEW[30:50], predicted(NEW[30:50])).drift_detected


def test_a_path_may_stand_for_the_reference(tmp_path):
    REFERENCE.save(tmp_path / "reference")
    for path in (tmp_path / "reference", str(tmp_path / "reference")):
        assert DriftMonitor(path).reference == REFERENCE


def test_threads_lose_no_sample():
    monitor, alone = (DriftMonitor(REFERENCE, window=64 * 50) for _ in range(2))
    rows = np.random.default_rng(0).normal(size=(64, 50, 5)).astype(np.float32)
    results = []
    barrier = threading.Barrier(64)

    def serve(part):
        barrier.wait()
        results.extend(monitor(row[None], predicted(row[None])) for row in part)

    threads = [threading.Thread(target=serve, args=(part,)) for part in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [result for result in results if result != Drift()]
    together = rows.reshape(-1, 5)
    assert told == [alone(together, predicted(together))]
    assert monitor.report() == alone.report()


def test_a_report_waits_for_no_call():
    """A signal's handler may ask for one while the monitor is called."""
    monitor, reports = DriftMonitor(REFERENCE, window=100), []
    monitor(NEW[:100], predicted(NEW[:100]))
    thread = threading.Thread(target=lambda: reports.append(monitor.report()), daemon=True)
    with monitor._lock:
        thread.start()
        thread.join(60)
        assert reports != []
    assert reports == [monitor.report()] != [[]]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # by Python from 3.12 on
@pytest.mark.filterwarnings("ignore:os.fork.. was called:RuntimeWarning")  # by JAX
def test_a_forked_process_begins_a_window_and_waits_for_nobody():
    monitor, expected = (DriftMonitor(REFERENCE, window=200) for _ in range(2))
    monitor(NEW[200:399], predicted(NEW[200:399]))
    with monitor._lock:
        process = os.fork()
        if not process:
            try:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(60)
                halves = [monitor(each, predicted(each)) for each in (NEW[:199], NEW[199:200])]
                os._exit(halves != [Drift(), expected(NEW[:200], predicted(NEW[:200]))])
            finally:
                os._exit(2)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert monitor(NEW[:1], predicted(NEW[:1])) != Drift()


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)


def test_scipy_is_loaded_by_a_monitor_alone():
    code = (
        "import sys, numpy, gangplank; y = numpy.ones(3); "
        "r = gangplank.drift_reference(y, y); print('scipy' in sys.modules); "
        "m = gangplank.DriftMonitor(r, window=3); print('scipy' in sys.modules, m(y, y))"
    )
    result = run(code)
    expected = "False\nTrue Drift(drift_detected=False, p_value=1.0, test_statistic=0.0)\n"
    assert result.stdout == expected, result.stderr


def test_a_missing_scipy_is_told_of_with_what_to_install():
    code = (
        "import sys, numpy; sys.modules['scipy'] = None; import gangplank; y = numpy.ones(3)\n"
        "try: gangplank.DriftMonitor(gangplank.drift_reference(y, y))\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    result = run(code)
    assert "Watching for drift needs SciPy (import of scipy" in result.stdout, result.stderr
    assert result.stdout.endswith(
        "Install it with: pip install '.[drift]' in a clone of gangplank\n"
    )
