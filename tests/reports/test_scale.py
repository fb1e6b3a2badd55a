"""Work grows with the number of runs, and not faster; counted in calls, not in seconds."""

import cProfile
import pstats
from pathlib import Path

import reports
from reports.page import page
from tests.studies.scale import write_runs


def calls(folder: Path) -> int:
    """Return how many function calls a page on a folder takes."""
    profile = cProfile.Profile()
    profile.enable()
    page(reports.load(folder))
    profile.disable()
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def test_a_page_on_twice_the_runs_takes_at_most_twice_the_calls(tmp_path: Path) -> None:
    counts = []
    for runs in (8, 8, 16, 32):  # the first warms caches and lazy imports
        folder = tmp_path / f"{runs}-{len(counts)}"
        write_runs(folder, runs, experiments=1)
        counts.append(calls(folder))
    _, few, more, many = counts
    assert many - more < 2.2 * (more - few)


def test_a_single_run_page_is_small(folder: Path, tmp_path: Path) -> None:
    write_runs(tmp_path, 1)
    assert len(page(reports.load(tmp_path)).encode()) < 2_000_000
