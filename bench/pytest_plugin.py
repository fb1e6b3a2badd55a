"""The pytest invocation: `pytest --benchmark` collects bench files and runs their experiments."""

from __future__ import annotations

import json
from argparse import SUPPRESS
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from keras_ab.bench.lab.record.runs_folder import project
from keras_ab.bench.lab.words.backend_names import DEFAULT, NAMES
from keras_ab.bench.lab.words.bench_files import (
    bench_folder,
    experiments_in,
    is_bench_file,
    load_module,
)
from keras_ab.bench.lab.words.declare import SELECTIONS
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.words.plan import LOOKS, Plan, option

_INVOCATION = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--benchmark` and the options that go with it."""
    group = parser.getgroup("keras-ab", "controlled A/B experiments (keras-ab)")
    add = group.addoption
    add(
        "--benchmark",
        action="store_true",
        help="run experiments instead of tests: those in bench_*.py here, in bench/ or in the "
        "project, else the ones that come with keras-ab",
    )
    add(
        "--ab-look",
        choices=tuple(LOOKS),
        default="quick",
        help="how hard to look at each trial. "
        "quick: five blocks, half a minute to two minutes on two cores; "
        "thorough: ten blocks or more, until the interval is ±1.25 %% or five minutes are over; "
        "long: until ±0.5 %% or half an hour (default quick). The options that follow change one "
        "part of it",
    )
    for part in fields(Plan):
        _add_option(add, part)
    add(
        "--ab-backend",
        metavar="NAME",
        help=f"one of {', '.join(NAMES)} (default: the only one that runs what is selected, or "
        f"{DEFAULT} where there are several)",
    )
    add(
        "--ab-device",
        default="auto",
        metavar="GPU",
        help="the first GPU that CUDA shows, or the CPU where there is none (auto); cpu; or one "
        "GPU by its UUID, or by its number as nvidia-smi counts (default auto)",
    )
    add(
        "--ab-runs",
        type=Path,
        metavar="FOLDER",
        help="where run files go (default: the nearest folder runs, here or above in the project)",
    )
    add(
        "--ab-cases",
        choices=("auto", *SELECTIONS),
        default="auto",
        help="quick: cases for two cores; gpu: those that keep a GPU busy, as its memory allows; "
        "full: all but the sweeps, for a night; sweep: how experiments grow with a parameter; "
        "auto: gpu where the run is on one, or else quick (default auto)",
    )
    add(
        "--ab-resume",
        "--resume",
        nargs="?",
        const="last",
        metavar="RUN.jsonl",
        help="continue a run that was cut off: the newest in the runs folder, or the one named",
    )
    # By these two a fleet says what is measured, and on which machine: see bench/fleet/node.py.
    add("--ab-trials", type=json.loads, default=[], help=SUPPRESS)
    add("--ab-node", help=SUPPRESS)


def _add_option(add: Callable[..., None], part: Field[Any]) -> None:
    """Add the option that sets a field of the plan."""
    says = part.metadata["help"].replace("%", "%%")
    if isinstance(part.default, bool):
        add(option(part.name), action="store_true", default=None, help=says)
        return
    values = {look: getattr(Plan.looking(look, {}), part.name) for look in LOOKS}
    same = len(set(values.values())) == 1
    shown = part.default if same else ", ".join(f"{look} {x:g}" for look, x in values.items())
    add(
        option(part.name),
        type=type(part.default),
        metavar=part.metadata["metavar"],
        help=f"{says} (default {shown})",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything is imported or measured."""
    if not config.getoption("benchmark"):
        return
    if hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        raise pytest.UsageError(
            "experiments run one at a time\n  received: pytest-xdist (-n)\n"
            "  what to do: leave -n out; two experiments at once would time each other"
        )
    if config.getoption("benchmark_histogram", None) and not find_spec("pygal"):
        raise pytest.UsageError(
            "histograms are drawn by pygal\n  received: --benchmark-histogram, without pygal\n"
            "  what to do: pip install 'pytest-benchmark[histogram]'"
        )
    from keras_ab.bench.invocation import Invocation

    try:
        invocation = config.stash[_INVOCATION] = Invocation(config)
    except LabError as error:
        raise pytest.UsageError(str(error)) from error
    if invocation.places:
        config.args = invocation.places
    elif config.args_source is not pytest.Config.ArgsSource.ARGS:
        here = config.invocation_params.dir
        config.args = [str(bench_folder(here, config.rootpath, project(here)[-1]))]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave out pytest-benchmark's table, unless it was asked for: the answers take its place.

    What else it has to say, such as where it wrote a file, is said.
    """
    config = session.config
    theirs = config.pluginmanager.get_plugin("pytest-benchmark")
    if theirs and config.getoption("benchmark") and not _asks_for_table(config):
        theirs.quiet = True


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say where experiments are looked for."""
    if not config.getoption("benchmark"):
        return None
    return f"keras-ab: experiments in {', '.join(config.args)}"


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """With --benchmark, take packages for folders: nobody asked to import their `__init__`."""
    if not parent.config.getoption("benchmark"):
        return None
    return pytest.Dir.from_parent(parent, path=path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Choose a backend by what was selected, where none was asked for."""
    invocation = session.config.stash.get(_INVOCATION, None)
    if invocation:
        invocation.settle(session.items)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Say how many trials there are and how long they are expected to take."""
    invocation = config.stash.get(_INVOCATION, None)
    return invocation.announce(items) if invocation else []


def _asks_for_table(config: pytest.Config) -> bool:
    """Tell whether pytest-benchmark's own table was asked for, or a histogram, drawn from it."""
    about = ("compare", "col", "sort", "group-by", "histogram", "verbose")
    asked = tuple(f"--benchmark-{word}" for word in about)
    return any(str(arg).startswith(asked) for arg in config.invocation_params.args)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --benchmark, look at nothing but bench files."""
    if not config.getoption("benchmark") or collection_path.is_dir():
        return None
    return None if is_bench_file(collection_path) else True


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the bench files in a folder."""
    wanted = parent.config.getoption("benchmark") and is_bench_file(file_path)
    if not wanted or parent.session.isinitpath(file_path):
        return None  # a file that was named goes through pytest_pycollect_makemodule
    return BenchFile.from_parent(parent, path=file_path)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
    """Collect a bench file that was named on the command line."""
    if parent.config.getoption("benchmark") and is_bench_file(module_path):
        return BenchFile.from_parent(parent, path=module_path)
    return None


class BenchFile(pytest.File):
    """A bench file; its items are the arms of the trials of its experiments."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one item for each arm of each case."""
        try:
            experiments = experiments_in(load_module(str(self.path)))
        except LabError as error:
            raise self.CollectError(f"{self.path.name}: {error}") from error
        if not experiments and self.session.isinitpath(self.path):
            raise self.CollectError(
                f"{self.path.name}: a bench file declares an Experiment at module level\n"
                "  received: none\n"
                "  what to do: EXPERIMENT = Experiment(...), as help(keras_ab) shows"
            )
        for experiment in experiments.values():
            try:
                yield from self.config.stash[_INVOCATION].items(self, experiment)
            except LabError as error:
                raise self.CollectError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Say in pytest-benchmark's files what was found, once all that was asked for is measured."""
    invocation = config.stash.get(_INVOCATION, None)
    if invocation:
        invocation.describe(output_json["benchmarks"])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the run file; seal it when all that was selected was measured.

    Before the file for JUnit is written, which carries the verdicts.
    """
    invocation = session.config.stash.get(_INVOCATION, None)
    if invocation:
        stopped = session.shouldstop or session.shouldfail
        whole = session.exitstatus in (0, 1) and not stopped
        try:
            invocation.close(session.items, whole=whole)
        except LabError as error:
            invocation.say(str(error))
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """End with the verdict table and the path of the report."""
    invocation = config.stash.get(_INVOCATION, None)
    if invocation:
        invocation.summarise(terminalreporter)
