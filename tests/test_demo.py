"""`gangplank demo` as its users run it."""

import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import awaited, fetched
from samples import metrics_of
from usage import usage_error

from gangplank.__main__ import main

# The command for a demo of one epoch: what a whole one learns, the README's test tells.
SERVED = """
import runpy, sys; import gangplank.commands.demo as demo; demo.EPOCHS = 1
demo._in_five_places = lambda *data: data
sys.argv[1:] = ["demo", "--serve"]
runpy.run_module("gangplank", run_name="__main__")
"""


def test_against_a_gateway(real_gateway, monkeypatch, capsys):
    monkeypatch.setattr("gangplank.commands.demo.EPOCHS", 1)
    monkeypatch.setattr("gangplank.commands.demo._in_five_places", lambda *data: data)
    assert main(["demo", "--gateway", real_gateway]) == 0
    output = capsys.readouterr().out
    metrics = metrics_of(real_gateway, "digits")
    assert metrics["gangplank_test_accuracy"] > 0.5
    assert metrics["gangplank_train_val_accuracy"] > 0.5
    assert metrics["gangplank_train_model_parameters_count"] == 104_202
    assert metrics["gangplank_train_model_weights_count"] == 104_202
    assert "A convnet of 104,202 weights learns 1,437 handwritten digits." in output
    assert "Pushed to the gateway, job 'digits'" in output
    assert "gangplank_test_accuracy" in output
    assert 'gangplank_train_status{status="completed"}  ' in output
    assert "█" in output
    assert f"curl -s {real_gateway}/metrics | grep gangplank_" in output


@pytest.mark.usefixtures("heeded_interrupt")
def test_serving_until_ctrl_c():
    process = subprocess.Popen(
        [sys.executable, "-c", SERVED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        lines = iter(process.stdout.readline, "")
        address = next(
            match[1] for line in lines if (match := re.search(r"stays up at http://(\S+)", line))
        )
        assert awaited(lambda: metrics_of(address, "digits"))["gangplank_test_accuracy"] > 0.5
        assert fetched(f"http://{address}/-/ready") == "OK"
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        assert "The gateway has ended." in rest
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()


def test_a_gateway_that_is_down(capsys, port):
    address = f"127.0.0.1:{port}"
    assert main(["demo", "--gateway", address]) == 1
    error = capsys.readouterr().err
    assert error.startswith("gangplank: The metrics of job 'digits' were not pushed")
    assert f"at {address}: [Errno 111] Connection refused" in error


def test_an_address_that_is_none(capsys):
    assert usage_error(capsys, "demo", "--gateway", "no address").startswith(
        "gangplank demo: error: --gateway must be the address of a gateway. Received 'no address'."
    )


def test_what_the_demo_needs_is_missing(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "gangplank.commands.demo", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.delattr("gangplank.commands.demo", raising=False)
    assert main(["demo"]) == 1
    error = capsys.readouterr().err
    assert "pip install '.[demo]' in a clone of gangplank" in error


@pytest.mark.parametrize(
    "arguments", [[], ["demo", "--serve", "--gateway", "a:1"], ["dance"]], ids=str
)
def test_a_command_line_that_is_wrong(arguments, capsys):
    assert "error: " in usage_error(capsys, *arguments)
