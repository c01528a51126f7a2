"""Files of weights, which the fixtures of `conftest` write, and the command that looks at them."""

import ml_dtypes
import numpy as np

from gangplank.__main__ import main


def named_arrays():
    """Layers of several dtypes, one with NaN and infinities."""
    rng = np.random.default_rng(0)
    head = rng.normal(0, 0.3, (50, 10)).astype("float16")
    head[0, :4] = np.nan, np.nan, np.inf, -np.inf
    return {
        "encoder.kernel": rng.normal(0, 0.1, (300, 200)).astype("float32"),
        "encoder.bias": np.zeros(200, "float32"),
        "head.kernel": head,
        "head.bias": rng.normal(0, 0.1, 10).astype(ml_dtypes.bfloat16),
    }


def moved_arrays(arrays):
    """Others: the kernel of the encoder is moved up, and the head has no bias."""
    moved = {**arrays, "encoder.kernel": arrays["encoder.kernel"] + np.float32(0.1)}
    del moved["head.bias"]
    return moved | {"tail": np.ones(3, "float32")}


def ran(capsys, *arguments, status=0):
    """The output of the command, and its errors."""
    assert main(["histogram", *arguments]) == status
    output = capsys.readouterr()
    return output.out, output.err


def rows_of(output):
    """The cells of each row of the tables in an output."""
    return [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in output.splitlines()
        if line.startswith("│")
    ]
