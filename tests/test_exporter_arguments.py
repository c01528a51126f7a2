"""What the callback is made with, and what it refuses."""

import numpy as np
import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from runs import fit

from gangplank import TrainTestExporter


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"job": ""}, "job must not be empty"),
        ({"pgw_addr": "no address"}, "pgw_addr must be the address"),
        ({"metrics": "loss"}, "metrics must be a list of Keras's names"),
        ({"histogram_buckets": [2, 1]}, "histogram_buckets must be strictly increasing"),
        ({"histogram_buckets": np.array(0.1)}, r"histogram_buckets must .* Received array\(0.1\)"),
        ({"histogram_buckets": b"ab"}, "histogram_buckets must be a seq.* Received b'ab'"),
        ({"histogram_buckets": bytearray(b"ab")}, "histogram_buckets must be a sequence"),
        ({"histogram_buckets": "0.1"}, "histogram_buckets must be a .* Received '0.1'"),
        ({"histogram_freq": 2}, "histogram_freq needs histogram_buckets"),
        ({"histogram_freq": 0, "histogram_buckets": [1]}, "histogram_freq must be .* Received 0"),
        ({"histogram_freq": 1.5, "histogram_buckets": [1]}, "histogram_freq must be"),
        ({"ignore_exceptions": "no"}, "ignore_exceptions must be True or False. Received 'no'"),
        ({"delete_on_end": 1}, "delete_on_end must be True or False. Received 1"),
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


def test_a_repr_names_where_the_metrics_go():
    exporter = TrainTestExporter("127.0.0.1:9091", "mnist", grouping_key={"run": "7"})
    assert (
        repr(exporter) == "TrainTestExporter('127.0.0.1:9091', 'mnist', grouping_key={'run': '7'})"
    )
    assert repr(TrainTestExporter(None)) == "TrainTestExporter(None, None)"


def test_where_nothing_is_pushed_the_grouping_key_is_on_the_series_and_a_registry_is_shared(
    model, data
):
    registry = CollectorRegistry()
    exporters = [
        TrainTestExporter(
            None, grouping_key={"run": run}, registry=registry, histogram_buckets=[0.0]
        )
        for run in "ab"
    ]
    fit(model, data, exporters[0], epochs=1)
    fit(model, data, exporters[1], epochs=2)
    for run, epochs in ("a", 1), ("b", 2):
        value = registry.get_sample_value
        assert value("gangplank_train_epochs_count", {"run": run}) == epochs
        assert value("gangplank_train_model_weights_bucket", {"run": run, "le": "+Inf"}) == 27
        assert value("gangplank_train_status", {"run": run, "status": "completed"}) == 1
    lines = generate_latest(registry).decode().splitlines()
    types = [line for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    assert generate_latest(registry).decode().splitlines() == lines
    with pytest.raises(ValueError, match="registry has metrics of these names already"):
        TrainTestExporter(None, grouping_key={"run": "a"}, registry=registry)


def test_a_job_may_be_left_out_only_where_nothing_is_pushed():
    TrainTestExporter(None)
    with pytest.raises(ValueError, match="job must name the job where pgw_addr is given"):
        TrainTestExporter("127.0.0.1:9091")
