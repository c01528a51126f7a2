"""The callback in a search of KerasTuner, which copies its callbacks for each trial."""

import keras
import keras_tuner
import pytest
from samples import metrics_of, status_of

from gangplank import TrainTestExporter

# KerasTuner calls what Python's threading deprecates.
pytestmark = pytest.mark.filterwarnings(r"ignore:(currentThread|getName)\(\):DeprecationWarning")

TRIALS = "0", "1", "2"


def build(hp):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    rate = hp.Float("learning_rate", 0.01, 1.0)
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    return model


def search(tuner_class, data, folder, callbacks):
    """The loss of each of three trials, by its name."""
    keras.utils.set_random_seed(0)
    tuner = tuner_class(build, "loss", max_trials=3, seed=0, directory=folder, project_name="of")
    tuner.search(*data, epochs=1, callbacks=callbacks, verbose=0)
    losses = {
        name: trial.metrics.get_best_value("loss") for name, trial in tuner.oracle.trials.items()
    }
    assert sorted(losses) == [*TRIALS]
    assert len(set(losses.values())) == 3
    return losses


def test_each_trial_has_a_group_of_its_own(real_gateway, data, tmp_path):
    class Search(keras_tuner.RandomSearch):
        def run_trial(self, trial, *args, callbacks=(), **kwargs):
            exporter = TrainTestExporter(
                real_gateway, "search", grouping_key={"trial": trial.trial_id}
            )
            return super().run_trial(trial, *args, callbacks=[*callbacks, exporter], **kwargs)

    losses = search(Search, data, tmp_path, [])
    for trial in TRIALS:
        metrics = metrics_of(real_gateway, "search", trial=trial)
        assert metrics["gangplank_train_loss"] == pytest.approx(losses[trial], rel=1e-15)
        assert metrics["gangplank_train_epochs_count"] == 1
        assert status_of(real_gateway, "search", trial=trial) == "completed"
    assert metrics_of(real_gateway, "search") == {}


def test_a_callback_for_all_trials_shows_the_last_one(real_gateway, data, tmp_path):
    exporter = TrainTestExporter(real_gateway, "search")
    losses = search(keras_tuner.RandomSearch, data, tmp_path, [exporter])
    metrics = metrics_of(real_gateway, "search")
    assert metrics["gangplank_train_loss"] == pytest.approx(losses[TRIALS[-1]], rel=1e-15)
    assert status_of(real_gateway, "search") == "completed"
    # The trials had copies of it.
    assert exporter.registry.get_sample_value("gangplank_train_loss") is None
