"""Counting in host memory: threads, copies, and when numba is loaded."""

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gangplank import NativeBuckets
from gangplank._native import cpu, pieces, reference
from gangplank._native.edges import Bounds
from gangplank._native.kernels import jit
from gangplank._native.kernels.numpy_kernel import numpy_kernel
from gangplank._native.measured import Measured
from gangplank.weights.counting import counting

BOUNDS = Bounds.of(np.arange(-6, 7) / 20)
VALUES = np.random.default_rng(0).normal(0, 0.2, 2 * cpu.VALUES_A_THREAD).astype(np.float32)


@pytest.fixture(scope="module")
def expected():
    return reference.count([VALUES], BOUNDS)[0].tolist()


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_does_not_matter(threads, expected):
    counts, _ = cpu.count([VALUES], BOUNDS, threads=threads)
    assert counts.tolist() == expected


def test_many_python_threads_at_once(expected):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cpu.count([VALUES], BOUNDS)[0].tolist(), range(16)))
    assert results == [expected] * 16


@pytest.mark.parametrize(
    "last",
    [
        "atexit.register(count)",  # when no thread is begun any more
        "child = os.fork(); count(); child and os.waitpid(child, 0)",  # in which there is none
    ],
)
def test_threads_that_are_gone(last):
    script = f"""
import atexit, os, warnings
import numpy as np
from gangplank._native import cpu
from gangplank._native.edges import Bounds
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def count():
    values = np.zeros(2 * cpu.VALUES_A_THREAD, np.float32)
    print(cpu.count([values], Bounds.of([0.5]), threads=2)[0].tolist(), flush=True)

count()
{last}
"""
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert output.stdout == f"[{2 * cpu.VALUES_A_THREAD}, 0]\n" * (3 if "fork" in last else 2)
    assert not output.stderr


def test_children_that_are_forked_while_another_thread_loads_and_compiles(tmp_path):
    script = """
import os, signal, threading, time, warnings
import numpy as np
from gangplank._native import cpu
from gangplank._native.edges import Bounds
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
values = np.zeros(cpu.LOAD_NUMBA_AFTER + 1, np.float32)

def count():
    return cpu.count([values], Bounds.of([0.5]))[0].tolist() == [values.size, 0]

thread = threading.Thread(target=count)
thread.start()
children = []
while thread.is_alive():
    time.sleep(0.05)
    children.append(os.fork())
    if not children[-1]:
        signal.alarm(60)  # which ends a child that waits for ever
        os._exit(not count())
print({os.waitpid(child, 0)[1] for child in children})
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(
        command,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.stdout, result.stderr) == ("{0}\n", "")


def test_threads_that_fork_at_the_same_time():
    script = """
import os, sys, threading, time, warnings
from gangplank._native.kernels import loading
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
statuses = set()
sys.setswitchinterval(1e-6)

def fork():
    for _ in range(50):
        child = os.fork()
        if not child:
            os._exit(0)
        statuses.add(os.waitpid(child, 0)[1])

threads = [threading.Thread(target=fork) for _ in range(4)]
began = time.monotonic()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(statuses, time.monotonic() - began < loading._LONGEST_WAIT, loading._lock.acquire(timeout=1))
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.stdout, result.stderr) == ("{0} True True\n", "")


@pytest.mark.parametrize("fails", ["own share", "another share", "while waiting"])
def test_no_thread_reads_on_when_a_count_fails(fails, monkeypatch):
    measured, reading, turns, begun = cpu._measured, set(), itertools.count(), threading.Event()

    def failing(*arguments):
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(30)  # so that not all shares are this thread's
            if fails == "own share":
                raise KeyboardInterrupt
        elif (turn := next(turns)) == 1 and fails == "another share":
            begun.set()
            raise KeyboardInterrupt
        else:
            reading.add(turn)
            if fails != "another share":
                begun.set()
            time.sleep(0.3)
            reading.discard(turn)
        return measured(*arguments)

    def result(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cpu, "_measured", failing)
    if fails == "while waiting":
        monkeypatch.setattr(cpu.Future, "result", result)
    with pytest.raises(KeyboardInterrupt):
        cpu.count([VALUES], BOUNDS, threads=4)
    assert not reading


def test_where_no_thread_can_be_started(monkeypatch, expected):
    def start(_):
        raise RuntimeError("can't start new thread")

    cpu._pool.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", start)
    values = VALUES.copy()
    before = sys.getrefcount(values)
    for _ in range(3):
        assert cpu.count([values], BOUNDS, threads=3)[0].tolist() == expected
    gc.collect()
    assert sys.getrefcount(values) == before


