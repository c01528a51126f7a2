"""What a gateway is told by a process that dies, each time by a real one."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import awaited, pushgateway
from samples import metrics_of, status_of

SCRIPT = """
import multiprocessing, os, signal, sys, threading, time, warnings

JOB = "dying"

def train(**options):
    # Not above, for a process whose children train does not need it.
    import keras, numpy as np
    import gangplank

    class Then(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                act()

    x, y = np.zeros((32, 2), "float32"), np.zeros(32)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    exporter = gangplank.TrainTestExporter(sys.argv[1], JOB, histogram_buckets=[0], **options)
    model.fit(x, y, epochs=4, callbacks=[exporter, Then()], verbose=0)

def wait():
    say("waiting")
    sleep()

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
    sleep()

def say(word):
    # A signal that comes inside a print has its handler run there, which could not print.
    os.write(1, word.encode() + b"\\n")

def sleep():
    # In one long sleep the main thread would miss a signal that comes just before it, or that
    # another thread is given.
    while True:
        time.sleep(0.1)

"""


# Each dies in a child of its own, which has what is slow to import from its parent. That has one
# thread, so that a fork leaves none behind.
FORKS = """
import keras
import gangplank
gangplank.TrainTestExporter
for JOB in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(f"{JOB}.err", os.O_WRONLY | os.O_CREAT), 2)
        break
    say(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
else:
    sys.exit()
with open(f"{JOB}.py") as file:
    exec(file.read())
"""

ENDS = {
    "exception": "def act(): raise RuntimeError('boom')\ntrain()",
    "Ctrl-C": """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        def act():
            os.kill(os.getpid(), signal.SIGINT)
            sleep()
        train()
        """,
    "SIGTERM": "act = terminate\ntrain()",
    "handler": """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        act = terminate
        train()
        """,
    "chained": """
        def act():
            before = signal.getsignal(signal.SIGTERM)
            def then(number, frame):
                os.write(2, b"saved\\n")
                before(number, frame)
            signal.signal(signal.SIGTERM, then)
            terminate()
        train()
        """,
    "named": """
        with open("/proc/self/comm", "wb") as name:
            name.write("обучение".encode()[:15])
        act = terminate
        train()
        """,
    "threads": """
        both = threading.Barrier(2)
        def act():
            if both.wait() == 0:
                terminate()
            sleep()
        group = {"grouping_key": {"thread": "second"}}
        threading.Thread(target=train, kwargs=group, daemon=True).start()
        train()
        """,
    "none": """
        def act():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the threads that a fork leaves behind
                fork()
        def fork():
            fork = multiprocessing.get_context("fork").Process
            for _ in range(20):
                child = fork(target=time.sleep, args=(60,))
                child.start()
                child.terminate()
                child.join()
                assert child.exitcode == -signal.SIGTERM
            child = fork(target=len, args=("",))
            child.start()
            child.join()
            assert child.exitcode == 0
            assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        train()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert not [t for t in threading.enumerate() if t.name.startswith("gangplank")]
        """,
}


def started(folder, gateway, code, *arguments, by=(), **environment):
    """A process that runs a Python script which trains."""
    (folder / "script.py").write_text(SCRIPT + textwrap.dedent(code))
    return subprocess.Popen(
        [*by, sys.executable, "-W", "error", "-X", "dev", "script.py", gateway, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": ""} | environment,
        cwd=folder,
        start_new_session=True,
    )


@pytest.fixture
def script(real_gateway, tmp_path):
    """Starts a script, and kills it in the end."""
    processes = []

    def start(code, **options):
        processes.append(started(tmp_path, real_gateway, code, **options))
        return processes[0]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The gateway's address, and the exit status and the errors of all `ENDS`, which are jobs."""
    folder = tmp_path_factory.mktemp("ends")
    for job, code in ENDS.items():
        (folder / f"{job}.py").write_text(textwrap.dedent(code))
    # No GPU, which a process that is forked cannot use once the first one has.
    environment = {"CUDA_VISIBLE_DEVICES": "", "OPENBLAS_NUM_THREADS": "1"}
    with (
        pushgateway() as gateway,
        started(folder, gateway, FORKS, *ENDS, **environment) as process,
    ):
        try:
            output, errors = process.communicate(timeout=600)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, errors
        said = [(folder / f"{job}.err").read_text() for job in ENDS]
        yield (
            gateway,
            dict(zip(ENDS, zip(map(int, output.split()), said, strict=True), strict=True)),
        )


@pytest.mark.parametrize(
    ("end", "returncode"),
    [("exception", 1), ("Ctrl-C", -signal.SIGINT), ("SIGTERM", -signal.SIGTERM)],
)
def test_a_process_that_dies_in_python_leaves_its_last_state(ended, end, returncode):
    gateway, ends = ended
    found, errors = ends[end]
    assert found == returncode, errors
    assert_last_state(gateway, end, errors)


def test_a_handler_of_the_users_own_may_call_the_one_before(ended):
    gateway, ends = ended
    returncode, errors = ends["chained"]
    assert returncode == -signal.SIGTERM, errors
    assert errors.count("saved") == 1
    assert_last_state(gateway, "chained", errors)


@pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="the names are Linux's")
def test_a_process_whose_name_is_cut_within_a_letter(ended):
    gateway, ends = ended
    returncode, errors = ends["named"]
    assert returncode == -signal.SIGTERM, errors
    assert_last_state(gateway, "named", errors)


