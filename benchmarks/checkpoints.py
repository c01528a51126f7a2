"""How fast the weights in a file are counted, and in how much memory.

    python benchmarks/checkpoints.py

Makes a safetensors file of 2 GB in a temporary folder, counts it from the page cache in turns with
`cat FILE >/dev/null`, and prints a row for each dtype. Each count is checked. Times are the least
of some rounds. Memory is the most that counting adds to the process: with the pages of the file,
and without them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import ml_dtypes
import numpy as np

import gangplank
from gangplank import _native
from gangplank._native import reference
from gangplank.checkpoints import open_checkpoint

BOUNDS = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
DTYPES = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
}
TENSOR = 1 << 26  # bytes
ROUNDS, COMMANDS = 25, 5


def written(path, code, size):
    """Writes a file of about `size` bytes, and returns the counts that it has."""
    dtype, tensors = DTYPES[code], max(size // TENSOR, 1)
    values = np.random.default_rng(0).normal(0, 0.1, TENSOR // dtype.itemsize).astype(dtype)
    header = {
        f"layers.{i}.kernel": {
            "dtype": code,
            "shape": [values.size],
            "data_offsets": [i * TENSOR, (i + 1) * TENSOR],
        }
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the library does, so that values are aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(tensors):
            file.write(values.tobytes())
    counts, nan_count = reference.count([values], _native.Bounds.of(BOUNDS))
    assert nan_count == 0
    return tensors * counts


def cat(path):
    subprocess.run(["sh", "-c", 'cat "$1" >/dev/null', "sh", path], check=True)


def counted(path):
    with open_checkpoint(path) as checkpoint:
        return gangplank.weights_histogram(checkpoint.arrays, BOUNDS)


def command(path):
    """The whole command, from the start of Python on."""
    arguments = [sys.executable, "-m", "gangplank", "histogram", path, "--json"]
    result = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)["histograms"][0]


def in_memory():
    """MiB: the most since the last reset, files' pages among it; and of the process's own now."""
    status = Path("/proc/self/status").read_text()
    return [int(status.partition(f"{name}:")[2].split()[0]) / 1024 for name in ("VmHWM", "RssAnon")]


def extra_memory(function):
    """MiB that `function` takes at the most: with files' pages, and without."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before, own = in_memory()
    most_own, has_ended = [own], threading.Event()

    def watch():
        while not has_ended.wait(0.002):
            most_own.append(in_memory()[1])

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    has_ended.set()
    watcher.join()
    return in_memory()[0] - before, max(most_own) - own


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(path, code, size):
    """Prints the row of a dtype."""
    expected = written(path, code, size)
    size = path.stat().st_size
    np.testing.assert_array_equal(counted(path).counts, expected, strict=True)
    assert command(path)["counts"] == expected.tolist()
    cat(path)
    times = [[timed(lambda f=f: f(path)) for f in (cat, counted)] for _ in range(ROUNDS)]
    # The least, since what is more tells of the neighbours.
    by_cat, by_count = map(min, zip(*times, strict=True))
    by_command = min(timed(lambda: command(path)) for _ in range(COMMANDS))
    ratio = by_cat / by_count
    mapped, own = extra_memory(lambda: counted(path))
    print(
        f"| {DTYPES[code].name} | {size / 1e9:.2f} GB | {size / by_cat / 1e9:.1f} GB/s | "
        f"{size / by_count / 1e9:.1f} GB/s | {ratio:.2f} | {by_cat:.2f} s | {by_command:.2f} s | "
        f"{mapped:.0f} MiB | {own:.0f} MiB |",
        flush=True,
    )
    assert ratio >= 0.8
    assert mapped <= 64


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=float, default=2e9, help="of the file")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    options = parser.parse_args()
    print(
        "| dtype | file | cat | counted | × cat | cat | the command | memory | not the file's |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as folder:
        for code in options.dtypes:
            measure(Path(folder) / "a.safetensors", code, int(options.bytes))


if __name__ == "__main__":
    main()
