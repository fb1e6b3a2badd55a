"""The commands that read runs: report, index, compare, gate, cite, verify, export."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ab.bench.lab.record.runs_folder import runs_folder
from keras_ab.bench.lab.words.errors import RecordError

if TYPE_CHECKING:
    from keras_ab.reports.compare import Side
    from keras_ab.reports.loading import Runs

ALLOW = {
    "nargs": "+",
    "default": [],
    "choices": ("versions", "cases", "code"),
    "help": "what may differ between the sides",
}
RUNS_HELP = "run files, folders, globs or URLs (default: the folder runs)"
ONLY: dict[str, Any] = {
    "nargs": "+",
    "default": [],
    "metavar": "EXPERIMENT",
    "help": "only these, of a store of runs; its index says where they are",
}


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to the command line."""
    report = commands.add_parser("report", help="turn run files into one HTML page")
    report.add_argument("runs", nargs="*", default=[runs_folder()], help=RUNS_HELP)
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"))
    report.add_argument("--only", **ONLY)
    report.set_defaults(execute=run_report)
    index = commands.add_parser("index", help="list which runs of a store have which experiments")
    index.add_argument("store", help="a folder or URL with runs; the index is put beside them")
    index.add_argument("--anew", action="store_true", help="look at every run, not at new ones")
    index.set_defaults(execute=run_index)
    _add_comparisons(commands)
    _add_citations(commands)
    export = commands.add_parser("export", help="write tidy tables: samples, trials, claims, ...")
    export.add_argument("runs", nargs="*", default=[runs_folder()], help=RUNS_HELP)
    export.add_argument("-o", "--output", default="tables", help="folder or URL")
    export.add_argument(
        "--format",
        choices=("parquet", "csv"),
        default="parquet" if find_spec("pyarrow") else "csv",
        help="default: parquet where pyarrow is installed, else csv",
    )
    export.add_argument("--overwrite", action="store_true", help="replace tables that are there")
    export.set_defaults(execute=run_export)


def _add_comparisons(commands: Any) -> None:
    compare = commands.add_parser("compare", help="machines, or before and after: what flips")
    compare.add_argument(
        "sides", nargs="+", help="two or more: runs, folders, URLs, NAME=any of these, or a machine"
    )
    compare.add_argument("--allow", **ALLOW)
    compare.add_argument("--only", **ONLY)
    compare.add_argument(
        "--runs", default=runs_folder(), help="where machines named by a label are found"
    )
    compare.add_argument(
        "--format", choices=("table", "markdown"), default="table", help="for a terminal or a page"
    )
    compare.set_defaults(execute=run_compare)
    gate = commands.add_parser("gate", help="exit 1 where something became worse since a run")
    gate.add_argument("runs", nargs="*", default=[runs_folder()], help=RUNS_HELP)
    gate.add_argument(
        "--baseline", required=True, help="what to hold it against: a run file, or a run's id"
    )
    gate.add_argument("--run", metavar="ID", help="judge this run, not the newest")
    gate.add_argument("--allow", **ALLOW)
    gate.set_defaults(execute=run_gate)


def _add_citations(commands: Any) -> None:
    cite = commands.add_parser("cite", help="a sentence for a number, with its interval and run")
    cite.add_argument("id", help="RUN/TRIAL/ARM/METRIC, or a part that only one number has")
    cite.add_argument("--runs", nargs="+", default=[runs_folder()], help=RUNS_HELP)
    cite.add_argument("--format", choices=("markdown", "latex", "plain"), help="only this one")
    cite.set_defaults(execute=run_cite)
    verify = commands.add_parser("verify", help="recompute what a report or document quotes")
    verify.add_argument("file", type=Path)
    verify.add_argument("--runs", nargs="+", default=[runs_folder()], help=RUNS_HELP)
    verify.add_argument(
        "--signers",
        type=Path,
        metavar="FILE",
        help="ask for a signature of each run that is quoted, RUN.jsonl.sig, by somebody in FILE "
        "(OpenSSH's allowed_signers)",
    )
    verify.set_defaults(execute=run_verify)
    comment = commands.add_parser("comment", help="the first screen as Markdown, for a review")
    comment.add_argument("runs", nargs="*", default=[runs_folder()], help=RUNS_HELP)
    comment.set_defaults(execute=run_comment)
    fill = commands.add_parser("fill", help="make the tables of a Markdown document anew from runs")
    fill.add_argument("file", type=Path, help="Markdown with places for numbers: docs/citing.md")
    fill.set_defaults(execute=run_fill)


