"""What importing does and does not do, and the public names."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import gangplank

ROOT = Path(__file__).parents[1]


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )


LOADED = (
    "print(sorted({name.partition('.')[0] for name in sys.modules} & "
    "{'keras', 'tensorflow', 'jax', 'jaxlib', 'torch', 'numba', 'llvmlite'}))"
)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_word_about_itself_loads_no_framework(option):
    code = (
        "import sys; from gangplank.__main__ import main\n"
        f"try: main([{option!r}])\nexcept SystemExit: {LOADED}"
    )
    assert run(code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "use", ["gangplank.weights_histogram", "gangplank.gateway.Gateway().close()", "dir(gangplank)"]
)
def test_what_is_no_callback_loads_no_framework(use):
    result = run(f"import sys, gangplank; {use}; {LOADED}")
    assert result.stdout.strip() == "[]", result.stderr


def test_arrays_are_counted_without_keras_which_the_callback_loads_afterwards():
    code = (
        "import sys, gangplank, numpy; "
        "print(gangplank.weights_histogram([numpy.ones(10**7, 'float32')], [0.0]).count); "
        "print('keras' in sys.modules, end=' '); gangplank.TrainTestExporter; "
        "print('keras' in sys.modules); import keras; "
        "print(gangplank.weights_histogram([keras.Variable(numpy.ones(5))], [0.0]).count)"
    )
    result = run(code)
    assert result.stdout.split() == ["10000000", "False", "True", "5"], result.stderr


def test_after_keras_nothing_is_loaded_and_no_backend_is_looked_for():
    """Nor is what counts on a device, for a weight on the host."""
    code = (
        "import os, sys, keras, numpy; before = set(sys.modules); "
        "os.environ['KERAS_BACKEND'] = 'none'; import gangplank; "
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(roots & {'tensorflow', 'jax', 'jaxlib', 'torch', 'numba', 'llvmlite'})); "
        "weight = keras.Variable(numpy.zeros(3)); gangplank.weights_histogram([weight], [0.0]); "
        "print([f'gangplank._native.{name}' in sys.modules for name in ('cpu', 'tensorflow_ops')])"
    )
    result = run(code)
    assert result.stdout.splitlines() == ["[]", "[True, False]"], result.stderr


def test_counting_and_serving_need_no_keras():
    # Without the package's own __init__, which is about models.
    code = (
        "import sys, types; package = sys.modules['gangplank'] = types.ModuleType('gangplank'); "
        f"package.__path__ = {gangplank.__path__!r}; sys.modules['keras'] = None; "
        "import gangplank.gateway, gangplank.metrics, gangplank.weights, numpy; "
        "print(gangplank.weights.weights_histogram([numpy.zeros(3)], [0.0]).count)"
    )
    result = run(code)
    assert result.stdout.strip() == "3", result.stderr


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_missing_backend_is_told_of_with_what_to_install(backend):
    code = f"import sys; sys.modules[{backend!r}] = None; import gangplank"
    result = run(code, KERAS_BACKEND=backend)
    assert result.returncode == 1
    assert (
        f"ModuleNotFoundError: Keras uses the '{backend}' backend, but '{backend}' cannot be "
        f"imported. Install it with: pip install '.[{backend}]' in a clone of gangplank, or name"
    ) in result.stderr
    # The traceback of Keras is no part of it.
    assert "keras/src" not in result.stderr


@pytest.mark.parametrize(
    ("config", "backend"),
    [('{"backend": "jax"}', "jax"), ("{}", "tensorflow"), ("[", "tensorflow")],
)
def test_a_missing_backend_that_the_configuration_of_keras_names(config, backend, tmp_path):
    (tmp_path / "keras.json").write_text(config)
    code = f"import sys; sys.modules[{backend!r}] = None; import gangplank"
    result = run(code, KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    assert f"Keras uses the '{backend}' backend, but" in result.stderr
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    code = "import sys; sys.modules['torch'] = None; import gangplank; print('imported')"
    assert "imported" in run(code, KERAS_BACKEND="", KERAS_HOME=str(tmp_path)).stdout


def test_a_configuration_of_keras_in_a_home_that_nobody_has():
    code = """
import os, pwd
os.environ.pop("HOME", None)
def getpwuid(_): raise KeyError
pwd.getpwuid = getpwuid
import gangplank
print("imported")
"""
    assert "imported" in run(code, KERAS_BACKEND="", KERAS_HOME="~/keras").stdout


def test_a_backend_that_is_broken_is_told_of_when_the_callback_is_used(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so is broken')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gangplank; print('imported'); "
        "gangplank.TrainTestExporter"
    )
    result = run(code, KERAS_BACKEND="torch")
    assert result.stdout == "imported\n"
    assert result.stderr.endswith("ImportError: libtorch.so is broken\n")


def test_another_missing_module_is_told_of_as_it_is():
    result = run("import sys; sys.modules['keras'] = None; import gangplank")
    assert "ModuleNotFoundError" in result.stderr
    assert "gangplank[" not in result.stderr


def test_public_names():
    assert set(gangplank.__all__) <= set(dir(gangplank))
    for name in dir(gangplank):
        documented = getattr(gangplank, name)
        is_constant = isinstance(documented, tuple | str)
        # Dataclasses and named tuples make themselves one.
        assert is_constant or not documented.__doc__.startswith(f"{name}(")
    assert metadata.version("gangplank") == gangplank.__version__


def test_the_changelog_tells_of_this_version():
    assert f"## {gangplank.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_what_the_project_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = {
        line.partition("==")[0].lower().replace("-", "_")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = project["project"]["optional-dependencies"].values()
    groups = (
        project["project"]["dependencies"],
        *project["dependency-groups"].values(),
        project["build-system"]["requires"],
        *extras,
    )
    needed = {
        re.match(r"[\w-]+", requirement)[0].lower().replace("-", "_")
        for group in groups
        for requirement in group
        if isinstance(requirement, str)  # not the name of another group
    }
    assert needed - pinned == set()
