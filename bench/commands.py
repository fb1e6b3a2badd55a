"""The commands that declare, examine or put a model on trial: list, doctor, try."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from keras_ab import bench
from keras_ab.bench.lab.record.runs_folder import runs_folder
from keras_ab.bench.lab.words.backend_names import KERAS


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to the command line."""
    listing = commands.add_parser("list", help="show experiments, cases, claims and sources")
    listing.add_argument("names", nargs="*", metavar="EXPERIMENT", help="only these")
    listing.add_argument("--claims", action="store_true", help="only the claims, a line each")
    listing.add_argument("--folder", type=Path, default=Path(bench.__file__).parent)
    listing.set_defaults(execute=run_list)
    doctor = commands.add_parser("doctor", help="is this machine fit to measure on?")
    doctor.add_argument("--backend", default="tensorflow")
    doctor.add_argument("--ceilings", action="store_true", help="also measure how fast it can be")
    doctor.set_defaults(execute=run_doctor)
    _add_try(commands)


def _add_try(commands: Any) -> None:
    trial = commands.add_parser(
        "try",
        help="put your own model on trial: which techniques help it, and by how much",
        description="Your file has a function without arguments that returns a compiled Keras "
        "model and its data: return model, (x, y), or whatever else you would hand to fit. Nothing "
        "of keras-ab is imported in it. Every technique that applies is tried in fresh processes, "
        "against the file as it is.",
    )
    trial.add_argument("subject", metavar="FILE.py:FUNCTION", help="also MODULE:FUNCTION")
    trial.add_argument("--stack", action="store_true", help="then cross those that gained")
    trial.add_argument(
        "--techniques",
        default="",
        metavar="NAME,NAME",
        help="only these, not all that apply",
    )
    trial.add_argument("--budget", type=float, default=6.0, metavar="MINUTES")
    trial.add_argument("--backend", default="tensorflow", choices=KERAS)
    trial.add_argument("--runs", type=Path, help="where run files go (default: as for pytest)")
    trial.set_defaults(execute=run_try)


def run_list(arguments: argparse.Namespace) -> int:
    """Print what could be measured."""
    from keras_ab.bench.catalogue import catalogue, claims

    show = claims if arguments.claims else catalogue
    print(show(arguments.folder, arguments.names))
    return 0


def run_try(arguments: argparse.Namespace) -> int:
    """Put a reader's own model on trial and print advice."""
    from keras_ab.bench.own.subject import named
    from keras_ab.bench.own.techniques import technique
    from keras_ab.bench.trying import Asked, run

    names = tuple(filter(None, arguments.techniques.split(",")))
    for name in names:
        technique(name)
    asked = Asked(
        subject=named(arguments.subject),
        backend=arguments.backend,
        runs=arguments.runs or runs_folder(),
        budget_s=60 * arguments.budget,
        names=names,
        stack=arguments.stack,
    )
    print(run(asked, partial(print, flush=True)))
    return 0


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print findings about this machine; exit 1 where one forbids measuring."""
    from keras_ab.bench.lab.loop.doctor import examine

    worst = "good"
    for finding in examine(arguments.backend, with_ceilings=arguments.ceilings):
        print(finding)
        if finding.state == "bad":
            worst = "bad"
    return 1 if worst == "bad" else 0
