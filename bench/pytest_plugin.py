"""The pytest invocation: `pytest --benchmark` collects bench files and runs their experiments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_ab import bench
from keras_ab.bench.lab.words.backend_names import NAMES
from keras_ab.bench.lab.words.declare import SELECTIONS
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.words.plan import Plan

DEFAULTS = Plan()
_INVOCATION = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--benchmark` and the options that go with it."""
    group = parser.getgroup("keras-ab", "controlled A/B experiments (keras-ab)")
    add = group.addoption
    add("--benchmark", action="store_true", help="run the experiments in bench/ instead of tests/")
    add(
        "--ab-precision",
        type=float,
        default=DEFAULTS.precision,
        metavar="SHARE",
        help=f"half-width of the 95%% interval to reach (default {DEFAULTS.precision:g}: ±1.25%%)",
    )
    add(
        "--ab-margin",
        type=float,
        default=DEFAULTS.margin,
        metavar="SHARE",
        help=f"the largest difference that does not matter (default {DEFAULTS.margin:g}: ±2%%)",
    )
    add(
        "--ab-budget",
        type=float,
        default=DEFAULTS.budget_s,
        metavar="SECONDS",
        help="after this time a trial adds no block to the first "
        f"{DEFAULTS.min_blocks} (default {DEFAULTS.budget_s:g})",
    )
    add(
        "--ab-min-blocks",
        type=int,
        default=DEFAULTS.min_blocks,
        metavar="N",
        help=f"blocks before anything is concluded (default {DEFAULTS.min_blocks})",
    )
    add(
        "--ab-rounds",
        type=int,
        default=DEFAULTS.rounds,
        metavar="N",
        help=f"rounds in a block (default {DEFAULTS.rounds})",
    )
    add(
        "--ab-sample-time",
        type=float,
        default=DEFAULTS.sample_time_s,
        metavar="SECONDS",
        help=f"how long one sample lasts; sets its steps (default {DEFAULTS.sample_time_s:g})",
    )
    add("--ab-backend", default="tensorflow", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    add("--ab-runs", type=Path, default=Path("runs"), metavar="FOLDER", help="where run files go")
    add(
        "--ab-cases",
        choices=tuple(SELECTIONS),
        default="quick",
        help="quick: cases for two cores; full: all but the sweeps, for a GPU or a night; "
        "sweep: how experiments grow with a parameter (default quick)",
    )
    add(
        "--ab-ceilings",
        action="store_true",
        help="first measure how fast the machine can be, to hold the arms against (a minute)",
    )
    add(
        "--ab-profile",
        action="store_true",
        help="when all of a trial is timed, trace its arms by the framework's own profiler",
    )
    add(
        "--ab-profile-time",
        type=float,
        default=DEFAULTS.profile_time_s,
        metavar="SECONDS",
        help="how long --ab-profile traces each arm, and samples it untraced beside (default "
        f"{DEFAULTS.profile_time_s:g})",
    )
    add(
        "--ab-resume",
        "--resume",
        nargs="?",
        const="last",
        metavar="RUN.jsonl",
        help="continue a run that was cut off: the newest in the runs folder, or the one named",
    )


def is_bench_file(path: Path) -> bool:
    """Tell whether pytest should look for experiments in a file."""
    return path.suffix == ".py" and path.name.startswith("bench_")


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
    from keras_ab.bench.invocation import Invocation

    try:
        config.stash[_INVOCATION] = Invocation(config)
    except LabError as error:
        raise pytest.UsageError(str(error)) from error
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(_bench_folder(config.rootpath))]
    if not _asks_for_table(config):
        config.option.benchmark_quiet = True  # the verdict table takes its place


def _bench_folder(root: Path) -> Path:
    """Return the checkout's own bench folder, or the installed one."""
    own = root / "bench"
    return own if own.is_dir() else Path(bench.__file__).parent


def _asks_for_table(config: pytest.Config) -> bool:
    """Tell whether pytest-benchmark's own table was asked for."""
    asked = ("--benchmark-compare", "--benchmark-col", "--benchmark-sort", "--benchmark-group-by")
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
        from keras_ab.bench.lab.words.bench_files import experiments_in, load_module

        try:
            experiments = experiments_in(load_module(str(self.path)))
        except LabError as error:
            raise self.CollectError(f"{self.path.name}: {error}") from error
        if not experiments:
            raise self.CollectError(
                f"{self.path.name}: a bench file declares an Experiment at module level\n"
                "  received: none\n  what to do: see CONTRIBUTING.md, 'Add an experiment'"
            )
        for experiment in experiments.values():
            yield from self.config.stash[_INVOCATION].items(self, experiment)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Say in pytest-benchmark's files what was found, once all that was asked for is measured."""
    invocation = config.stash.get(_INVOCATION, None)
    if invocation:
        invocation.describe(output_json["benchmarks"])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the run file; seal it when all that was selected was measured."""
    invocation = session.config.stash.get(_INVOCATION, None)
    if invocation:
        invocation.close(
            complete=session.exitstatus in (0, 1) and not (session.shouldstop or session.shouldfail)
        )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """End with the verdict table and the path of the report."""
    invocation = config.stash.get(_INVOCATION, None)
    if invocation:
        invocation.summarise(terminalreporter)
