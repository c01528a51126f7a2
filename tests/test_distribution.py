"""Weights on many devices and in many processes, as the engine of the backend distributes them."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from conftest import free_port, pushgateway
from samples import metrics_of

BACKEND = keras.backend.backend()
TESTS = Path(__file__).parent
WEIGHTS = 16 * 32 + 32 + 2 * 32 + 32 * 4 + 4

only_on = {
    name: pytest.mark.skipif(BACKEND != name, reason=f"Keras does not use {name}")
    for name in ("tensorflow", "jax", "torch")
}


@contextlib.contextmanager
def running(program, index, port, gateway, environment):
    process = subprocess.Popen(
        [sys.executable, TESTS / "distributed.py", program, str(index), str(port), gateway],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def said(program, environments=({},)):
    """What each process of a run says, and what all of them push: the metrics by job and group."""
    port = free_port()
    with pushgateway() as gateway, contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(running(program, index, port, gateway, environment))
            for index, environment in enumerate(environments)
        ]
        answers = []
        for process in processes:
            output, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
            answers.append(json.loads(output.splitlines()[-1]))
        groups = [metrics_of(gateway, "first")]
        groups += [metrics_of(gateway, "all", process=str(i)) for i in range(len(processes))]
    return answers, groups


def assert_all_is_right(answers, groups):
    assert [answer["is_pushing"] for answer in answers] == [
        [index == 0, True] for index in range(len(answers))
    ]
    for answer in answers:
        assert answer["counts"] == answer["expected"] == answers[0]["counts"]
        assert sum(answer["counts"]) == WEIGHTS
    for group in groups:
        assert group["gangplank_train_epochs_count"] == 2
        assert group["gangplank_train_model_weights_count"] == WEIGHTS


@only_on["jax"]
def test_jax_counts_each_shard_on_its_device():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    answers, groups = said("jax_devices", [flags])
    assert_all_is_right(answers, groups)
    (answer,) = answers
    assert answer["shards"] == 8
    assert answer["sharded"] == answer["expected_sharded"]
    assert answer["mixed"] == 2 * 8 + 16 * 32
    for edges in (13, 1024):
        program = answer[f"program_{edges}"]
        assert "all-reduce" in program
        assert "all-gather" not in program
        assert "f32[16,32]" not in program


@only_on["jax"]
def test_two_processes_of_jax_neither_of_which_has_a_whole_variable():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    answers, groups = said("jax_processes", [flags, flags])
    assert_all_is_right(answers, groups)
    for answer in answers:
        assert answer["whole_here"].count(True) == 0
        assert "element 0 cannot be counted: this process holds no share" in answer["of_others"]


@only_on["tensorflow"]
def test_a_mirrored_variable_counts_once():
    answers, groups = said("tensorflow_devices")
    assert_all_is_right(answers, groups)
    assert answers[0]["replicas"] == 4


@only_on["tensorflow"]
def test_two_processes_of_tensorflow():
    workers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    environments = [
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(2)
    ]
    answers, groups = said("tensorflow_processes", environments)
    assert_all_is_right(answers, groups)
    assert answers[0]["replicas"] == 2


@only_on["tensorflow"]
def test_a_variable_on_a_device_that_is_gone():
    (answer,), _ = said("tensorflow_device_that_goes")
    assert answer["before"] == 4
    assert answer["error"].startswith("Weights on /job:worker/")


@only_on["torch"]
def test_two_processes_of_torch():
    assert_all_is_right(*said("torch_processes", [{}, {}]))
