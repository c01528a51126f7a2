"""The command line: ``gangplank COMMAND`` or ``python -m gangplank COMMAND``."""

import argparse
import sys
from typing import Any

import gangplank


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that `arguments` name, those of the process by default.

    Returns:
        The exit status: 0, or 1 where the command could not do its work.
    """
    parser = argparse.ArgumentParser("gangplank", description=gangplank.__doc__)
    parser.add_argument("--version", action="version", version=gangplank.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_dashboard(commands)
    _add_rules(commands)
    _add_gateway(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, gangplank.PushError, _MissingError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail("interrupted")
    return 0


class _MissingError(Exception):
    """A package is not installed that a command needs."""


def _missing(error: ModuleNotFoundError, extra: str) -> _MissingError:
    return _MissingError(
        f"{error}. Install what the {extra} needs: pip install 'gangplank[{extra}]' (in a clone of "
        f"gangplank: pip install '.[{extra}]')"
    )


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train a convnet on handwritten digits and push its metrics",
        description="Trains a convnet on handwritten digits, evaluates it, and pushes its metrics "
        "and the histogram of its weights to a gateway.",
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
    try:
        from gangplank.commands import demo
    except ModuleNotFoundError as error:
        raise _missing(error, "demo") from error
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
    try:
        from gangplank.commands import dashboard
    except ModuleNotFoundError as error:
        raise _missing(error, "monitoring") from error
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
    rules.set_defaults(run=_rules)


def _rules(options: argparse.Namespace) -> None:
    try:
        from gangplank.commands import rules
    except ModuleNotFoundError as error:
        raise _missing(error, "monitoring") from error
    rules.run(
        options.output,
        silent_after=options.silent_after,
        patience=options.patience,
        dead_share=options.dead_share,
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


def _fail(reason: object) -> int:
    print(f"gangplank: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
