"""What `make soak` runs again and again."""

import ast
import re

import soak

IMPORTS = {
    "asyncio",
    "concurrent",
    "multiprocessing",
    "signal",
    "socket",
    "subprocess",
    "threading",
}
FIXTURES = {"gateway", "real_gateway", "browser", "port"}
CALLS = re.compile(r"\b(?:in_a_process|awaited|os\.fork|time\.sleep)\b")


def depends_on_order_or_speed(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            named = {each.name.partition(".")[0] for each in node.names} & IMPORTS
        elif isinstance(node, ast.ImportFrom):
            named = {node.module.partition(".")[0]} & IMPORTS
        else:
            named = isinstance(node, ast.arg) and node.arg in FIXTURES
        if named:
            return True
    return CALLS.search(text) is not None


def test_it_runs_all_that_depends_on_order_or_speed():
    tests = {path.stem.removeprefix("test_"): path for path in soak.TESTS.glob("test_*.py")}
    del tests["soak"]  # which only names the signs
    found = {name for name, path in tests.items() if depends_on_order_or_speed(path.read_text())}
    assert found <= {*soak.FILES} <= tests.keys()
    for name in soak.LEFT_OUT:
        file, _, test = name.partition(".py::")
        assert f"def {test}" in tests[file].read_text()