def run_report(arguments: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from keras_ab.reports.page import write_page

    print(write_page(arguments.runs, arguments.output, experiments=arguments.only))
    return 0


def run_index(arguments: argparse.Namespace) -> int:
    """Bring a store's index up to date and say how much it is of."""
    from keras_ab.bench.lab.judge.text import count
    from keras_ab.bench.lab.record.store import store
    from keras_ab.reports.index import write

    index = write(store(arguments.store), anew=arguments.anew)
    refused = {row.name for row in index.rows if row.refused}
    trials = sum(bool(row.trial) for row in index.rows)
    aside = f"; {count(len(refused), 'file')} left out" if refused else ""
    print(f"{count(len(index.runs) - len(refused), 'run')}, {count(trials, 'trial')}{aside}")
    return 0


def run_comment(arguments: argparse.Namespace) -> int:
    """Print the first screen as Markdown."""
    from keras_ab import reports
    from keras_ab.reports.comment import comment

    runs = reports.load(arguments.runs)
    _say_left_out(runs)
    print(comment(runs), end="")
    return 0


def run_fill(arguments: argparse.Namespace) -> int:
    """Fill a document's tables and say where it is."""
    from keras_ab.reports.filled import fill

    print(fill(arguments.file))
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write the tables and say where they are."""
    from keras_ab import reports
    from keras_ab.reports.export import export

    runs, place, form = reports.load(arguments.runs), arguments.output, arguments.format
    _say_left_out(runs)
    print("\n".join(export(runs, place, form, overwrite=arguments.overwrite)))
    return 0


def _say_left_out(runs: Runs) -> None:
    """Name the files that could not be read, beside what is written of the others."""
    from keras_ab.reports.legible import visible

    for bad in runs.refused:
        print(visible(f"left out: {bad.error.received}"), file=sys.stderr)


_WORD = re.compile(r"[^/\\:*?\[\]=]+")
"""A name that somebody gives to a side: nothing that a path, a URL or a glob begins with."""


def _is_place(given: str) -> bool:
    """Tell whether files are meant, and not a name."""
    return Path(given).exists() or "://" in given or any(c in given for c in "*?[")


def _read(name: str, place: str, only: Sequence[str] = ()) -> Side:
    """Return a side of what lies at a place."""
    from keras_ab import reports
    from keras_ab.reports.compare import side

    found = reports.load(place, only)
    return side(name, found.runs, found.refused)


def _side(given: str, runs: str | Path, only: Sequence[str]) -> Side:
    """Return one side: NAME=PATH, a path, or a machine's name (or a part of it) among runs."""
    from keras_ab import reports
    from keras_ab.reports.compare import side
    from keras_ab.reports.machines import machines

    name, is_named, path = given.partition("=")
    if is_named and _WORD.fullmatch(name) and not Path(given).exists():
        return _read(name, path, only)
    if _is_place(given):
        return _read(Path(given).name or given, given, only)
    read = reports.load(runs, only)
    known = machines(read.runs)
    found = [machine for machine in known if given.lower() in machine.name.lower()]
    if len(found) != 1:
        raise RecordError(
            "a side of a comparison is a run, a folder, or the name of one machine",
            f"{given!r}, which {len(found)} of {len(known)} machines in {runs} are called",
            f"use a path, or one of: {'; '.join(machine.name for machine in known)}",
        )
    return side(found[0].name, found[0].runs, read.refused)


def run_compare(arguments: argparse.Namespace) -> int:
    """Print what differs between machines, or between before and after."""
    from keras_ab.reports.compare import comparison
    from keras_ab.reports.compared import compared
    from keras_ab.reports.forms import FORMS

    sides = [_side(given, arguments.runs, arguments.only) for given in arguments.sides]
    if len(sides) < 2 or len({side.name for side in sides}) < len(sides):
        raise RecordError(
            "a comparison has two sides or more, each with a name of its own",
            ", ".join(side.name for side in sides),
            "name them: keras-ab compare before=OLD after=NEW",
        )
    print(compared(comparison(sides, arguments.allow), FORMS[arguments.format]), end="")
    return 0


def run_gate(arguments: argparse.Namespace) -> int:
    """Print a Markdown summary; exit 1 on a regression."""
    from keras_ab import reports
    from keras_ab.reports.compare import comparison, side
    from keras_ab.reports.gate import gate, summary
    from keras_ab.reports.legible import visible
    from keras_ab.reports.newest import newest, run_of_id

    runs, named = reports.load(arguments.runs), arguments.baseline
    at_place = _is_place(named)
    before = _read("baseline", named) if at_place else side("baseline", [run_of_id(named, runs)])
    asked, old = arguments.run, before.runs
    new = run_of_id(asked, runs) if asked else newest(runs, arguments.runs, old)
    after = side("this run", [new], runs.refused)
    result = gate(comparison([before, after], arguments.allow))
    words = summary(result, (old[-1].header.run, new.header.run))
    print(words, end="")
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(visible(words))
    return 0 if result.passes else 1


def run_cite(arguments: argparse.Namespace) -> int:
    """Print the sentence for a number."""
    from keras_ab.reports.citing import FORMATS, cite, to_cite

    runs = to_cite(arguments.runs, arguments.id)
    _say_left_out(runs)
    found = cite(runs.runs, arguments.id)
    if arguments.format:
        print(found.sentence(arguments.format))
    else:
        print("\n\n".join(f"{form}:\n{found.sentence(form)}" for form in FORMATS))
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Print what became of every quoted number; exit 1 where one does not hold."""
    from keras_ab.reports.verify import verify

    checked = verify(arguments.file, arguments.runs, arguments.signers)
    for entry in checked:
        print(entry)
    return 0 if all(entry.state == "holds" for entry in checked) else 1
