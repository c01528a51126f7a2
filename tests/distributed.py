"""The programs of distributed runs, each in processes of its own, which print what came of them.

Run as ``python distributed.py PROGRAM INDEX PORT GATEWAY``.
"""

import json
import subprocess
import sys
import threading

import keras
import numpy as np

import gangplank
from gangplank import weights_histogram
from gangplank._native import reference
from gangplank._native.edges import Bounds

BOUNDS = gangplank.HISTOGRAM_WEIGHT_BUCKETS_0_3
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(64, 16)).astype("float32"), RNG.integers(0, 4, 64)


def compiled_model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(32, name="hidden"),
            layers.BatchNormalization(),
            layers.Dense(4, activation="softmax", name="output"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class NotesPushing(keras.callbacks.Callback):
    """Notes of each run whether anything is pushed."""

    def __init__(self):
        super().__init__()
        self.runs = []

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.runs.append(any(t.name == "gangplank-push" for t in threading.enumerate()))


def trained(model, gateway, train):
    """What is counted after a run that one process pushes, and two that all push."""
    pushing = NotesPushing()
    # What only the first one shows, the last one of the same groups has taken away.
    for push_from, per in (("all", "layer"), ("first", "model"), ("all", "model")):
        exporter = gangplank.TrainTestExporter(
            gateway,
            push_from,
            histogram_buckets=BOUNDS,
            histogram_freq=1,
            histogram_per=per,
            statistics="model",
            update_ratio=True,
            ignore_exceptions=False,
            push_from=push_from,
        )
        train(model, [pushing, exporter])
    histogram = weights_histogram(model, BOUNDS)
    norm = gangplank.weights_statistics(model).norm
    return {"counts": histogram.counts.tolist(), "norm": norm, "is_pushing": pushing.runs}


def fit(model, callbacks):
    model.fit(*DATA, batch_size=32, epochs=2, verbose=0, callbacks=callbacks)


def in_a_loop(step):
    """Trains as `fit` does, where Keras's own does not distribute: `step` returns the loss."""

    def train(model, callbacks):
        hooks = keras.callbacks.CallbackList(callbacks, model=model)
        hooks.on_train_begin()
        for epoch in range(2):
            hooks.on_epoch_begin(epoch)
            logs = {"loss": float(step())}
            hooks.on_epoch_end(epoch, logs)
        hooks.on_train_end(logs)

    return train


def expected(arrays):
    """The same as NumPy says it of the whole arrays."""
    norm = np.sqrt(sum(np.square(array.astype(np.float64)).sum() for array in arrays))
    return {"expected": counted(arrays), "expected_norm": norm}


def counted(arrays):
    return reference.count(arrays, Bounds.of(BOUNDS))[0].tolist()


def distribute(devices):
    """Keras's model parallelism: a kernel is sharded over `devices`, all else is on each."""
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ("batch", "model"), devices)
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*hidden/kernel"] = (None, "model")
    distribution = keras.distribution.ModelParallel(
        layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False
    )
    keras.distribution.set_distribution(distribution)


def jax_processes(index, port, gateway):
    import jax
    from jax.experimental.multihost_utils import process_allgather
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    keras.distribution.initialize(f"127.0.0.1:{port}", 2, index)
    distribute(keras.distribution.list_devices())
    model = compiled_model()
    said = trained(model, gateway, fit)
    values = [variable.value for variable in model.trainable_variables]
    said |= expected([np.asarray(process_allgather(v, tiled=True)) for v in values])
    said["whole_here"] = [value.is_fully_addressable for value in values]

    others = [device for device in jax.devices() if device.process_index != index]
    elsewhere = NamedSharding(Mesh(np.array(others), "x"), PartitionSpec("x"))
    array = jax.make_array_from_single_device_arrays((4,), elsewhere, [], dtype="float32")
    try:
        weights_histogram([array], BOUNDS)
    except RuntimeError as error:
        said["of_others"] = str(error)
    return said


