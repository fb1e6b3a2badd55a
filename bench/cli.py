"""The `keras-ab` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bench
from bench.lab.errors import LabError
from bench.reporting import add_commands


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="keras-ab",
        description="Puts documented Keras and TensorFlow techniques on trial. "
        "Measure with: pytest --benchmark",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands)
    listing = commands.add_parser("list", help="show experiments, cases, claims and sources")
    listing.add_argument("names", nargs="*", metavar="EXPERIMENT", help="only these")
    listing.add_argument("--claims", action="store_true", help="only the claims, a line each")
    listing.add_argument("--folder", type=Path, default=Path(bench.__file__).parent)
    listing.set_defaults(run=run_list)
    doctor = commands.add_parser("doctor", help="is this machine fit to measure on?")
    doctor.add_argument("--backend", default="tensorflow")
    doctor.add_argument("--ceilings", action="store_true", help="also measure how fast it can be")
    doctor.set_defaults(run=run_doctor)
    return top


def run_list(arguments: argparse.Namespace) -> int:
    """Print what could be measured."""
    from bench.catalogue import catalogue, claims

    show = claims if arguments.claims else catalogue
    print(show(arguments.folder, arguments.names))
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print findings about this machine; exit 1 where one forbids measuring."""
    from bench.lab.doctor import examine

    worst = "good"
    for finding in examine(arguments.backend, limits=arguments.ceilings):
        print(finding)
        if finding.state == "bad":
            worst = "bad"
    return 1 if worst == "bad" else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is printed in its three parts and exits 2."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except LabError as error:
        print(f"keras-ab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
