"""A file of 2 GB is counted to the last weight, in a memory that does not grow with it."""

import json
import struct

import numpy as np
import pytest
from conftest import in_a_process
from weights_files import ran

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, _native
from gangplank._native import reference

TENSORS, TIMES = 30, 16  # tensors of 64 MiB, each so many times the same values; one of some bytes

COUNTED = f"""
import sys, numpy, gangplank
from pathlib import Path
from gangplank.checkpoints import open_checkpoint

def most():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024

buckets = {HISTOGRAM_WEIGHT_BUCKETS_0_3}
gangplank.weights_histogram([numpy.ones(10**7, "float32")], buckets)
Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
before = most()
with open_checkpoint(sys.argv[1]) as checkpoint:
    histogram = gangplank.weights_histogram(checkpoint.arrays, buckets)
print(*histogram.counts)
print(most() - before)
"""


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(0, 0.1, 1 << 20).astype("float32")


@pytest.fixture
def path(values, tmp_path):
    path = tmp_path / "a.safetensors"
    sizes = [*[TIMES * values.size] * TENSORS, 3]
    ends = 4 * np.cumsum([0, *sizes])
    header = {
        f"w{i}": {"dtype": "F32", "shape": [size], "data_offsets": ends[i : i + 2].tolist()}
        for i, size in enumerate(sizes)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for part in (*[values] * (TENSORS * TIMES), values[:3]):
            file.write(memoryview(part))
    yield path
    path.unlink()  # pytest would keep it for the next runs


# One test, so that the file is written once.
def test_a_file_of_two_gigabytes(path, values, capsys):
    assert path.stat().st_size > 2e9
    bounds = _native.Bounds.of(HISTOGRAM_WEIGHT_BUCKETS_0_3)
    (large, _), (small, _) = (reference.count([part], bounds) for part in (values, values[:3]))
    expected = (TENSORS * TIMES * large + small).tolist()
    result = in_a_process(COUNTED, str(path))
    assert result.returncode == 0, result.stderr
    counts, growth = result.stdout.splitlines()
    assert [int(count) for count in counts.split()] == expected
    assert float(growth) < 64  # MiB, with the pages of the file that are mapped
    output, _ = ran(capsys, str(path), "--json")
    (histogram,) = json.loads(output)["histograms"]
    assert histogram["counts"] == expected
    assert (histogram["count"], histogram["nan_count"]) == (sum(expected), 0)
