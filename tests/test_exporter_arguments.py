"""What the callback refuses when it is made."""

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from gangplank import TrainTestExporter


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"job": ""}, "job must not be empty"),
        ({"pgw_addr": "no address"}, "pgw_addr must be the address"),
        ({"metrics": "loss"}, "metrics must be a list of Keras's names"),
        ({"histogram_buckets": [2, 1]}, "histogram_buckets must be strictly increasing"),
        ({"histogram_freq": 2}, "histogram_freq needs histogram_buckets"),
        ({"histogram_freq": 0, "histogram_buckets": [1]}, "histogram_freq must be .* Received 0"),
        ({"histogram_freq": 1.5, "histogram_buckets": [1]}, "histogram_freq must be"),
        ({"timeout": -1}, "timeout must be a positive number"),
        ({"push_from": "chief"}, "push_from must be 'first' or 'all'. Received 'chief'"),
        (
            {"push_from": "all", "grouping_key": {"process": "7"}},
            "grouping_key must not name the label 'process' where push_from is 'all'",
        ),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    registry = CollectorRegistry()
    with pytest.raises(ValueError, match=message):
        TrainTestExporter(**{"pgw_addr": None, "job": "job", "registry": registry, **arguments})
    TrainTestExporter(None, "job", registry=registry)


def test_a_registry_that_has_an_exporter_already():
    registry = CollectorRegistry()
    TrainTestExporter(None, "job", registry=registry)
    with pytest.raises(ValueError, match="registry has metrics of these names already"):
        TrainTestExporter(None, "job", registry=registry)


def test_a_registry_that_refuses_is_left_as_it_was():
    registry = CollectorRegistry()
    gauge = prometheus_client.Gauge("gangplank_test_model_weights", "", registry=registry)
    with pytest.raises(ValueError, match="registry has metrics of these names already"):
        TrainTestExporter(None, "job", registry=registry)
    registry.unregister(gauge)
    TrainTestExporter(None, "job", registry=registry)


def test_what_is_no_registry():
    with pytest.raises(ValueError, match=r"registry must be a prometheus_client.CollectorRegistry"):
        TrainTestExporter(None, "job", registry="default")


def test_further_arguments_are_keywords():
    with pytest.raises(TypeError, match="positional"):
        TrainTestExporter(None, "job", None, None, None, True, 2)
