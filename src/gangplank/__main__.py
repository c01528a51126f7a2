"""The command line: ``gangplank COMMAND`` or ``python -m gangplank COMMAND``."""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import gangplank
from gangplank.publishing import Pushgateway

T = TypeVar("T")

_PICTURES = (".svg", ".png", ".pdf")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that `arguments` name, those of the process by default.

    Returns:
        The exit status: 0, or 1 where the command could not do its work. Of a command line that is
        wrong the parser exits, with 2.
    """
    parser = argparse.ArgumentParser("gangplank", description=gangplank.__doc__)
    parser.add_argument("--version", action="version", version=gangplank.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_histogram(commands)
    _add_gateway(commands)
    _add_dashboard(commands)
    _add_rules(commands)
    options = parser.parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        status: int = options.run(options) or 0
        if sys.stdout:
            sys.stdout.flush()
    except (ValueError, gangplank.PushError, _MissingError) as error:
        return _fail(error)
    except OSError as error:
        return _fail_to_write(error)
    except KeyboardInterrupt:
        return _fail("interrupted")
    return status


class _MissingError(Exception):
    """A package is not installed that a command needs."""


def _missing(error: ModuleNotFoundError, extra: str) -> _MissingError:
    return _MissingError(
        f"{error}. Install what the {extra} needs: pip install 'gangplank[{extra}]' (in a clone of "
        f"gangplank: pip install '.[{extra}]')"
    )


@contextlib.contextmanager
def _needing(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(error, extra) from error


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train a convnet on handwritten digits and push its metrics",
        description="Trains a convnet on handwritten digits, evaluates it, and pushes its metrics "
        "and the histogram of its weights to a gateway.",
        epilog="example: gangplank demo --serve",
    )
    where = demo.add_mutually_exclusive_group()
    where.add_argument(
        "--gateway", metavar="ADDRESS", help="push to this Pushgateway, not to an embedded one"
    )
    where.add_argument(
        "--serve", action="store_true", help="keep the embedded gateway up until Ctrl-C"
    )
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    with _needing("demo"):
        from gangplank.commands import demo
    demo.run(options.gateway, serve=options.serve)


def _add_dashboard(commands: Any) -> None:
    dashboard = _add_writer(
        commands,
        "dashboard",
        help="write a Grafana dashboard",
        description="Writes a Grafana dashboard of what an exporter shows, as JSON.",
        epilog="For instance:\n\n  gangplank dashboard --output gangplank.json",
    )
    dashboard.add_argument(
        "--run-label",
        metavar="LABEL",
        default="run",
        help="the label of a grouping_key that tells the runs of a job apart (default: run)",
    )
    dashboard.set_defaults(run=_dashboard)


def _dashboard(options: argparse.Namespace) -> None:
    with _needing("monitoring"):
        from gangplank.commands import dashboard
    dashboard.run(options.output, run_label=options.run_label)


def _add_rules(commands: Any) -> None:
    rules = _add_writer(
        commands,
        "rules",
        help="write rules of Prometheus",
        description="Writes recording and alerting rules of Prometheus, as YAML, for its "
        "rule_files.",
        epilog="For instance:\n\n  gangplank rules --patience 20 --output rules.yml",
    )
    rules.add_argument(
        "--silent-after",
        type=float,
        metavar="SECONDS",
        default=300.0,
        help="without a push, after which a run is silent (default: 300)",
    )
    rules.add_argument(
        "--patience",
        type=int,
        metavar="EPOCHS",
        default=10,
        help="without a better loss, after which a run makes no progress, or without a better "
        "loss of the validation, after which it overfits (default: 10)",
    )
    rules.add_argument(
        "--dead-share",
        type=float,
        metavar="SHARE",
        default=0.9,
        help="of zeros among its weights, from which on a layer is dead (default: 0.9)",
    )
    rules.add_argument(
        "--slow-after",
        type=float,
        metavar="SECONDS",
        default=1.0,
        help="which one of 20 calls takes where a served model is slow (default: 1)",
    )
    rules.add_argument(
        "--failed-share",
        type=float,
        metavar="SHARE",
        default=0.05,
        help="of a served model's calls that fail, or are rejected, from which on to tell of it "
        "(default: 0.05)",
    )
    rules.set_defaults(run=_rules)


def _rules(options: argparse.Namespace) -> None:
    with _needing("monitoring"):
        from gangplank.commands import rules
    rules.run(
        options.output,
        silent_after=options.silent_after,
        patience=options.patience,
        dead_share=options.dead_share,
        slow_after=options.slow_after,
        failed_share=options.failed_share,
    )


def _add_writer(commands: Any, name: str, **texts: str) -> Any:
    """Adds a command that writes one text."""
    writer = commands.add_parser(
        name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts
    )
    writer.add_argument("--output", metavar="FILE", help="where to write it, not to stdout")
    return writer


def _add_gateway(commands: Any) -> None:
    gateway = commands.add_parser(
        "gateway",
        help="serve a gateway for development, with a page that shows runs live",
        description="Serves the embedded gateway on 127.0.0.1 until Ctrl-C: trainings push to it, "
        "and its page shows them live in a browser.",
        epilog="example: gangplank gateway --port 9091, and in a script "
        'gangplank.TrainTestExporter("127.0.0.1:9091", "mnist")',
    )
    gateway.add_argument(
        "--port", type=int, default=9091, help="the port; 0 takes any free one (default: 9091)"
    )
    gateway.set_defaults(run=_gateway)


def _gateway(options: argparse.Namespace) -> None:
    from gangplank.commands import gateway

    gateway.run(options.port)


def _add_histogram(commands: Any) -> None:
    histogram = commands.add_parser(
        "histogram",
        help="show the weights in checkpoints by their value",
        description="Counts the weights in checkpoints, where they lie in the file, and shows how "
        "many are in each bucket. No framework is loaded, and no pickle.",
        epilog="example: gangplank histogram model.safetensors --per layer --buckets -0.1,0,0.1",
        allow_abbrev=False,
    )
    add = histogram.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help=".keras, .weights.h5, .safetensors, .safetensors.index.json, .npz or .npy",
    )
    add("--per", choices=("model", "layer", "variable"), default="model", help="(%(default)s)")
    add(
        "--buckets",
        type=_checked(_buckets_of),
        default="0.3",
        help="0.3 (-0.3 to 0.3 by 0.05), 1.0 (-1 to 1 by 0.1), native, or upper bounds such as "
        "-0.1,0,0.1 (%(default)s)",
    )
    add("--statistics", action="store_true", help="show minimum, maximum, mean and so on, too")
    shown = histogram.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print a line of JSON for each file")
    shown.add_argument("--compare", action="store_true", help="show two files side by side")
    add(
        "--plot",
        type=_checked(_picture),
        metavar="PICTURE",
        help=f"save a picture: {', '.join(_PICTURES)}",
    )
    add("--push", metavar="ADDRESS", help="push them to this Pushgateway")
    add("--job", help="the job's name there")
    histogram.set_defaults(run=_histogram, fail=histogram.error)


def _histogram(options: argparse.Namespace) -> int:
    if options.compare and len(options.files) != 2:
        options.fail(f"--compare takes two files, not {len(options.files)}")
    if bool(options.push) != bool(options.job):
        options.fail("--push and --job go together: the gateway's address, and the job's name")
    try:
        gateway = Pushgateway(options.push, options.job) if options.push else None
    except ValueError as error:
        options.fail(error)
    try:
        from gangplank.commands import histogram

        failures = histogram.run(
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
        raise _missing(error, extra) from error
    return max(map(_fail, failures), default=0)


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in _PICTURES:
        raise ValueError(f"its name must end in {', '.join(_PICTURES)}. Received {text!r}.")
    return path


def _buckets_of(text: str) -> Any:
    from gangplank.commands.buckets import buckets_of

    return buckets_of(text)


def _checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """What argparse converts an argument with, so that it shows the message of a ValueError."""

    def checked(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _joined(arguments: list[str]) -> list[str]:
    """The same, with bounds that begin with a minus sign as no option of their own."""
    joined: list[str] = []
    for argument in arguments:
        if joined[-1:] == ["--buckets"] and re.match(r"-[\d.]", argument):
            joined[-1] = f"--buckets={argument}"
        else:
            joined.append(argument)
    return joined


def _fail_to_write(error: OSError) -> int:
    """Tells why the standard output took nothing more, unless its reader has gone."""
    # What is left in its buffer must not fail once more when Python ends.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if isinstance(error, BrokenPipeError) else _fail(error)


def _fail(reason: object) -> int:
    print(f"gangplank: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
