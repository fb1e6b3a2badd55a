"""Settings of the whole suite."""

import sys
from pathlib import Path

import pytest

from tests.examples import SEARCHING, examples


def pytest_configure(config: pytest.Config) -> None:
    """Give hypothesis the same examples every time, and no deadline: nothing here is timed.

    Others are searched for by `tests.studies.search`.
    """
    if config.getoption("benchmark") or config.getoption("help") or config.getoption("version"):
        return  # pytest reads this file for these too, where hypothesis need not be installed
    try:
        from hypothesis import settings
    except ImportError as error:
        raise pytest.UsageError(
            f"the tests need what is only for tests\n  received: {error}\n"
            "  what to do: tox run -e tests, or pip install --group tests; "
            "experiments run without: pytest --benchmark"
        ) from error
    settings.register_profile(
        "keras-ab",
        deadline=None,
        print_blob=True,
        derandomize=not SEARCHING,
        max_examples=examples(100),
    )
    settings.load_profile("keras-ab")


LONGEST = (
    "kernels/test_battery.py",
    "bench/test_guards.py",
    "test_readme_commands.py",
    "kernels/test_battery_elsewhere.py",
    "kernels/native/test_tensorflow_optimizers.py",
    "bench/test_cut_off.py",
    "bench/test_invocation.py",
)
"""Files that take a minute and more: none is to be left for the end, to one worker alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, where a file is a worker's."""
    first = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave `sys.path` as it was: a bench file's folder comes in front of it when it is loaded."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
