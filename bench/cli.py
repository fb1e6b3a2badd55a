"""The `keras-ab` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import bench
from bench.lab.errors import LabError


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="keras-ab",
        description="Puts documented Keras and TensorFlow techniques on trial. "
        "Measure with: pytest --benchmark",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="turn run files into one HTML page")
    report.add_argument("runs", nargs="+", type=Path, help="run files, folders or globs")
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"))
    listing = commands.add_parser("list", help="show experiments, cases, claims and sources")
    listing.add_argument("names", nargs="*", metavar="EXPERIMENT", help="only these")
    listing.add_argument("--claims", action="store_true", help="only the claims, a line each")
    listing.add_argument("--folder", type=Path, default=Path(bench.__file__).parent)
    doctor = commands.add_parser("doctor", help="is this machine fit to measure on?")
    doctor.add_argument("--backend", default="tensorflow")
    return top


def run_report(arguments: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from reports.page import write_page

    print(write_page(arguments.runs, arguments.output))
    return 0


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
    for finding in examine(arguments.backend):
        print(finding)
        if finding.state == "bad":
            worst = "bad"
    return 1 if worst == "bad" else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is printed in its three parts and exits 2."""
    arguments = parser().parse_args(argv)
    command = {"report": run_report, "list": run_list, "doctor": run_doctor}[arguments.command]
    try:
        return command(arguments)
    except LabError as error:
        print(f"keras-ab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
