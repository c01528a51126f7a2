"""The two commands that serve the example and send it what drifts, as its README has them."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from conftest import LATE, awaited, fetched, held_port, started
from documents import ROOT, blocks, shell
from samples import samples_in
from stack import Stack

((UP, DRIFT, _),) = blocks("examples/serving/README.md", ["sh"])
README = (ROOT / "examples/serving/README.md").read_text()
# All but to install, which would change what other tests run in just now.
INSTALLED = "make --no-print-directory --old-file=.venv/serving"
MODEL = {"model": "digits", "version": "1"}
CONTRACT = {
    *(f"gangplank_predict_{name}" for name in ("total", "call_total")),
    *(f"gangplank_predict_{name}time_seconds_total" for name in ("", "call_")),
    *(
        f"gangplank_predict_drift_{name}"
        for name in ("detected_total", "p_value", "test_statistic")
    ),
}
PORTS = re.compile(r"\b(?:8000|19090|19093)\b")  # of the app, of Prometheus, of Alertmanager


@pytest.fixture
def ports():
    with ExitStack() as held:
        yield {port: str(held.enter_context(held_port())) for port in ("8000", "19090", "19093")}


@pytest.fixture
def clone(tmp_path, ports):
    """As much of one as the commands need, with ports that are nobody's."""
    made = shutil.ignore_patterns("*.keras", "*.npz", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=made)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for file in (tmp_path / "examples/serving").iterdir():
        file.write_text(PORTS.sub(lambda port: ports[port[0]], file.read_text()))
    return tmp_path


@pytest.mark.usefixtures("heeded_interrupt")
def test_two_commands_serve_it_and_tell_of_drift(clone, ports, tmp_path_factory):
    app, prometheus, alertmanager = (f"127.0.0.1:{port}" for port in ports.values())
    kept = tmp_path_factory.mktemp("kept")
    log = kept / "log"

    def is_served():
        return f"served at http://{app}/docs until Ctrl-C" in log.read_text()

    with log.open("w") as output:
        serving = started(
            UP.replace("make", INSTALLED).split(),
            is_served,
            cwd=clone,
            env=os.environ | {"UVICORN_PORT": ports["8000"], "TMPDIR": str(kept)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all are told of Ctrl-C at once, as by a terminal
        )
        with serving as process:
            told = shell(DRIFT.replace("make", INSTALLED), clone)
            assert_told(told.replace(app, "127.0.0.1:8000"))
            servers = Stack([], prometheus, alertmanager)
            drifts = alert_of_drift(servers)
            assert drifts["annotations"]["summary"] == told.splitlines()[-1]
            whose = MODEL | {"job": "digits", "instance": app}
            assert drifts["labels"] == whose | {"alertname": "ServingDrifts", "severity": "warning"}
            awaited(lambda: is_scraped(servers, app, whose))
            os.killpg(process.pid, signal.SIGINT)
            process.wait(30 + LATE)
            with pytest.raises(ProcessLookupError):
                os.killpg(process.pid, 0)
    assert "Traceback" not in log.read_text()
    assert [*kept.iterdir()] == [log]


def alert_of_drift(servers):
    (drifts,) = (
        alert for alert in servers.alerts() if alert["labels"]["alertname"] == "ServingDrifts"
    )
    return drifts


def assert_told(told):
    """It is what the README shows, but for the numbers."""
    right = [float(share) for share in re.findall(r"([\d.]+)% are recognized", told)]
    assert right[0] > 90 > 60 > right[1]
    assert re.sub(r"[\d.]+%", "%", told) in re.sub(r"[\d.]+%", "%", README)


def is_scraped(servers, app, whose):
    """Whether Prometheus has the names of the contract, and the last count of the samples."""
    scraped = servers.asked('{__name__=~"gangplank_predict_.*", model="digits"}')
    total = "gangplank_predict_call_total"
    shown = samples_in(fetched(f"http://{app}/metrics/"))[total, tuple(sorted(MODEL.items()))]
    names = {dict(labels)["__name__"] for labels in scraped}
    return scraped.get(frozenset({("__name__", total), *whose.items()})) == shown and (
        names >= CONTRACT
    )
