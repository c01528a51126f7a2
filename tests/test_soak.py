"""What `make soak` runs again and again."""

import re
from pathlib import Path

import soak

# Of what a test needs, imports or calls where it depends on others' order or speed.
SIGNS = re.compile(
    r"^(?:import|from) (?:asyncio|concurrent|multiprocessing|signal|socket|subprocess|threading)\b"
    r"|^def test_.*\b(?:gateway|real_gateway|browser|port)\b"
    r"|\b(?:in_a_process|awaited|os\.fork|time\.sleep)\b",
    re.MULTILINE,
)


def test_it_runs_all_that_depends_on_order_or_speed():
    tests = {path.stem.removeprefix("test_"): path for path in soak.TESTS.glob("test_*.py")}
    del tests["soak"]  # which only names the signs
    assert {name for name, path in tests.items() if SIGNS.search(path.read_text())} <= {*soak.FILES}
    assert {*soak.FILES} <= tests.keys()
    for name in soak.LEFT_OUT:
        file, _, test = name.partition(".py::")
        assert f"def {test}" in Path(tests[file]).read_text()
