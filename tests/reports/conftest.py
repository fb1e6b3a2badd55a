"""Simulated runs, written once for all tests of the reports."""

from pathlib import Path

import pytest

from reports.page import write_page
from tests.reports import scenes


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two simulated runs on two machines."""
    path = tmp_path_factory.mktemp("runs")
    scenes.rich(path)
    return path


@pytest.fixture(scope="session")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page on these runs."""
    return write_page(folder, tmp_path_factory.mktemp("page") / "report.html")
