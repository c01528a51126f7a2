"""Keras's names and Prometheus's."""

import keras
import numpy as np
import pytest

from gangplank.metrics.metric_names import MetricNames, checked_metrics


def names(logs, metrics=None, reserved=()):
    return {key: name for name, key, _ in MetricNames(reserved, metrics).named(logs, {})}


def test_names_become_valid():
    logs = {"loss": 1.0, "top-5 acc/class:0": 1.0, "précision": 1.0, "1st": 1.0}
    assert names(logs) == {
        "loss": "loss",
        "top-5 acc/class:0": "top_5_acc_class_0",
        "précision": "pr_E9_cision",
        "1st": "1st",
    }


def test_names_beyond_ascii_do_not_meet():
    logs = dict.fromkeys(["准确率", "召回率", "val_准确率", "f₁", "🎯", "\ud800"], 1.0)
    assert names(logs) == {
        "准确率": "_51C6__786E__7387_",
        "召回率": "_53EC__56DE__7387_",
        "val_准确率": "val__51C6__786E__7387_",
        "f₁": "f_2081_",
        "🎯": "_1F3AF_",
        "\ud800": "_D800_",
    }


def test_a_name_that_spells_out_how_another_is_written():
    with pytest.warns(UserWarning, match="'pr_E9_' is not exported: .* already the metric 'pré'"):
        assert names({"pré": 1.0, "pr_E9_": 2.0}) == {"pré": "pr_E9_"}


def test_of_two_that_become_the_same_the_first_stays_and_the_second_is_told_of_once():
    metric_names, owners = MetricNames((), None), {}
    logs = {"a-b": 1.0, "a_b": 2.0}
    with pytest.warns(UserWarning, match="'a_b' is not exported: .* is already the metric 'a-b'"):
        first = list(metric_names.named(logs, owners))
    again = list(metric_names.named({"a_b": 3.0, "a-b": 4.0}, owners))
    assert first == [("a_b", "a-b", 1.0)]
    assert again == [("a_b", "a-b", 4.0)]
    in_another_run = list(metric_names.named({"a_b": 5.0}, {}))
    assert in_another_run == [("a_b", "a_b", 5.0)]


def test_a_name_of_our_own_is_told_of():
    with pytest.warns(UserWarning, match="'epochs count' is not exported: .* gangplank's own"):
        assert names({"epochs count": 1.0}, reserved=["epochs_count"]) == {}


def values(logs):
    return {key: value for _, key, value in MetricNames((), None).named(logs, {})}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32", "uint8"])
def test_an_array_has_one_number_a_class(dtype):
    tensor = keras.ops.convert_to_tensor([0, 1, 2], dtype)
    expected = {"f1": (0.0, 1.0, 2.0)}
    assert values({"f1": tensor}) == expected
    assert values({"f1": keras.ops.convert_to_numpy(tensor)}) == expected
    assert {type(each) for each in values({"f1": tensor})["f1"]} == {float}


def test_an_array_of_one_is_a_number():
    assert values({"f1": np.float32([0.5])}) == {"f1": 0.5}


@pytest.mark.parametrize(
    "odd",
    [
        np.zeros((3, 3)),
        np.zeros(0),
        np.array([True, False]),
        np.array(["0.5", "0.5"]),
        np.array([0.5, 0.5j]),
        np.complex64(0.5j),
        np.array([0.5, None]),
        np.zeros(1_001),
        [0.5, 0.5],
        (0.5, 0.5),
    ],
    ids=repr,
)
def test_what_is_neither_one_number_nor_one_a_class_is_told_of(odd):
    with pytest.warns(UserWarning, match="'f1' is not exported: it is not one number but"):
        assert names({"f1": odd, "loss": np.float32(1)}) == {"loss": "loss"}


def test_a_selected_metric_stands_for_its_validation_too():
    logs = dict.fromkeys(["loss", "val_loss", "accuracy", "val_accuracy"], 1.0)
    assert list(names(logs, ("loss",))) == ["loss", "val_loss"]
    assert list(names(logs, ("val_loss",))) == ["val_loss"]
    assert list(names(logs, ())) == []


def test_missing_metrics_are_told_of_once():
    metric_names = MetricNames((), ("loss", "acuracy", "val_f1"))
    logs = {"loss": 1.0, "accuracy": 2.0}
    assert [key for _, key, _ in metric_names.named(logs, {})] == ["loss"]
    with pytest.warns(
        UserWarning, match="'acuracy', which Keras does not log. It logs 'loss', 'ac"
    ):
        metric_names.warn_of_missing(logs, validation=False)
    with pytest.warns(UserWarning, match="'val_f1', which Keras does not log"):
        metric_names.warn_of_missing(logs, validation=True)
    metric_names.warn_of_missing(logs, validation=False)
    metric_names.warn_of_missing(logs, validation=True)


@pytest.mark.parametrize("metrics", [None, ["loss"], ("loss", "accuracy"), []])
def test_metrics_as_users_write_them(metrics):
    assert checked_metrics(metrics) == (None if metrics is None else tuple(metrics))


@pytest.mark.parametrize("metrics", ["loss", 3, [None], [""], [["loss"]]], ids=str)
def test_what_are_no_metrics(metrics):
    with pytest.raises(ValueError, match="metrics must be a list of Keras's names"):
        checked_metrics(metrics)
