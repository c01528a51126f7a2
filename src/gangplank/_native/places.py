"""Where each array is counted: in host memory, or on the devices where it lives."""

from typing import Any

from gangplank._native.arrays import framework, host_view

WHEN_JAX_TRAINS = (
    "Count when Keras has the new weights: in on_epoch_end, on_train_end or after fit; in a hook "
    "of a batch call model.jax_state_sync() first."
)


def placed(array: Any) -> tuple[str, Any]:
    """The module that counts `array`, and what that is given: a view, a tensor, one copy of it."""
    owner = framework(array)
    if owner == "tensorflow" and _is_on_accelerator(array.device):
        return "tensorflow_ops", array
    if owner == "torch" and array.device.type != "cpu":
        return "torch_ops", array
    if owner == "jax":
        devices = array.sharding.device_set
        if len(devices) > 1 and array.is_fully_replicated:
            return placed(array.addressable_data(0))
        if len(devices) > 1 or next(iter(devices)).platform != "cpu":
            return "jax_ops", array
    return "cpu", host_view(array)


def unreadable(array: Any) -> str | None:
    """Why nobody can read `array` here, and what to do; None if one can."""
    owner = framework(array)
    if owner == "torch" and array.is_meta:
        return "it is on the meta device, where tensors have no values. Give it some first."
    if owner != "jax":
        return None
    if array.is_deleted():
        return (
            "JAX has deleted it, as a compiled step does with the weights that are donated to it. "
            + WHEN_JAX_TRAINS
        )
    if not array.addressable_shards:
        return (
            "this process holds no share of it. Call this in the processes whose devices are in "
            f"its mesh, {array.sharding}."
        )
    return None


def _is_on_accelerator(device: str) -> bool:
    return device != "" and "CPU" not in device
