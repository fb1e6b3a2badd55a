"""The `keras-ab` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from keras_ab import __version__
from keras_ab.bench import commands as of_bench
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.reports import commands as of_reports


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="keras-ab",
        description="Puts documented Keras and TensorFlow techniques on trial. "
        "Measure with: pytest --benchmark",
    )
    top.add_argument("--version", action="version", version=f"keras-ab {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    of_reports.add_commands(commands)
    of_bench.add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is printed in its three parts and exits 2."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.execute(arguments)
    except LabError as error:
        print(f"keras-ab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
