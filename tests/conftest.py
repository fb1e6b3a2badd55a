"""Settings of the whole suite."""

import sys

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


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave `sys.path` as it was: a bench file's folder comes in front of it when it is loaded."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
