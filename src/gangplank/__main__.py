"""The command line: ``gangplank demo`` or ``python -m gangplank demo``."""

import argparse
import sys

import gangplank


def main(arguments: list[str] | None = None) -> int:
    """Runs the command that `arguments` name, those of the process by default.

    Returns:
        The exit status: 0, or 1 where the demo could not run.
    """
    parser = argparse.ArgumentParser("gangplank", description=gangplank.__doc__)
    parser.add_argument("--version", action="version", version=gangplank.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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
    options = parser.parse_args(arguments)
    try:
        from gangplank.commands import demo as demonstration
    except ModuleNotFoundError as error:
        return _fail(
            f"{error}. Install what the demo needs: pip install 'gangplank[demo]' (in a clone of "
            "gangplank: pip install '.[demo]')"
        )
    try:
        demonstration.run(options.gateway, serve=options.serve)
    except (ValueError, gangplank.PushError) as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail("interrupted")
    return 0


def _fail(reason: object) -> int:
    print(f"gangplank: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
