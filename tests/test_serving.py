"""The example that serves a model, under the real servers of ASGI."""

import contextlib
import http.client
import json
import os
import runpy
import shutil
import signal
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import LATE, awaited, fetched, held_port, request, started
from documents import blocks
from prometheus_client.multiprocess import MultiProcessCollector
from samples import samples_in
from stack import SERVING

((_, _, SEVERAL),) = blocks("examples/serving/README.md", ["sh"])
CLIENTS = 64
MODEL = {"model": "digits", "version": "1"}
METHOD = {"method": "call"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example, with the model that it trains."""
    made = shutil.ignore_patterns("*.keras", "*.npz", "__pycache__")
    folder = shutil.copytree(SERVING, tmp_path_factory.mktemp("examples") / "serving", ignore=made)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        runpy.run_path(str(folder / "train.py"))
        yield folder
        sys.modules.pop("digits")


@pytest.fixture(scope="module")
def images(folder):
    _, _, (images, _) = sys.modules["digits"].load_parts()
    return images


@pytest.fixture(scope="module")
def expected(folder, images):
    """The digits that the model sees on them."""
    model = keras.saving.load_model(folder / "digits.keras")
    return model.predict_on_batch(images).argmax(axis=1).tolist()


class Server:
    """What serves the example."""

    def __init__(self, address):
        self.address = address

    def post(self, **content):
        body, kind = json.dumps(content), {"Content-Type": "application/json"}
        status, text = request(self.address, "POST", "/predict", body, **kind)
        return status, json.loads(text)

    def digits(self, images):
        status, answer = self.post(images=images.tolist())
        assert status == 200
        return answer["digits"]

    def value(self, name, **labels):
        """What /metrics has for the model, 0 where it has nothing."""
        key = name, tuple(sorted((MODEL | labels).items(), key=str))
        return samples_in(self.metrics()).get(key, 0)

    def metrics(self, accept=""):
        asked = urllib.request.Request(
            f"http://{self.address}/metrics/", headers={"Accept": accept}
        )
        # prometheus_client fails where a worker has made a file and written nothing yet.
        return awaited(lambda: fetched(asked))

    def counts(self):
        """How many samples were answered and how many calls, by two metrics each."""
        names = ("batch_samples_sum", "batch_samples_count", "latency_seconds_count")
        of_method = (self.value(f"gangplank_predict_{name}", **METHOD) for name in names)
        return self.value("gangplank_predict_call_total"), *of_method

    def in_flight(self):
        return self.value("gangplank_predict_in_flight_samples", **METHOD)


@contextlib.contextmanager
def serving(folder, *command, **environment):
    """The server that a command starts, which Ctrl-C ends; `{}` in the command is its port."""
    log = folder / f"{command[0]}.log"
    with held_port() as port, contextlib.ExitStack() as until_end:
        address = f"127.0.0.1:{port}"
        process = until_end.enter_context(
            started(
                [sys.executable, "-m", *(part.format(port) for part in command)],
                lambda: fetched(f"http://{address}/metrics/"),
                cwd=folder,
                env=os.environ | environment,
                stderr=until_end.enter_context(log.open("w")),
            )
        )
        yield Server(address)
        process.send_signal(signal.SIGINT)
        # A framework takes two seconds to go, and gunicorn gives its workers thirty.
        assert process.wait(30 + LATE) in (0, -signal.SIGINT)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def uvicorn(folder):
    with serving(folder, "uvicorn", "--log-level=warning", "--port={}", "app:app") as server:
        yield server


@pytest.fixture(scope="module")
def multiprocess(folder):
    """The folder of the metrics of gunicorn's workers."""
    (files := folder / "metrics").mkdir()
    return files


@pytest.fixture(scope="module")
def gunicorn(folder, multiprocess):
    command = SEVERAL.replace("examples/serving/", "").split()
    options = "--bind=127.0.0.1:{}", "--log-level=error"
    with serving(folder, *command, *options, PROMETHEUS_MULTIPROC_DIR=str(multiprocess)) as server:
        awaited(lambda: len(workers(multiprocess)) == 2)
        yield server


def workers(multiprocess):
    """The numbers of the workers that have loaded the model, and so have counters."""
    numbers = {int(file.stem.rpartition("_")[2]) for file in multiprocess.glob("counter_*.db")}
    return {number for number in numbers if Path(f"/proc/{number}").exists()}


def ask_at_once(server, images, expected):
    """What all the clients have sent, whose answers were right, as `Server.counts` has it."""
    barrier = threading.Barrier(CLIENTS)

    def ask(client):
        samples = 0
        barrier.wait(LATE)
        for call in range(4):
            part = slice(4 * client + call, 4 * client + call + 1 + (client + call) % 5)
            assert server.digits(images[part]) == expected[part]
            samples += part.stop - part.start
        return samples

    with ThreadPoolExecutor(CLIENTS) as clients:
        samples = sum(clients.map(ask, range(CLIENTS)))
    return samples, samples, 4 * CLIENTS, 4 * CLIENTS


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_all_that_clients_send_at_once_is_counted(name, request, images, expected):
    server = request.getfixturevalue(name)
    before = server.counts()
    sent = ask_at_once(server, images, expected)
    assert tuple(np.subtract(server.counts(), before)) == sent
    assert server.in_flight() == 0


def test_what_is_no_image_reaches_no_model(uvicorn):
    before = uvicorn.counts()
    for images in ([], [[0.5]], [["a"] * 64], None):
        status, answer = uvicorn.post(images=images)
        assert (status, answer["detail"][0]["loc"][:2]) == (422, ["body", "images"])
    assert uvicorn.counts() == before


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn"])
def test_metrics_are_in_the_format_that_is_asked_for(name, request):
    server = request.getfixturevalue(name)
    assert server.metrics("application/openmetrics-text; version=1.0.0").endswith("\n# EOF\n")
    assert not server.metrics("text/plain").endswith("\n# EOF\n")


def test_the_path_that_people_type(uvicorn):
    assert "\ngangplank_predict_call_total{" in fetched(f"http://{uvicorn.address}/metrics")


def test_drift_that_one_of_several_workers_finds(gunicorn, images):
    def is_found():
        gunicorn.digits(1 - images[:50])
        # The other worker may have filled a window of mostly what was sent before.
        is_last = 0 < gunicorn.value("gangplank_predict_drift_p_value") <= 1e-3
        return is_last and gunicorn.value("gangplank_predict_drift_detected_total") >= 1

    awaited(is_found)
    assert 0 < gunicorn.value("gangplank_predict_drift_test_statistic") <= 1


def under_way(multiprocess, worker):
    """How many samples are in flight in a worker that is stopped."""
    found = multiprocess.glob(f"gauge_livesum_{worker}.db")
    files = [str(file) for file in found if file.stat().st_size]  # it may be making it just now
    families = MultiProcessCollector.merge(files)
    return sum(sample.value for family in families for sample in family.samples)


def test_a_worker_that_is_killed_in_the_midst_of_calls(gunicorn, multiprocess, images, expected):
    before, of_before = gunicorn.counts(), workers(multiprocess)
    killed = min(of_before)
    is_over = threading.Event()

    def ask(_):
        """How many samples were answered, and how many were sent."""
        answered = sent = 0
        while not is_over.is_set():
            sent += 100
            with contextlib.suppress(OSError, http.client.HTTPException):
                answered += len(gunicorn.digits(images[:100]))
        return answered, sent

    def is_stopped_in_a_call():
        os.kill(killed, signal.SIGSTOP)
        if under_way(multiprocess, killed):
            return True
        os.kill(killed, signal.SIGCONT)
        return False

    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(ask, i) for i in range(4)]
        try:
            awaited(is_stopped_in_a_call)
            os.kill(killed, signal.SIGKILL)
        finally:
            is_over.set()
    answered, sent = np.sum([each.result() for each in asked], axis=0)
    # One that is new came after the end of that one was seen, and dealt with.
    awaited(lambda: len(workers(multiprocess) - {killed}) == 2)
    assert not under_way(multiprocess, killed)
    assert gunicorn.in_flight() == 0
    # The call in which it was stopped may have been counted, in some metrics or in all of them.
    samples, *_ = np.subtract(gunicorn.counts(), before)
    assert answered <= samples <= sent
    # From here on all is exact again, over the two workers and the one that is dead.
    before = gunicorn.counts()
    sent = ask_at_once(gunicorn, images, expected)
    assert tuple(np.subtract(gunicorn.counts(), before)) == sent
