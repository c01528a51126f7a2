"""The code blocks of the documents, and what runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GATEWAY = "127.0.0.1:9091"  # that of the documents


def blocks(document, languages):
    """The code of a document's blocks; it has none in other languages, outputs apart."""
    text = (ROOT / document).read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    assert {language for language, _ in found} - {"text"} == {*languages}
    return [[code for name, code in found if name == language] for language in languages]


def executed(model, data, code, /, **names):
    """The names that Python code leaves which speaks of a model and its data."""
    import keras

    import gangplank

    (x, y), (x_test, y_test) = data, data
    names |= {"gangplank": gangplank, "keras": keras, "model": model}
    names |= {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    exec(code, names)
    return names


def shell(code, folder=ROOT, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