def jax_devices(index, port, gateway):
    import jax

    from gangplank._native import jax_ops

    keras.distribution.set_distribution(keras.distribution.DataParallel())
    model = compiled_model()
    said = trained(model, gateway, fit)
    said |= expected(model.get_weights()[:4] + model.get_weights()[6:])

    distribute(keras.distribution.list_devices())
    model = compiled_model()
    fit(model, [])
    said["sharded"] = weights_histogram(model, BOUNDS).counts.tolist()
    said["expected_sharded"] = counted([np.asarray(v.value) for v in model.trainable_variables])
    kernel = model.layers[0].kernel.value
    said["shards"] = len({str(shard.index) for shard in kernel.addressable_shards})
    for edges in (13, 1024):
        program = jax_ops.compiled_for(
            jax_ops.mesh_of(kernel), (kernel.sharding.spec,), False
        ).lower([kernel], {"float32": np.arange(edges, dtype=np.uint32)})
        said[f"program_{edges}"] = program.compile().as_text()
    mixed = [*jax.device_put(np.ones((2, 8), "float32"), kernel.sharding), kernel]
    said["mixed"] = weights_histogram(mixed, BOUNDS).count
    return said


def tensorflow_devices(index, port, gateway):
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
    )
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(4)])
    with strategy.scope():
        model = compiled_model()
    said = trained(model, gateway, fit)
    said |= expected([v.numpy() for v in model.trainable_variables])
    said["replicas"] = len(model.trainable_variables[0].value.values)
    return said


def tensorflow_processes(index, port, gateway):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = compiled_model()
    x, y = (array[index::2] for array in DATA)

    @tf.function
    def step():
        def on_replica():
            with tf.GradientTape() as tape:
                losses = keras.losses.sparse_categorical_crossentropy(y, model(x))
                loss = tf.reduce_sum(losses) / len(DATA[1])
            variables = [variable.value for variable in model.trainable_variables]
            together = tf.distribute.get_replica_context().all_reduce(
                "SUM", tape.gradient(loss, variables)
            )
            for variable, gradient in zip(variables, together, strict=True):
                variable.assign_sub(0.1 * gradient)
            return loss

        return strategy.reduce("SUM", strategy.run(on_replica), axis=None)

    said = trained(model, gateway, in_a_loop(step))
    said |= expected([v.numpy() for v in model.trainable_variables])
    said["replicas"] = strategy.num_replicas_in_sync
    return said


def torch_processes(index, port, gateway):
    import torch
    from torch.nn.parallel import DistributedDataParallel

    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=index, world_size=2
    )
    model = compiled_model()
    x, y = (torch.from_numpy(array[index::2]) for array in DATA)
    parallel = DistributedDataParallel(model)

    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(parallel(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    said = trained(model, gateway, in_a_loop(step))
    said |= expected([v.numpy() for v in model.trainable_variables])
    torch.distributed.destroy_process_group()
    return said


def tensorflow_server(index, port, gateway):
    """A device in another process, until that is killed."""
    import tensorflow as tf

    tf.distribute.Server({"worker": [f"127.0.0.1:{port}"]}, job_name="worker").join()


def tensorflow_device_that_goes(index, port, gateway):
    import tensorflow as tf

    server = subprocess.Popen([sys.executable, __file__, "tensorflow_server", "0", str(port), ""])
    try:
        tf.config.experimental_connect_to_host(f"grpc://127.0.0.1:{port}", "worker")
        with tf.device("/job:worker/replica:0/task:0/device:CPU:0"):
            variable = tf.Variable(np.ones(4, "float32"))
        before = weights_histogram([variable], BOUNDS).count
    finally:
        server.kill()
        server.wait()
    try:
        weights_histogram([variable], BOUNDS)
    except RuntimeError as error:
        return {"before": before, "error": str(error)}


if __name__ == "__main__":
    program, index, port, gateway = sys.argv[1:]
    sys.stdout.write(json.dumps(globals()[program](int(index), int(port), gateway)) + "\n")
    sys.stdout.flush()
    # Where one ends, the frameworks end the others.
    sys.stdin.read()
