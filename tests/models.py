"""Compiled models for runs that are over soon: what such a run takes is Keras tracing its model."""

import keras

# By kind: a model, what tests seldom change of it, and the values in which each shall find it.
_traced = {}


def as_new(kind):
    """A model as `kind` makes it, of what Keras has traced before if the last test let it be."""
    model, made, state = _traced.get(kind, (None, None, ()))
    if model is None or _made(model) != made:
        model = kind()
        model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables]
        state = [(variable, keras.ops.convert_to_numpy(variable)) for variable in variables]
        _traced[kind] = model, _made(model), state
    model._jax_state = None  # which an interrupted run leaves, and Keras would put back
    for variable, value in state:
        variable.assign(value)
    keras.utils.set_random_seed(0)
    return model


def _made(model):
    # BackupAndRestore leaves the model the epoch at which each later run would begin, too.
    are_trainable = [layer.trainable for layer in model._flatten_layers()]
    return model.optimizer, model._compile_loss, model._initial_epoch, are_trainable


def classifier():
    """A model of 27 weights for images of 8 values in 3 classes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def deeper_classifier():
    """One of 63 weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(5), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
