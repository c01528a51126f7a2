"""Which process of a distributed run is which."""

from types import SimpleNamespace

import keras
import pytest
from runs import fit
from samples import metrics_of

from gangplank import TrainTestExporter
from gangplank.training.processes import process_index

BACKEND = keras.backend.backend()


def test_a_run_that_is_not_distributed(model):
    assert process_index(model) == 0


def test_all_push_under_a_label_of_their_own(gateway, model, data):
    fit(model, data, TrainTestExporter(gateway, "digits", push_from="all"))
    assert metrics_of(gateway, "digits", process="0")["gangplank_train_epochs_count"] == 2


@pytest.mark.skipif(BACKEND != "torch", reason="Keras does not use PyTorch")
def test_a_process_group_that_is_not_initialized(gateway, model, data, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, pushes in ("0", True), ("1", False):
        monkeypatch.setenv("RANK", rank)
        with pytest.warns(UserWarning, match=r"is not initialized\. Call torch\.distributed\."):
            history = fit(model, data, TrainTestExporter(gateway, f"rank {rank}"))
        assert len(history.epoch) == 2
        assert bool(metrics_of(gateway, f"rank {rank}")) == pushes


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Keras does not use TensorFlow")
@pytest.mark.parametrize(
    ("task", "index"),
    [
        (("chief", 0), 0),
        (("worker", 0), 1),
        (("worker", 1), 2),
        (("evaluator", 0), 3),
        (("coordinator", 0), 0),
    ],
    ids=str,
)
def test_the_chief_and_the_workers_of_a_cluster(task, index):
    import tensorflow as tf

    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"], "evaluator": ["e:1"]}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type=task[0], task_id=task[1]
    )
    strategy = SimpleNamespace(cluster_resolver=resolver)
    assert process_index(SimpleNamespace(distribute_strategy=strategy)) == index


def test_an_engine_that_does_not_answer_does_not_end_the_run(gateway, model, data, monkeypatch):
    def fails(model):
        raise OSError("the metadata server does not answer")

    monkeypatch.setattr("gangplank.training.processes._index", fails)
    with pytest.warns(UserWarning, match="taken for the first: the metadata server does not"):
        fit(model, data, TrainTestExporter(gateway, "digits"))
    assert metrics_of(gateway, "digits")["gangplank_train_epochs_count"] == 2
