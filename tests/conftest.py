"""The servers that the tests talk to, the real ones and the embedded gateway; models and files."""

import contextlib
import gc
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# JAX's; of TensorFlow they are none.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
# JAX compiles each model of each test, and most of them are the same.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import numpy as np
import pytest
from browser import chromium
from prometheus_client import CollectorRegistry, Gauge
from safetensors.numpy import save_file
from weights_files import moved_arrays, named_arrays

from gangplank.gateway import Gateway

# For a Pushgateway's --web.config.file: the user keras with the password "open sesame".
PASSWORD_CONFIG = """
basic_auth_users:
  keras: $2b$04$V/TFzB3UV.xQ88veLsxyROfrVdShDFYqnrGHTIqJBaXo4kvIT4Yjy
"""


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=1, help="run all tests so many times")


def pytest_generate_tests(metafunc):
    if (rounds := metafunc.config.getoption("rounds")) > 1:
        metafunc.fixturenames.append("round")
        metafunc.parametrize("round", range(1, rounds + 1), ids="round {}".format)


# The files that take longest begin first, so that no core waits for them in the end.
SLOW = {
    *("demo", "distribution", "documents", "left_behind", "monitoring_servers"),
    *("native_prometheus", "outages", "package", "parity", "process_end", "publisher", "retries"),
    *("serving", "serving_example", "serving_prometheus", "unread_gateways"),
}


# Those of what no backend of Keras touches are marked, and so are those of the kernels in host
# memory: `make test-backends` leaves them out.
ONCE = (
    *("authentication", "buckets", "checkpoints", "columns", "command_line", "count_and_sum"),
    *("cpu", "cuda_driver", "cuda_kernel", "cuda_table", "documents", "drift_classes"),
    *("drift_comparison", "drift_features", "drift_memory", "drift_monitor", "drift_reference"),
    *("edges", "gateway"),
    *("gateway_api", "gateway_command", "gateway_history", "gateway_page", "gateway_requests"),
    *("histogram_collector", "histogram_command", "histogram_family", "histogram_tables"),
    *("histograms", "kernels", "large_checkpoints", "live_charts"),
    *("live_page", "monitoring", "monitoring_documents", "native_buckets", "numpy_files"),
    *("pieces", "plots", "protobuf", "proxy", "pushgateway", "pushgateway_arguments", "reference"),
    *("results", "safetensors", "security", "serving", "serving_example"),
    *("serving_prometheus", "soak", "svg"),
)


def pytest_itemcollected(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    is_of_no_backend = str(parameters.get("name")).startswith(("cpu", "cuda-on-cpu"))
    if is_of_no_backend or item.path.stem.removeprefix("test_") in ONCE:
        item.add_marker("once")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in SLOW)
    if config.getoption("rounds") > 1:
        items.sort(key=lambda item: item.callspec.params["round"])


def pytest_collection_finish():
    # Keras and the tests are a million objects, which each collection would look at.
    gc.freeze()


# Seconds by which a busy machine may be late. What would wait without end is later.
LATE = 20.0


def in_a_process(code, *arguments):
    """How `code` ended and what it printed, run by a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=30 * LATE,
        stdin=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def held_port():
    """A port of 127.0.0.1 that is nobody's, or that of the server that a test gives it to.

    It is bound but not listened on, so that whoever connects is refused, and the kernel gives it
    to nobody else. A server can bind it as well, since all of them set SO_REUSEADDR.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def heeded_interrupt():
    """What is started here heeds Ctrl-C, even where the tests run in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def port():
    with held_port() as port:
        yield port


def awaited(condition, timeout=120.0):
    """The first true value of `condition`; connections refused are no value."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):
            if value := condition():
                return value
        assert time.monotonic() < deadline, (
            f"{condition} did not come true in {timeout} s, while this went on:\n{stacks()}"
        )
        time.sleep(0.02)


def stacks():
    """Where each other thread is."""
    frames = sys._current_frames()
    return "\n".join(
        f"{thread}\n{''.join(traceback.format_stack(frames[thread.ident]))}"
        for thread in threading.enumerate()
        if thread.ident in frames and thread is not threading.current_thread()
    )


