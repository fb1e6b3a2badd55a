"""The commands that declare or examine: list, doctor."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keras_ab import bench


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to the command line."""
    listing = commands.add_parser("list", help="show experiments, cases, claims and sources")
    listing.add_argument("names", nargs="*", metavar="EXPERIMENT", help="only these")
    listing.add_argument("--claims", action="store_true", help="only the claims, a line each")
    listing.add_argument("--folder", type=Path, default=Path(bench.__file__).parent)
    listing.set_defaults(execute=run_list)
    doctor = commands.add_parser("doctor", help="is this machine fit to measure on?")
    doctor.add_argument("--backend", default="tensorflow")
    doctor.add_argument("--device", default="auto", help="auto, cpu, or a GPU by UUID or number")
    doctor.add_argument("--ceilings", action="store_true", help="also measure how fast it can be")
    doctor.set_defaults(execute=run_doctor)


def run_list(arguments: argparse.Namespace) -> int:
    """Print what could be measured."""
    from keras_ab.bench.catalogue import catalogue, claims

    show = claims if arguments.claims else catalogue
    print(show(arguments.folder, arguments.names))
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print findings about this machine; exit 1 where one forbids measuring."""
    from keras_ab.bench.lab.loop.doctor import examine

    worst = "good"
    asked = {"with_ceilings": arguments.ceilings, "device": arguments.device}
    for finding in examine(arguments.backend, **asked):
        print(finding)
        if finding.state == "bad":
            worst = "bad"
    return 1 if worst == "bad" else 0
