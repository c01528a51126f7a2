"""Weights on many devices and in many processes, as the engine of the backend distributes them."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from conftest import awaited, fetched, held_port, pushgateway
from samples import metrics_of

BACKEND = keras.backend.backend()
TESTS = Path(__file__).parent
# The devices are virtual ones of the CPU, also where there is a GPU.
ON_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
WEIGHTS = 16 * 32 + 32 + 2 * 32 + 32 * 4 + 4

only_on = {
    name: pytest.mark.skipif(BACKEND != name, reason=f"Keras does not use {name}")
    for name in ("tensorflow", "jax", "torch")
}


@contextlib.contextmanager
def running(program, index, port, gateway, environment, folder):
    with (
        (folder / f"{index}.out").open("w") as output,
        (folder / f"{index}.err").open("w") as errors,
        subprocess.Popen(
            [sys.executable, TESTS / "distributed.py", program, str(index), str(port), gateway],
            env=os.environ | ON_CPU | environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def said(program, folder, environments=({},)):
    """What each process of a run says, and what all of them push: the metrics by job and group."""
    with pushgateway() as gateway, held_port() as port, contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(running(program, index, port, gateway, environment, folder))
            for index, environment in enumerate(environments)
        ]

        def answers():
            texts = [(folder / f"{index}.out").read_text() for index in range(len(processes))]
            return [json.loads(text.splitlines()[-1]) for text in texts if text.endswith("}\n")]

        def are_done():
            return len(answers()) == len(processes) or any(each.poll() for each in processes)

        awaited(are_done, 600)
        errors = "\n".join(path.read_text() for path in folder.glob("*.err"))
        assert len(answers()) == len(processes), errors
        assert "gangplank_train_layer_weights" not in fetched(f"http://{gateway}/metrics")
        groups = [metrics_of(gateway, "first")]
        groups += [metrics_of(gateway, "all", process=str(i)) for i in range(len(processes))]
        return answers(), groups


def assert_all_is_right(answers, groups):
    assert [answer["is_pushing"] for answer in answers] == [
        [True, index == 0, True] for index in range(len(answers))
    ]
    for answer in answers:
        assert answer["counts"] == answer["expected"] == answers[0]["counts"]
        assert sum(answer["counts"]) == WEIGHTS
        assert answer["norm"] == pytest.approx(answer["expected_norm"], rel=1e-12)
    for group in groups:
        assert group["gangplank_train_epochs_count"] == 2
        assert group["gangplank_train_model_weights_count"] == WEIGHTS
        assert group["gangplank_train_learning_rate"] == pytest.approx(0.01)
    for group in groups[1:]:  # of the run that all pushed, whose weights are those of the answers
        assert group["gangplank_train_weights_norm"] == answers[0]["norm"]
        assert 0 < group["gangplank_train_weights_update_ratio"] < 1
    assert len({group["gangplank_train_weights_update_ratio"] for group in groups[1:]}) == 1


@only_on["jax"]
def test_jax_counts_each_shard_on_its_device(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    answers, groups = said("jax_devices", tmp_path, [flags])
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
def test_two_processes_of_jax_neither_of_which_has_a_whole_variable(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    answers, groups = said("jax_processes", tmp_path, [flags, flags])
    assert_all_is_right(answers, groups)
    for answer in answers:
        assert answer["whole_here"].count(True) == 0
        assert "element 0 cannot be counted: this process holds no share" in answer["of_others"]


@only_on["tensorflow"]
def test_a_mirrored_variable_counts_once(tmp_path):
    answers, groups = said("tensorflow_devices", tmp_path)
    assert_all_is_right(answers, groups)
    assert answers[0]["replicas"] == 4


@only_on["tensorflow"]
def test_two_processes_of_tensorflow(tmp_path):
    with held_port() as first, held_port() as second:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in (first, second)]}
        environments = [
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})}
            for i in range(2)
        ]
        answers, groups = said("tensorflow_processes", tmp_path, environments)
    assert_all_is_right(answers, groups)
    assert answers[0]["replicas"] == 2


@only_on["tensorflow"]
def test_a_variable_on_a_device_that_is_gone(tmp_path):
    (answer,), _ = said("tensorflow_device_that_goes", tmp_path)
    assert answer["before"] == 4
    assert answer["error"].startswith("Weights on /job:worker/")


@only_on["torch"]
def test_two_processes_of_torch(tmp_path):
    assert_all_is_right(*said("torch_processes", tmp_path, [{}, {}]))