def test_a_handler_of_the_users_own_stays(ended):
    gateway, ends = ended
    returncode, errors = ends["handler"]
    assert returncode == 3, errors
    assert_last_state(gateway, "handler", errors)


def test_the_first_process_of_a_container_is_ended_too(script, real_gateway):
    unshare = ["unshare", "--user", "--map-root-user", "--fork", "--pid", "--kill-child"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip("this system lets nobody begin a namespace of processes")
    process = script(
        """
        def act():
            try:
                terminate()
            except BaseException:
                pass
        train()
        """,
        by=unshare,
    )
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert status_of(real_gateway, "dying") == "failed"
    assert metrics_of(real_gateway, "dying")["gangplank_train_epochs_count"] == 2


def test_a_child_that_dies_in_python_leaves_its_last_state(script, real_gateway):
    process = script(
        """
        def act():
            raise RuntimeError("boom")
        if __name__ == "__main__":
            child = multiprocessing.get_context("spawn").Process(target=train)
            child.start()
            child.join()
            sys.exit(child.exitcode)
        """
    )
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1, errors
    assert_last_state(real_gateway, "dying", errors)


def assert_last_state(gateway, job, errors):
    assert status_of(gateway, job) == "failed"
    assert metrics_of(gateway, job)["gangplank_train_epochs_count"] == 2
    assert "gangplank" not in without_paths(errors).replace("import gangplank", ""), errors


def without_paths(errors):
    return errors.replace(str(Path(__file__).parents[1]), "")


def test_sigterm_ends_the_runs_of_all_threads(ended):
    gateway, ends = ended
    returncode, errors = ends["threads"]
    assert returncode == -signal.SIGTERM, errors
    assert status_of(gateway, "threads") == "failed"
    assert status_of(gateway, "threads", thread="second") == "failed"


def test_a_run_that_ends_well_leaves_nothing_behind_and_its_children_die_as_ever(ended):
    gateway, ends = ended
    returncode, errors = ends["none"]
    assert returncode == 0, errors
    assert not re.search("gangplank|Traceback|Exception|Warning: ", without_paths(errors)), errors
    assert status_of(gateway, "none") == "completed"
    assert metrics_of(gateway, "none")["gangplank_train_epochs_count"] == 4


def test_a_killed_process_leaves_its_last_complete_state(script, real_gateway):
    process = script("act = wait\ntrain()")
    assert process.stdout.readline() == "waiting\n"
    awaited(lambda: metrics_of(real_gateway, "dying").get("gangplank_train_epochs_count") == 2)
    before = metrics_of(real_gateway, "dying")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert metrics_of(real_gateway, "dying") == before
    assert status_of(real_gateway, "dying") == "running"
