"""The commands that declare, examine or put a model on trial: list, doctor, try."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ab.bench.lab.record.runs_folder import project, runs_folder
from keras_ab.bench.lab.words.backend_names import NAMES
from keras_ab.bench.lab.words.errors import DeclarationError

if TYPE_CHECKING:
    from keras_ab.bench.asked import Asked, AskedFunctions


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to the command line."""
    listing = commands.add_parser("list", help="show experiments, cases, claims and sources")
    listing.add_argument("names", nargs="*", metavar="EXPERIMENT", help="only these")
    listing.add_argument("--claims", action="store_true", help="only the claims, a line each")
    listing.add_argument(
        "--folder",
        type=Path,
        help="where bench files are (default, as for pytest --benchmark: yours, here, in bench/ or "
        "in the project, else those that come with keras-ab)",
    )
    listing.set_defaults(execute=run_list)
    doctor = commands.add_parser("doctor", help="is this machine fit to measure on?")
    doctor.add_argument("--backend", default="tensorflow")
    doctor.add_argument("--device", default="auto", help="auto, cpu, or a GPU by UUID or number")
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
    trial.add_argument("subject", nargs="?", metavar="FILE.py:FUNCTION", help="or MODULE:FUNCTION")
    trial.add_argument("--stack", action="store_true", help="then cross those that gained")
    trial.add_argument(
        "--largest-batch", action="store_true", help="find the largest batch that fits, in the end"
    )
    trial.add_argument(
        "--techniques", default="", metavar="NAME,NAME", help="only these, not all that apply"
    )
    trial.add_argument(
        "--ab",
        nargs="+",
        default=[],
        metavar="NAME=FILE.py:FUNCTION",
        help="hold plain functions against the first of them, in place of a model",
    )
    trial.add_argument(
        "--setup",
        metavar="FILE.py:FUNCTION",
        help="makes what the functions of --ab are called with: one argument, or a tuple of some",
    )
    trial.add_argument(
        "--quality",
        action="store_true",
        help="also judge what is learnt, by your validation data, over 5 seeds",
    )
    trial.add_argument(
        "--price", default="0/h", metavar="2.50/h", help="what an hour costs; kept in the run"
    )
    trial.add_argument(
        "--budget",
        default="6",
        metavar="MINUTES",
        help="time for the techniques one by one; those it has no time for are named (default 6)",
    )
    trial.add_argument("--backend", choices=NAMES, help="default: tensorflow; plain for --ab")
    where = "folder of run files (default: runs, here or in the nearest folder above)"
    trial.add_argument("--runs", type=Path, help=where)
    trial.set_defaults(execute=run_try)


def run_list(arguments: argparse.Namespace) -> int:
    """Print what could be measured."""
    from keras_ab.bench.catalogue import catalogue, claims, ours_beside
    from keras_ab.bench.lab.words.bench_files import bench_folder

    here = Path.cwd()
    folder = arguments.folder or bench_folder(here, project(here)[-1])
    shown = (claims if arguments.claims else catalogue)(folder, arguments.names)
    print(f"experiments in {folder}{ours_beside(folder)}\n\n{shown}")
    return 0


def run_try(arguments: argparse.Namespace) -> int:
    """Put a reader's own model on trial, or functions; print advice, or answers."""
    from keras_ab.bench.asked import run, run_functions

    say = partial(print, flush=True)
    if arguments.ab:
        said, whole = run_functions(_functions(arguments), say)
        print(said)
        return 0 if whole else 1
    print(run(_model(arguments), say))
    return 0


def _model(arguments: argparse.Namespace) -> Asked:
    from keras_ab.bench.asked import Asked
    from keras_ab.bench.own.experiments import Terms
    from keras_ab.bench.own.subject import named
    from keras_ab.bench.own.techniques import technique

    names = tuple(filter(None, arguments.techniques.split(",")))
    for name in names:
        technique(name)
    terms = Terms(arguments.quality, _price(arguments.price))
    budget_s = _budget_s(arguments.budget)
    return Asked(
        subject=named(arguments.subject or ""),
        backend=arguments.backend or "tensorflow",
        runs=arguments.runs or runs_folder(),
        budget_s=budget_s,
        names=names,
        stack=arguments.stack,
        largest_batch=arguments.largest_batch,
        terms=terms,
    )


def _price(given: str) -> float:
    """Return the price of an hour that ``2.50/h`` tells."""
    amount, _, unit = given.partition("/")
    price = _number(amount)
    if unit != "h" or not 0 <= price < math.inf:
        raise DeclarationError("a price is of an hour", repr(given), "write --price 2.50/h")
    return price


def _number(given: str) -> float:
    """Return a number, NaN where it is none."""
    try:
        return float(given)
    except ValueError:
        return math.nan


def _budget_s(given: str) -> float:
    """Return the seconds of a budget in minutes."""
    minutes = _number(given)
    if not 0 < minutes < math.inf:
        raise DeclarationError("a budget is some minutes", repr(given), "write --budget 6")
    return 60 * minutes


def _functions(arguments: argparse.Namespace) -> AskedFunctions:
    from keras_ab.bench.asked import AskedFunctions
    from keras_ab.bench.own.subject import named

    pairs = [given.partition("=") for given in arguments.ab]
    if len(pairs) < 2 or not all(map(all, pairs)):
        raise DeclarationError(
            "--ab names two functions or more, each as NAME=FILE.py:FUNCTION",
            " ".join(arguments.ab),
            "write --ab old=a.py:f new=b.py:g, and nothing else after it but options",
        )
    return AskedFunctions(
        functions={name: named(place) for name, _, place in pairs},
        setup=named(arguments.setup) if arguments.setup else None,
        backend=arguments.backend or "plain",
        runs=arguments.runs or runs_folder(),
        budget_s=_budget_s(arguments.budget),
    )


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print findings about this machine; exit 1 where one forbids measuring."""
    from keras_ab.bench.lab.loop.doctor import examine

    worst = "good"
    asked = {"with_ceilings": arguments.ceilings, "device": arguments.device}
    for finding in examine(arguments.backend, **asked):
        print(finding, flush=True)
        if finding.state == "bad":
            worst = "bad"
    return 1 if worst == "bad" else 0
