"""Runs the tests of signals, threads, forks, processes, servers and time again and again.

    make soak SOAK_ROUNDS=50 SOAK_BACKENDS="tensorflow jax torch"

Beside them, a process for each core does nothing but keep it busy. What each backend's tests said
is in .soak/; which failed, and in which round, is told at the end.
"""

import argparse
import contextlib
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
OUTPUT = TESTS.parent / ".soak"
CORES = os.cpu_count() or 1

FILES = (
    "authentication",
    "auto_reset_event",
    "batches",
    "blocks",
    "calls",
    "calls_at_once",
    "command_line",
    "cpu",
    "cuda_driver",
    "demo",
    "distribution",
    "documents",
    "drift_monitor",
    "drift_queue",
    "epoch",
    "exporter_arguments",
    "exporter_copies",
    "exporter_pushes",
    "forks",
    "gateway",
    "gateway_api",
    "gateway_command",
    "gateway_page",
    "gateway_requests",
    "histogram_collector",
    "histogram_command",
    "keras_tuner",
    "kernels",
    "large_checkpoints",
    "left_behind",
    "live_charts",
    "live_page",
    "loops",
    "metrics_of_keras",
    "metrics_server",
    "monitoring",
    "monitoring_servers",
    "native_prometheus",
    "native_pushes",
    "one_exporter",
    "outages",
    "package",
    "process_end",
    "processes",
    "prometheus",
    "prometheus_model",
    "proxy",
    "publisher",
    "pushgateway",
    "pushgateway_arguments",
    "retries",
    "run_status",
    "runs",
    "security",
    "serving",
    "serving_example",
    "serving_prometheus",
    "shared_registry",
    "svg",
    "train_test_exporter",
    "unread_gateways",
    "updates",
)
# They train to the end, which takes most of a minute of processor time, ask a package index, or
# write to a folder that two rounds at once would share.
LEFT_OUT = (
    "documents.py::test_examples",
    "documents.py::test_install",
    "documents.py::test_make_demo",
    "documents.py::test_the_site",
)

# Ends with its parent, however that ends.
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextlib.contextmanager
def busy_cores():
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(CORES)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def failures(backend, rounds, further):
    """The lines of pytest that say what failed; none where nothing did."""
    command = [
        # Most of the tests wait most of the time.
        *(sys.executable, "-m", "pytest", "-n", str(3 * CORES), "--dist", "worksteal"),
        *("--rounds", str(rounds), "-q", "-rfE"),
        *(str(TESTS / f"test_{name}.py") for name in FILES),
        *(f"--deselect=tests/test_{name}" for name in LEFT_OUT),
        *further,
    ]
    lines = []
    with (
        (OUTPUT / f"{backend}.txt").open("w", buffering=1) as output,
        subprocess.Popen(
            command,
            env=os.environ | {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"},
            cwd=TESTS.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        for line in process.stdout:
            sys.stdout.write(line)
            output.write(line)
            lines.append(line)
    failed = [line for line in lines if line.startswith(("FAILED tests/", "ERROR tests/"))]
    return failed or ([] if process.returncode == 0 else lines[-1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("backends", nargs="+")
    parser.add_argument("--rounds", type=int, default=50)
    arguments, further = parser.parse_known_args()
    OUTPUT.mkdir(exist_ok=True)
    with busy_cores():
        failed = {
            backend: failures(backend, arguments.rounds, further) for backend in arguments.backends
        }
    for backend, lines in failed.items():
        sys.stdout.write(
            f"\n{backend}, {arguments.rounds} rounds, {len(lines)} failed"
            f"{f', see {OUTPUT / backend}.txt' if lines else ''}\n{''.join(lines)}"
        )
    return any(failed.values())


if __name__ == "__main__":
    sys.exit(main())
