"""PyTorch's ops: in blocks, and of any layout."""

import keras
import numpy as np
import pytest

from gangplank import TrainTestExporter, weights_histogram
from gangplank._native import devices, reference
from gangplank._native.edges import Bounds

if keras.backend.backend() != "torch":
    pytest.skip("Keras does not use PyTorch", allow_module_level=True)

import torch
import torch.distributed.tensor

from gangplank._native import torch_ops

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))
VALUES = np.random.default_rng(0).normal(0, 0.5, (10, 100)).astype(np.float32)


def test_large_tensors_are_counted_in_blocks(monkeypatch):
    monkeypatch.setattr(torch_ops, "BLOCK", 300)
    counts, nan_count = torch_ops.count([torch.from_numpy(VALUES)], BOUNDS)
    assert counts.tolist() == reference.count([VALUES], BOUNDS)[0].tolist()
    assert nan_count == 0


def test_small_tensors_are_joined(monkeypatch):
    parts = np.split(VALUES.ravel(), [7, 7, 150])
    tensors = [*map(torch.from_numpy, parts), torch.from_numpy(VALUES).half()]
    expected = reference.count([VALUES, VALUES.astype(np.float16)], BOUNDS)[0].tolist()
    for small in (1, 200, 10_000):
        monkeypatch.setattr(devices, "SMALL", small)
        assert torch_ops.count(tensors, BOUNDS)[0].tolist() == expected


def test_layouts():
    tensor = torch.from_numpy(VALUES)
    for each in (tensor.T, tensor[::2, ::3], tensor.expand(3, 10, 100), tensor[0, 0]):
        counts, _ = torch_ops.count([each], BOUNDS)
        assert counts.tolist() == reference.count([each.numpy()], BOUNDS)[0].tolist()


def test_a_lazily_negated_tensor():
    tensor = torch._neg_view(torch.from_numpy(VALUES))
    counts, _ = torch_ops.count([tensor], BOUNDS)
    assert counts.tolist() == reference.count([-VALUES], BOUNDS)[0].tolist()


def test_a_tensor_in_host_memory_is_not_counted_by_torch():
    assert devices.placed(torch.ones(3))[0] == "cpu"


def test_a_tensor_without_values():
    with pytest.raises(RuntimeError, match="element 0 cannot be counted: it is on the meta device"):
        weights_histogram([torch.ones(3, device="meta")], BOUNDS.values)


def test_a_tensor_of_a_mesh(tmp_path):
    distributed = torch.distributed
    distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
        tensor = distributed.tensor.distribute_tensor(torch.ones(3), mesh)
        with pytest.raises(RuntimeError, match=r"it is a DTensor, .* Pass its full_tensor\(\)"):
            weights_histogram([tensor], BOUNDS.values)
        assert weights_histogram([tensor.full_tensor()], BOUNDS.values).count == 3
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize("begin", [0, 10])
def test_a_tensor_whose_storage_was_freed_is_not_read(begin):
    tensor = torch.full((40,), 5.0)[begin:]
    tensor.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="element 0 cannot be counted: its storage was freed"):
        weights_histogram([tensor], [0.0])
    tensor.untyped_storage().resize_(4 * 39)
    with pytest.raises(RuntimeError, match="element 0 cannot be counted: its storage was freed"):
        weights_histogram([tensor], [0.0])
    tensor.untyped_storage().resize_(4 * 40)
    assert weights_histogram([tensor.zero_()], [0.0]).count == 40 - begin


def test_a_parameter_that_is_not_made_yet():
    with pytest.raises(RuntimeError, match="Weights on cpu cannot be read there"):
        weights_histogram([torch.nn.parameter.UninitializedParameter()], [0.0])


def test_tensors_of_other_layouts_are_told_of():
    ragged = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)], layout=torch.jagged)
    with pytest.raises(RuntimeError, match=r"it is nested\. Pass the tensors that its unbind"):
        weights_histogram([ragged], [0.0])
    assert weights_histogram(ragged.unbind(), [0.0]).count == 5
    sparse = torch.eye(3).to_sparse()
    with pytest.raises(RuntimeError, match=r"its layout is torch\.sparse_coo\. Pass its to_dense"):
        weights_histogram([sparse], [0.0])


def test_inside_of_a_function_that_pytorch_transforms():
    def loss(x):
        with pytest.raises(RuntimeError, match=r"Weights on cpu cannot be read there"):
            weights_histogram([x], [0.0])
        return x.sum()

    torch.func.grad(loss)(torch.ones(3))


def test_a_loop_with_a_model_that_is_distributed(tmp_path):
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
        exporter = TrainTestExporter(None, histogram_buckets=[0.0])
        callbacks = keras.callbacks.CallbackList([exporter], model=wrapped)
        callbacks.on_train_begin()
        callbacks.on_epoch_end(0, {"loss": 1.0})
        callbacks.on_train_end()
    finally:
        torch.distributed.destroy_process_group()
    assert exporter.registry.get_sample_value("gangplank_train_model_parameters_count") == 9
    assert exporter.registry.get_sample_value("gangplank_train_model_weights_count") == 9
