"""Settings of the whole suite."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Give hypothesis no deadline: nothing here is judged by how long it takes."""
    if config.getoption("benchmark"):
        return  # pytest reads this file for --benchmark too, where hypothesis need not be installed
    from hypothesis import settings

    settings.register_profile("keras-ab", deadline=None, print_blob=True)
    settings.load_profile("keras-ab")
