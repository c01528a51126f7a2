"""Copies of the exporter."""

import copy
import pickle

import pytest
from runs import fit

from gangplank import TrainTestExporter

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda each: pickle.loads(pickle.dumps(each))}


def handler(**options):
    return lambda: None


class Sub(TrainTestExporter):
    """A subclass with attributes of its own."""

    def __init__(self, *arguments, **options):
        self.first = [0]
        super().__init__(*arguments, **options)
        self.own = [1]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_is_a_fresh_exporter_of_the_same_arguments(copied, model, data, port):
    address = f"127.0.0.1:{port}"
    arguments = {
        "metrics": ["loss"],
        "histogram_buckets": [0.0, 0.1],
        "handler": handler,
        "ignore_exceptions": False,
        "weights": "all",
        "histogram_freq": 2,
        "histogram_per": "layer",
        "statistics": "variable",
        "update_ratio": True,
        "update_freq": 3,
        "grouping_key": {"run": "7"},
        "push_from": "all",
        "delete_on_end": True,
        "timeout": 3.0,
    }
    exporter = Sub(address, "travels", **arguments)
    fit(model, data, exporter, epochs=1)
    other = copied(exporter)
    assert type(other) is Sub
    assert (other.first, other.own) == ([0], [1])
    assert other.own is not exporter.own
    assert repr(other) == repr(exporter)
    assert other._arguments == exporter._arguments
    assert {**other._arguments, **arguments, "histogram_buckets": (0.0, 0.1)} == {
        "pgw_addr": address,
        "job": "travels",
        **arguments,
        "metrics": ["loss"],
        "histogram_buckets": (0.0, 0.1),
    }
    assert other.registry is not exporter.registry
    assert other.registry.get_sample_value("gangplank_train_loss") is None
    assert exporter.registry.get_sample_value("gangplank_train_loss") is not None
    fit(model, data, other, epochs=1)
    assert other.registry.get_sample_value("gangplank_train_epochs_count") == 1


def test_a_subclass_may_have_no_hash():
    class Compared(TrainTestExporter):
        def __eq__(self, other):
            return vars(self) == vars(other)

    exporter = Compared(None, grouping_key={"run": "a"})
    assert copy.deepcopy(exporter)._gateway.grouping_key == {"run": "a"}
