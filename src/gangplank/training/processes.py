"""Which process of a distributed run this one is, by the engine that distributes it."""

import os
import sys
import warnings
from typing import Any, Literal

import keras

from gangplank.publishing import Pushgateway

PROCESS = "process"
"""The label that tells which of them pushed."""


def checked_push_from(push_from: Any, grouping_key: Any) -> Literal["first", "all"]:
    """`push_from`; if it is "all", `grouping_key` has no label of the process."""
    if push_from not in ("first", "all"):
        raise ValueError(f"push_from must be 'first' or 'all'. Received {push_from!r}.")
    if push_from == "all" and PROCESS in (grouping_key or ()):
        raise ValueError(
            f"grouping_key must not name the label {PROCESS!r} where push_from is 'all', which "
            "sets it itself."
        )
    return push_from  # type: ignore[no-any-return]


def gateway_of_process(
    gateway: Pushgateway, push_from: Literal["first", "all"], model: Any
) -> Pushgateway | None:
    """Where this process pushes to, if it does, of a run that has begun: before, nobody can tell.

    Arguments:
        gateway: that of all processes.
        push_from: which of them push.
        model: what they train together.
    """
    if gateway.address is None:
        return None
    index = process_index(model)
    if push_from == "all":
        return gateway.in_group({PROCESS: str(index)})
    return gateway if index == 0 else None


def process_index(model: Any) -> int:
    """The index of this process among those that train `model` together; 0 is the first.

    That is JAX's process index, the rank in PyTorch's process group, and of TensorFlow the place
    in the cluster of the strategy in whose scope the model was made: the chief, then the workers,
    then the evaluators. Warns where nobody can tell.
    """
    try:
        return _index(model)
    # The run matters more, and TensorFlow's resolvers ask services of all kinds.
    except Exception as error:
        warnings.warn(
            f"Nothing tells which process this is; taken for the first: {error}", stacklevel=2
        )
        return 0


def _index(model: Any) -> int:
    backend = keras.backend.backend()
    if backend == "jax":
        return int(sys.modules["jax"].process_index())
    if backend == "torch":
        return _rank(sys.modules["torch"].distributed)
    strategy = getattr(model, "distribute_strategy", None)  # a loop of one's own names no model
    return _place_in_cluster(getattr(strategy, "cluster_resolver", None))


def _rank(distributed: Any) -> int:
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    processes, rank = os.environ.get("WORLD_SIZE", "1"), int(os.environ.get("RANK", "0"))
    if processes != "1":
        warnings.warn(
            f"WORLD_SIZE says that {processes} processes train together, but the process group of "
            "torch.distributed is not initialized. Call torch.distributed.init_process_group() "
            f"before the run begins. Until then RANK is believed: this is process {rank}.",
            stacklevel=2,
        )
    return rank


def _place_in_cluster(resolver: Any) -> int:
    if resolver is None or not resolver.task_type:
        return 0
    cluster = resolver.cluster_spec()
    tasks = [
        (job, index)
        for job in ("chief", "worker", "evaluator")
        if job in cluster.jobs
        for index in cluster.task_indices(job)
    ]
    task = resolver.task_type, resolver.task_id
    # A coordinator, as TPUs have, is none of them.
    return tasks.index(task) if task in tasks else 0
