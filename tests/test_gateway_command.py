"""`gangplank gateway` as its users run it."""

import re
import shlex
import signal
import subprocess
import sys

import pytest
from conftest import awaited, fetched
from documents import blocks

from gangplank.__main__ import main
from gangplank.gateway import Gateway


@pytest.mark.usefixtures("heeded_interrupt")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_until_ctrl_c(number):
    ((command,),) = blocks("docs/live-page.md", ["sh"])
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(command.replace("9091", "0"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stdout.readline()
        address = re.match(r"See the runs at http://(\S+)/ and push to \1\.$", first)[1]
        assert awaited(lambda: fetched(f"http://{address}/-/ready")) == "OK"
        process.send_signal(number)
        rest, errors = process.communicate(timeout=600)
        assert (process.returncode, errors) == (0, "")
        assert rest.endswith("The gateway has ended.\n")
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken(capsys):
    with Gateway() as gateway:
        port = gateway.address.partition(":")[2]
        assert main(["gateway", "--port", port]) == 1
    assert capsys.readouterr().err == (
        f"gangplank: port must be a free port of 127.0.0.1, but {port} is not (Address already in "
        "use). Pass another one, or 0 for any.\n"
    )


@pytest.mark.parametrize("port", ["65536", "-1", "many", "1.5", ""])
def test_a_port_that_is_none(capsys, port):
    with pytest.raises(SystemExit) as ended:
        main(["gateway", f"--port={port}"])
    assert ended.value.code == 2
    received = port if port.isdecimal() else repr(port)
    assert capsys.readouterr().err.endswith(
        "gangplank gateway: error: argument --port: port must be an integer from 0 to 65535. "
        f"Received {received}.\n"
    )


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["gateway", "--help"])
    output = capsys.readouterr().out
    assert "\n  gangplank gateway --port 9091\n" in output
    assert '\n  gangplank.TrainTestExporter("127.0.0.1:9091", "mnist")\n' in output
