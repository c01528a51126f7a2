"""The names of what a run shows."""

from samples import metrics_of


def names(gateway, phase="train", job="digits", **group):
    """The names of a phase that stand in a group, less those of pushing."""
    prefix = f"gangplank_{phase}_"
    found = {key if isinstance(key, str) else key[0] for key in metrics_of(gateway, job, **group)}
    return {n.removeprefix(prefix) for n in found if n.startswith(prefix) and "push" not in n}


OF_EPOCHS = {"epochs_count", "epoch_time_seconds", "learning_rate", "samples_per_second"}
OWN = {"elapsed_time_seconds", "model_parameters_count"} | OF_EPOCHS
RICH = {"histogram_buckets": [0.0], "histogram_freq": 1}
WEIGHTS = {f"model_weights_{series}" for series in ("bucket", "sum", "count", "created")}
FULL = OWN | WEIGHTS | {"loss", "accuracy", "val_loss", "val_accuracy", "model_nan_weights"}
OF_TESTS = {"elapsed_time_seconds", "model_parameters_count", "loss", "accuracy"}
