"""What tests of served models have in common."""

import keras
import numpy as np

X = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")


def value(registry, name, **labels):
    """That of the sample ``gangplank_predict<name>`` in a registry, None where there is none."""
    return registry.get_sample_value(f"gangplank_predict{name}", labels)


def assert_equal(*tensors):
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, tensors))
