"""`gangplank histogram`."""

import argparse
import re
from pathlib import Path
from typing import Any

from gangplank.command_line.command import FILE, add_command, checked, missing, pushgateway

_PICTURES = (".svg", ".png", ".pdf")


def add(commands: Any) -> None:
    """Adds the command."""
    histogram = add_command(
        commands,
        "histogram",
        _run,
        summary="show the weights in checkpoints by their value",
        description="Counts the weights in checkpoints, where they lie in the file, and shows how "
        "many are in each bucket. No framework is loaded, and no pickle.",
        examples="""\
            gangplank histogram model.safetensors --per layer --buckets -0.1,0,0.1
            gangplank histogram before.keras after.keras --compare""",
    )
    add = histogram.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help=".keras, .weights.h5, .h5, .hdf5, .safetensors, .safetensors.index.json, .npz or .npy",
    ).complete = FILE
    add(
        "--per",
        choices=("model", "layer", "variable"),
        default="model",
        help="a histogram of all weights, of each layer or of each variable (default: model)",
    )
    add(
        "--buckets",
        type=checked(_buckets),
        default="0.3",
        help="0.3 (-0.3 to 0.3 by 0.05), 1.0 (-1 to 1 by 0.1), native, or upper bounds such as "
        "-0.1,0,0.1 (default: 0.3)",
    )
    add("--statistics", action="store_true", help="show minimum, maximum, mean and so on, too")
    shown = histogram.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print a line of JSON for each file")
    shown.add_argument("--compare", action="store_true", help="show two files side by side")
    add(
        "--plot",
        type=checked(_picture),
        metavar="PICTURE",
        help=f"save a picture: {', '.join(_PICTURES)}",
    ).complete = FILE
    add("--push", metavar="ADDRESS", help="push them to this Pushgateway")
    add("--job", help="the job's name there")


def separated(arguments: list[str]) -> list[str]:
    """The same, with bounds that begin with a minus sign as no option of their own."""
    joined: list[str] = []
    for argument in arguments:
        if joined[-1:] == ["--buckets"] and re.match(r"-[\d.]|-inf", argument):
            joined[-1] = f"--buckets={argument}"
        else:
            joined.append(argument)
    return joined


def _run(options: argparse.Namespace) -> int:
    if options.compare and len(options.files) != 2:
        options.fail(f"--compare takes two files, not {len(options.files)}")
    if (options.push is None) != (options.job is None):
        options.fail("--push and --job go together: the gateway's address, and the job's name")
    gateway = pushgateway(options, "push", options.job)
    try:
        from gangplank.commands import histogram

        is_whole = histogram.run(
            options.files,
            options.buckets,
            options.per,
            has_statistics=options.statistics,
            as_json=options.json,
            compare=options.compare,
            plot=options.plot,
            gateway=gateway,
        )
    except ModuleNotFoundError as error:
        extra = "plot" if (error.name or "").startswith("matplotlib") else "cli"
        raise missing(error, extra) from error
    return 0 if is_whole else 1


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in _PICTURES:
        raise ValueError(f"its name must end in {', '.join(_PICTURES)}. Received {text!r}.")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r}. Make it first.")
    return path


def _buckets(text: str) -> Any:
    from gangplank.commands.buckets import buckets_of

    return buckets_of(text)