def fetched(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def request(address, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def server(program, *arguments, ready, command=()):
    """Runs one of Debian's servers until the end of the block; `ready` tells when it serves.

    Where `command` is given, it is run with the server and its arguments behind it.
    """
    path = shutil.which(program)
    if path is None:
        pytest.fail(
            f"{program} is missing. On Debian: apt-get install prometheus-pushgateway prometheus "
            "prometheus-alertmanager",
            pytrace=False,
        )
    with started([*command, path, *arguments], ready) as process:
        yield process


@contextlib.contextmanager
def started(command, ready, **options):
    """Runs a command until the end of the block; `ready` tells when it serves."""
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **output | options)
    try:
        awaited(ready)
        yield process
    finally:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # one that was stopped heeds nothing else
        process.wait(60)


@contextlib.contextmanager
def pushgateway(*arguments, port=None):
    """The address of a real Pushgateway."""
    with pushgateway_process(*arguments, port=port) as (address, _):
        yield address


@contextlib.contextmanager
def pushgateway_process(*arguments, port=None, kept_in="", **options):
    with contextlib.ExitStack() as stack:
        port = port or stack.enter_context(held_port())
        address = f"127.0.0.1:{port}"
        process = stack.enter_context(
            server(
                "prometheus-pushgateway",
                f"--web.listen-address={address}",
                f"--persistence.file={kept_in}",  # Debian's would find those of the test before
                *arguments,
                ready=lambda: not socket.create_connection(("127.0.0.1", port)).close(),
                **options,
            )
        )
        yield address, process


@pytest.fixture
def real_gateway():
    """The address of a Pushgateway that is empty."""
    with pushgateway() as address:
        yield address


@pytest.fixture
def address():
    """The address of an embedded gateway that is empty."""
    with Gateway() as gateway:
        yield gateway.address


@pytest.fixture(params=["pushgateway", "embedded"])
def gateway(request):
    """The address of an empty gateway: each test that asks for it runs with both kinds."""
    if request.param == "pushgateway":
        with pushgateway() as address:
            yield address
    else:
        with Gateway() as embedded:
            yield embedded.address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def registry():
    """A registry that holds one gauge."""
    registry = CollectorRegistry()
    Gauge("answer", "Of all questions.", registry=registry).set(42)
    return registry


@pytest.fixture
def data():
    """300 images of 8 values in 3 classes that a linear model can learn."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    return (rng.normal(0, 0.3, (300, 8)) + labels[:, None]).astype("float32"), labels


@pytest.fixture
def model():
    """A compiled model of 27 weights, as if it were new."""
    # Not above: the process that hands the tests out to others runs none, and needs no framework.
    import models

    # What TensorFlow keeps of the models before, each collection of garbage would look at.
    gc.collect()
    gc.freeze()
    yield models.as_new(models.classifier)
    # An iterator of TensorFlow's that an interrupted run has left waits for a thread when it dies,
    # the longer the older it is: up to a minute, in which no other thread of Python goes on.
    gc.collect()


@pytest.fixture
def other_model():
    """A compiled model of 63 weights, as if it were new."""
    import models

    return models.as_new(models.deeper_classifier)


@pytest.fixture
def arrays():
    """Weights by name."""
    return named_arrays()


@pytest.fixture
def file(arrays, tmp_path, monkeypatch):
    """The name of a file that has the arrays, in the working folder."""
    monkeypatch.chdir(tmp_path)
    save_file(arrays, "model.safetensors")
    return "model.safetensors"


@pytest.fixture
def other(arrays, file):
    """The name of one that has others."""
    save_file(moved_arrays(arrays), "other.safetensors")
    return "other.safetensors"


def pushing():
    """The threads that push."""
    return [thread for thread in threading.enumerate() if thread.name == "gangplank-push"]


@pytest.fixture
def no_thread_is_left():
    yield
    awaited(lambda: not pushing())