def test_a_share_that_anothers_thread_takes_where_none_can_be_started(monkeypatch, expected):
    """The pool queues it all the same, and nobody waits for it."""
    measured, is_taken, may_end = cpu._measured, threading.Event(), threading.Event()
    monkeypatch.setattr(cpu, "CORES", 2)
    cpu._pool.cache_clear()
    is_free = threading.Event()
    other = cpu._pool().submit(is_free.wait, 60)

    def start(_):
        raise RuntimeError("can't start new thread")

    def measured_here(share, ways):
        if threading.current_thread() is not threading.main_thread():
            is_taken.set()
            may_end.wait(60)
        elif not is_free.is_set():
            is_free.set()
            assert is_taken.wait(60)
        return measured(share, ways)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(cpu, "_measured", measured_here)
    try:
        assert cpu.count([VALUES], BOUNDS, threads=2)[0].tolist() == expected
    finally:
        may_end.set()
    other.result(60)


@pytest.mark.parametrize("layout", [VALUES, VALUES.reshape(2000, -1).T], ids=["C", "Fortran"])
def test_a_contiguous_array_is_not_copied(layout, expected):
    cpu.count([layout], BOUNDS)
    tracemalloc.start()
    counts, _ = cpu.count([layout], BOUNDS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.tolist() == expected
    assert peak < 100_000


def test_a_strided_array_is_copied_a_part_at_a_time(expected, monkeypatch):
    monkeypatch.setattr(cpu, "CORES", 64)
    strided = np.broadcast_to(VALUES, (8, VALUES.size)).T
    cpu.count([strided[:1000]], BOUNDS)
    tracemalloc.start()
    counts, _ = cpu.count([strided], BOUNDS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.tolist() == [8 * count for count in expected]
    assert peak < strided.nbytes / 3


def test_many_arrays_are_shared_among_threads(monkeypatch, expected):
    threads = set()
    measured = cpu._measured

    def noting(*arguments):
        threads.add(threading.get_ident())
        barrier.wait(30)
        return measured(*arguments)

    barrier = threading.Barrier(2)
    monkeypatch.setattr(cpu, "_measured", noting)
    monkeypatch.setattr(jit, "THREADS", 2)
    monkeypatch.setattr(cpu, "CORES", 2)
    counts, _ = cpu.count(np.array_split(VALUES, 37), BOUNDS)
    assert counts.tolist() == expected
    assert len(threads) == 2


@pytest.mark.parametrize("kernel", [cpu.fastest_compiled, numpy_kernel])
def test_statistics_alone_convert_a_few_values_at_a_time(kernel):
    values = np.ones(1 << 23, np.int16)
    measured = [Measured()]

    def measure():
        cpu.measure([(0, values)], None, measured, has_moments=True, kernel=kernel)

    measure()
    tracemalloc.start()
    measure()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert measured[0].moments().total == 2 * values.size
    assert peak < 8 * values.size / 3


def test_native_buckets_of_more_parts_take_no_more_memory():
    bounds = counting(NativeBuckets(8)).bounds
    part = np.random.default_rng(0).normal(size=1 << 19).astype(np.float16)

    def counts_and_peak(parts):
        measured = Measured()
        tracemalloc.start()
        cpu.measure(((0, part) for _ in range(parts)), bounds, [measured])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return measured.counts(bounds)[0], peak

    one, _ = counts_and_peak(1)
    _, peak_of_some = counts_and_peak(100)
    counts, peak = counts_and_peak(400)
    assert counts.tolist() == (400 * one).tolist()
    assert peak < 1.3 * peak_of_some


def test_many_small_arrays_are_counted_together(monkeypatch, expected):
    calls = []
    small = np.split(VALUES, 4000)
    doubles = [array.astype(np.float64) for array in small]
    measured = cpu._measured

    def noting(share, *arguments):
        calls.extend(array.size for _, array in share)
        return measured(share, *arguments)

    monkeypatch.setattr(cpu, "_measured", noting)
    counts, _ = cpu.count([*small, *doubles], BOUNDS)
    assert counts.tolist() == [2 * count for count in expected]
    assert len(calls) < 2 * VALUES.size / pieces.TOGETHER + 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_copies_of_small_arrays_take_little_memory(dtype, monkeypatch):
    monkeypatch.setattr(cpu, "CORES", 64)
    small = [np.zeros(pieces.SMALL - 1, dtype) for _ in range(600)]
    cpu.count(small[:4], BOUNDS)
    tracemalloc.start()
    counts, _ = cpu.count(small, BOUNDS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.sum() == 600 * (pieces.SMALL - 1)
    assert peak < 2 * pieces.COPIED_BYTES


def test_numba_is_loaded_when_it_pays():
    script = """
import sys
import numpy as np
from gangplank._native import cpu
from gangplank._native.edges import Bounds
from gangplank._native.measured import Measured
from gangplank._native.kernels.numpy_kernel import numpy_kernel
for size in (100_000, cpu.LOAD_NUMBA_AFTER - 100_000, 1):
    counts, _ = cpu.count([np.zeros(size, np.float32)], Bounds.of([0.0]))
    print(counts.tolist() == [size, 0], "numba" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["True", "False", "True", "False", "True", "True"]
