"""Runs, healthy and sick ones, that the dashboard and the rules are to tell of."""

import time

import keras
import numpy as np
import pytest
from conftest import awaited
from prometheus_client.exposition import default_handler
from runs import At, fit

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, NativeBuckets, TrainTestExporter

RUNS = {"native": "1", "classic": "1", "sick": "2", "stuck": "3", "overfits": "4"}
"""The label of the run of each job."""

BUCKETS = {"native": NativeBuckets(), "classic": HISTOGRAM_WEIGHT_BUCKETS_0_3}
WEIGHTS = {"statistics": "layer", "update_ratio": True, "histogram_freq": 1}
ALL = "(?s).*"  # what the dashboard asks for where all layers are chosen
SICK = "broken", "dead", "still"
ALERTS = {"TrainingFailed", "TrainingPushesFail", "TrainingOverfits", "TrainingNoProgress"}


class Breaks(keras.callbacks.Callback):
    """Makes the model sick at the end of the second epoch, and its loss."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            logs["loss"] = np.nan
            for name, value in (("broken", np.nan), ("dead", 0.0)):
                layer = self.model.get_layer(name)
                kernel, bias = layer.get_weights()
                kernel[: 2 if name == "broken" else None] = value
                layer.set_weights([kernel, 0 * bias])


class Unreliable:
    """prometheus_client's push handler, of which so many calls fail."""

    failing = 0

    def __call__(self, **request):
        send = default_handler(**request)

        def push():
            if self.failing:
                self.failing -= 1
                raise ConnectionRefusedError
            send()

        return push


class Watched:
    """Runs that a Prometheus has scraped.

    Attributes:
        servers: what answers.
        exporters: those of the runs, by their jobs.
        model: the one that was trained in the jobs "native" and "classic".
        history: what Keras tells of that, the last epoch last.
        tested: what it tells of the test.
        sick: the one of the job "sick".
    """

    def __init__(self, servers):
        self.servers = servers
        self.exporters = {}

    def exporter(self, job, **options):
        first, second = self.servers.gateways
        exporter = TrainTestExporter(
            second if job == "classic" else first,
            job,
            grouping_key={"run": RUNS[job]},
            **options,
        )
        self.exporters[job] = exporter
        return exporter

    def train_and_test(self, data):
        self.model = network("hidden", "head")
        exporters = [
            self.exporter(job, histogram_buckets=buckets, histogram_per="layer", **WEIGHTS)
            for job, buckets in BUCKETS.items()
        ]
        options = {"callbacks": exporters, "verbose": 0}
        self.history = self.model.fit(*data, epochs=3, validation_split=0.2, **options).history
        self.tested = self.model.evaluate(*data, return_dict=True, **options)

    def train_what_fails(self, data):
        self.sick = network(*SICK, "head")
        self.sick.get_layer("still").trainable = False
        self.sick.compile("sgd", "sparse_categorical_crossentropy")
        exporter = self.exporter("sick", weights="all", **WEIGHTS)

        def fail():
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fit(self.sick, data, Breaks(), exporter, At(1, fail))

        def test():
            with exporter:
                exporter.on_test_begin()
                fail()

        with pytest.raises(ZeroDivisionError):
            test()

    def go_on(self, runs):
        """Runs that get worse, of which the first has the trouble to push."""
        handler = Unreliable()
        stuck = runs.enter_context(self.exporter("stuck", handler=handler))
        overfits = runs.enter_context(self.exporter("overfits"))
        for exporter in (stuck, overfits):
            exporter.on_train_begin()
            exporter.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
        best = "run:gangplank_train_val_loss:best_epoch"
        awaited(lambda: len(self.servers.asked(best)) == 2)
        handler.failing = 6
        stuck.on_epoch_end(2, {"loss": 2.0, "val_loss": 2.0})
        overfits.on_epoch_end(2, {"loss": 0.5, "val_loss": 2.0})

    def is_all_told(self):
        """Whether all that is to come has come, at a time at which all is asked from then on."""
        self.servers.time = time.time()
        told = {alert["labels"]["alertname"] for alert in self.servers.alerts()}
        (silent,) = (rule for rule in self.servers.rules() if rule["name"] == "TrainingSilent")
        tested = 'gangplank_test_status{status="completed"} == 1'
        # Rules that record are evaluated after what they record was scraped.
        recorded = "run:gangplank_train_val_loss:finite == on (job, run) gangplank_train_val_loss"
        answers = [self.servers.asked(query) for query in (silent["query"], tested, recorded)]
        return told >= ALERTS and [len(each) for each in answers] == [2, len(BUCKETS), 2]

    def shown(self, job, name, **labels):
        """What the exporter of a job shows as the value of a metric."""
        return self.exporters[job].registry.get_sample_value(f"gangplank_{name}", labels)

    def asked(self, query, job, layer=ALL):
        """The answers to a query of the dashboard where a job and a layer, or all, are chosen.

        By all labels that tell them from one another, less those of the job and its run, which
        each must have.
        """
        run = RUNS[job]
        query = query.replace("$job", job).replace("$run", run).replace("$layer", layer)
        assert "$" not in query.replace("$1", "")
        answers = {}
        for labels, value in self.servers.asked(query).items():
            left = labels - {("job", job), ("run", run)}
            assert len(labels - left) in (0, 2)
            answers[left] = value
        return answers


def network(*names):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, name=name, activation="relu") for name in names[:-1]]
    head = keras.layers.Dense(3, name=names[-1], activation="softmax")
    model = keras.Sequential([keras.Input((8,)), *layers, head])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
