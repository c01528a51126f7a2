"""The documents' tables are those of the last measurements."""

import json
import re

import drift_tables
import report
from documents import ROOT

INTO = ["13 bounds", "13 bounds and statistics", "1,024 bounds", "native, schema 3"]


def test_the_tables_are_made_from_the_last_results():
    run = json.loads((ROOT / "benchmarks/results/latest.json").read_text())
    for document, lines in (
        ("benchmarks/README.md", report.race_table(run)),
        (
            "docs/when-things-go-wrong.md",
            (ROOT / "benchmarks/results/faults.md").read_text().splitlines(),
        ),
        ("benchmarks/README.md", report.promises_table(run)),
        ("benchmarks/README.md", report.kernels_table(run)),
    ):
        assert "\n".join(lines) in (ROOT / document).read_text()
    drift = json.loads((ROOT / "benchmarks/results/drift.json").read_text())
    for lines in drift_tables.tables(drift).values():
        assert "\n".join(lines) in (ROOT / "docs/drift.md").read_text()


def test_times_of_devices_are_measured_ones():
    results = ROOT / "benchmarks/results"
    on_gpu, on_cpu = (
        (ROOT / "docs/devices.md").read_text().split("## What was tried on CPU devices")
    )
    told = re.findall(r"^\|.*\| ([\d,.]+ ms) \|$", on_cpu, re.M)
    measured = (results / "device-on-cpu.md").read_text()
    assert told == re.findall(
        r"^\| float32 \| 13 bounds \| operations \| ([\d,.]+ ms) ", measured, re.M
    )
    told = re.findall(r"^\| .*, (TensorFlow|JAX|PyTorch) [\d.]+ \|(.*) \|$", on_gpu, re.M)
    tables = re.split(r"^(?:jax|torch) ", (results / "device.md").read_text(), flags=re.M)
    table_of = dict(zip(["TensorFlow", "JAX", "PyTorch"], tables, strict=True))
    kinds = ["float32", "bfloat16", "float32, in 1,000 arrays"]
    kinds.append("1,000 arrays of float32, a histogram each")
    for number, (framework, times) in enumerate(told):
        for into, time in zip(INTO, times.split("|"), strict=True):
            row = f"| {kinds[number // 3]} | {into} | the kernel | {time.strip()} |"
            assert row in table_of[framework]
    assert len(told) == 12
