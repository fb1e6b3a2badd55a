"""Work grows with the number of runs, and not faster; counted in calls, not in seconds."""

import cProfile
import pstats
from pathlib import Path

from keras_ab import reports
from keras_ab.reports.page import page
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
    for runs in (4, 4, 8, 16):  # the first warms caches and lazy imports
        folder = tmp_path / f"{runs}-{len(counts)}"
        write_runs(folder, runs, experiments=1)
        counts.append(calls(folder))
    _, few, more, many = counts
    assert many - more < 2.2 * (more - few)


def test_the_picture_in_the_readme_is_small() -> None:
    root = Path(__file__).parents[2]
    picture = root / "examples" / "report.png"
    assert "(examples/report.png)" in (root / "README.md").read_text(encoding="utf-8")
    assert picture.stat().st_size < 300_000


def test_a_single_run_page_is_small(tmp_path: Path) -> None:
    write_runs(tmp_path, 1, experiments=6)
    assert len(page(reports.load(tmp_path)).encode()) < 2_000_000 * 6 / 30
