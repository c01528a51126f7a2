"""What PyTorch's modules have in their state_dict."""

import keras
import pytest

from gangplank import weights_histogram, weights_histograms

if keras.backend.backend() != "torch":
    pytest.skip("Keras does not use PyTorch", allow_module_level=True)

import torch


def count(model):
    return weights_histogram(model, (-0.5, 0.0, 0.5)).count


def test_a_state_dict():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 4))
    assert count(module.state_dict()) == count(module.parameters()) == 9 + 16


@pytest.mark.parametrize("keep_vars", [False, True])
def test_tied_weights_count_once(keep_vars):
    module = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(3)))
    module[1].weight = module[0].weight
    state = module.state_dict(keep_vars=keep_vars)
    assert count(state) == count(module.parameters()) == 2 * 9 + 3 * 3
    assert [part.count for part in weights_histograms(state, [0.0]).values()] == [12, 3, 12]


@pytest.mark.parametrize("keep_vars", [False, True])
def test_a_sequential_model_that_names_each_weight_twice(keep_vars):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    assert count(model.state_dict(keep_vars=keep_vars)) == model.count_params() == 15


def test_views_of_one_tensor_count_each():
    matrix = torch.arange(9.0).reshape(3, 3)
    views = {"whole": matrix, "flat": matrix.ravel(), "row": matrix[0], "turned": matrix.T}
    assert count(views) == 9 + 9 + 3 + 9
    numbers = torch.ones(5, dtype=torch.complex64)
    assert count({"plus": numbers.imag, "minus": numbers.conj().imag}) == 10


def test_a_tensor_without_values_as_yet_is_refused():
    with pytest.raises(RuntimeError, match="cannot be read there"):
        count(torch.nn.LazyLinear(3).state_dict())


def test_tensors_that_are_loaded_into_the_same_memory_count_each():
    class Loading(dict):
        def items(self):
            for name, value in super().items():
                tensor = torch.full((10_000,), value)
                addresses.add(tensor.data_ptr())
                yield name, tensor

    addresses = set()
    assert count(Loading({str(i): float(i) for i in range(50)})) == 500_000
    assert len(addresses) < 50
