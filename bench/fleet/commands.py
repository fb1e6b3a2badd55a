"""The commands of a fleet: nodes, run, status, resume."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ab.bench.lab.record.runs_folder import runs_folder
from keras_ab.bench.lab.words.backend_names import NAMES
from keras_ab.bench.lab.words.errors import DeclarationError

if TYPE_CHECKING:
    from keras_ab.bench.fleet.asked import Asked

say = partial(print, flush=True)


def add_commands(commands: Any) -> None:
    """Add `fleet` and what it is asked for to the command line."""
    fleet = commands.add_parser(
        "fleet", help="measure on many machines: nodes, run, status, resume"
    )
    asked = fleet.add_subparsers(dest="asked", required=True, metavar="COMMAND")
    nodes = asked.add_parser("nodes", help="what there is, and what the doctor says of each")
    _where(nodes)
    nodes.add_argument("--backend", choices=NAMES, default="tensorflow")
    nodes.set_defaults(execute=run_nodes)
    run = asked.add_parser("run", help="measure: one run on a node of each kind, to begin with")
    _where(run)
    _add_store(run)
    run.add_argument("--shard", action="store_true", help="the nodes of a kind share the trials")
    run.add_argument(
        "--repeat", default="1", metavar="N", help="the same trials on N nodes of a kind, or on all"
    )
    run.add_argument("arguments", nargs="*", metavar="-- PYTEST ARGUMENTS")
    run.set_defaults(execute=run_run)
    _add_store(status := asked.add_parser("status", help="what has become of it, by the store"))
    status.add_argument("fleet", nargs="?", help="default: the newest")
    status.set_defaults(execute=run_status)
    resume = asked.add_parser("resume", help="measure what is left")
    _where(resume)
    _add_store(resume)
    resume.add_argument("fleet", nargs="?", help="default: the newest")
    resume.set_defaults(execute=run_resume)


def _where(parser: argparse.ArgumentParser) -> None:
    """Add the options that say on which nodes."""
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of the Ray cluster's head; else this machine alone"
    )
    parser.add_argument(
        "--on", action="append", default=[], metavar="KEY=VALUE", help="only nodes with this label"
    )
    parser.add_argument(
        "--allow", nargs="+", default=[], choices=("versions",), help="what may differ among nodes"
    )
    parser.add_argument(
        "--no-doctor", action="store_true", help="measure without asking whether nodes are fit"
    )
    parser.add_argument(
        "--uv", type=Path, metavar="REQUIREMENTS", help="have uv make an environment on each node"
    )


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs",
        default=str(runs_folder()),
        metavar="URL",
        help="where runs are kept: a folder that all nodes have, or what fsspec opens, "
        "s3://bucket/team",
    )


def _asked(given: argparse.Namespace, **more: Any) -> Asked:
    from keras_ab.bench.fleet.asked import Asked

    return Asked(
        runs=getattr(given, "runs", ""),
        address=given.address,
        on=given.on,
        allow=given.allow,
        doctor=not given.no_doctor,
        uv=given.uv,
        **more,
    )


def _repeat(given: str) -> int | None:
    if given == "all":
        return None
    if given.isascii() and given.isdigit() and int(given) > 0:
        return int(given)
    raise DeclarationError("--repeat is a number of nodes, or all", repr(given), "write --repeat 3")


def run_nodes(arguments: argparse.Namespace) -> int:
    """Print what there is; exit 1 where no node is fit."""
    from keras_ab.bench.fleet.asked import nodes

    return 0 if nodes(_asked(arguments), arguments.backend, say) else 1


def run_run(arguments: argparse.Namespace) -> int:
    """Measure what is asked for; exit 1 where something of it is left."""
    from keras_ab.bench.fleet.asked import run

    more = {"repeat": _repeat(arguments.repeat), "shard": arguments.shard}
    return 0 if run(_asked(arguments, arguments=arguments.arguments, **more), say) else 1


def run_status(arguments: argparse.Namespace) -> int:
    """Print what has become of what was asked for."""
    from keras_ab.bench.fleet.asked import Asked, status

    return 0 if status(Asked(runs=arguments.runs), arguments.fleet, say) else 1


def run_resume(arguments: argparse.Namespace) -> int:
    """Measure what is left; exit 1 where something is left still."""
    from keras_ab.bench.fleet.asked import resume

    return 0 if resume(_asked(arguments), arguments.fleet, say) else 1
