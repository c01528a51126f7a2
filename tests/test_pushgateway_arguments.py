"""Addresses, jobs, grouping keys, handlers and timeouts, and what of them is refused."""

import traceback
from fractions import Fraction

import keras
import numpy as np
import pytest
from samples import status_of

from gangplank import TrainTestExporter
from gangplank.publishing import Pushgateway


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:9091", "localhost", "[::1]:9091", "http://gateway/prefix", "https://gateway:443/"],
)
def test_addresses(address):
    assert Pushgateway(address, "job").address == address


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", ":9091", "http://", "ftp://gateway", "gateway:port", "gateway:70000"),
        *("gateway:0", "a b", "gateway\n", "gateway#x", "gateway#", "gateway:", 9091, b"gateway"),
        *("http://a..b:9091", "x" * 64 + ".example"),
        *("[::1", "http://a\u2100b"),
    ],
    ids=repr,
)
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match=r"^pgw_addr must be") as error:
        Pushgateway(address, "job")
    assert "127.0.0.1:9091" in str(error.value)


@pytest.mark.parametrize("address", ["http://例え.test:9091", "http://gateway/métriques"])
def test_an_address_that_no_request_can_hold(address):
    with pytest.raises(ValueError, match=r"^pgw_addr must be in ASCII: .*'xn--…'"):
        Pushgateway(address, "job")


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter2@gateway",
        "user:hunter2@gateway:9091",
        "https://user:hunter2\uff20gateway",
        "hunter2@",
        "https://gateway?token=hunter2",
        "https://user:hunter2@[gateway",
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_repeated(address):
    with pytest.raises(ValueError, match="must not hold a user or a password") as error:
        Pushgateway(address, "job")
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"job": ""}, "job must not be empty"),
        (
            {"job": None, "address": "a:1"},
            "job must name the job where pgw_addr is given, such as .mnist",
        ),
        ({"job": ".."}, "job must not be '..'"),
        ({"grouping_key": ["run"]}, r"grouping_key must map label names .* \['run'\]"),
        ({"grouping_key": {"a-b": "c"}}, "label names as keys. Received 'a-b'"),
        ({"grouping_key": {"__a": "c"}}, "label names as keys. Received '__a'"),
        ({"grouping_key": {"le": "c"}}, "must not name the label 'le'"),
        ({"grouping_key": {"job": "c"}}, "must not name the label 'job'"),
        ({"grouping_key": {"status": "c"}}, "must not name the label 'status'"),
        ({"grouping_key": {"class": "c"}}, "must not name the label 'class'"),
        ({"grouping_key": {"run": 7}}, r"grouping_key\['run'\] must be a str. Received 7"),
        ({"handler": ("user", "hunter2")}, "handler must be a function. .* of type tuple"),
        ({"job": "\ud800"}, "job must be text that UTF-8 can encode: .* surrogates"),
        ({"timeout": 0}, "timeout must be a positive number of seconds. Received 0"),
        ({"timeout": float("nan")}, "timeout must be a positive number"),
        ({"timeout": True}, "timeout must be a positive number of seconds. Received True"),
        ({"timeout": "10"}, "timeout must be a positive number of seconds. Received '10'"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Pushgateway(**{"address": None, "job": "job", **arguments})


@pytest.mark.parametrize("number", [np.float32, np.int64, Fraction])
def test_a_timeout_is_whatever_number(number, real_gateway, registry):
    gateway = Pushgateway(real_gateway, "job", timeout=number(5))
    assert isinstance(gateway.timeout, float)
    gateway.push(registry, gateway.timeout)
    exporter = TrainTestExporter(real_gateway, "job", timeout=number(5), ignore_exceptions=False)
    exporter.set_model(keras.Sequential())
    exporter.on_train_begin()
    exporter.on_train_end()
    assert status_of(real_gateway, "job") == "completed"
