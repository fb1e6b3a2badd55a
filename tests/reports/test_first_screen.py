"""Every number that is shown before the first unfolding can be cited."""

import re

import pytest

from keras_ab import reports
from keras_ab.reports.citing import quotables
from keras_ab.reports.comment import comment
from keras_ab.reports.page import page
from keras_ab.reports.printed import first_screen
from tests.reports.test_compare import written
from tests.reports.test_page import Elements
from tests.reports.test_summary import ARMS, scene

NUMBER = re.compile(
    r"[+−]?\d[\d.]*×? (?:\[[^\]]+\]|exactly)|[\d.]+ [KMG]?i?B, not [\d.]+ [KMG]?i?B"
)
"""A ratio or a difference with its interval, or a size against another."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> reports.Runs:
    """Return two runs on one machine, of which the later is worse, and one on another."""
    folder, learnt = tmp_path_factory.mktemp("first"), dict.fromkeys(ARMS, 0.9) | {"small": 0.8}
    nothing = scene("state", sizes={arm: {"label_bytes": 64.0 * (arm == "plain")} for arm in ARMS})
    written(folder, "a", [scene(quality=learnt), nothing])
    written(folder, "b", [scene(step=ARMS | {"fast": 0.6})], seed=5)
    written(folder, "c", [scene(step=ARMS | {"slow": 0.5}), nothing], 1, seed=9)
    return reports.load(folder)


@pytest.fixture(scope="module")
def cited(runs: reports.Runs) -> set[str]:
    return {number for q in quotables(runs.runs) for number in NUMBER.findall(q.sentence())}


def matrix(runs: reports.Runs) -> str:
    """Return what the table of answers by machine says."""
    html = page(runs)
    start = html.index('<table class="matrix">')
    return Elements(html[start : html.index("</table>", start)]).text


@pytest.mark.parametrize(
    ("shown", "least"),
    [
        (lambda runs: first_screen(page(runs)), 12),
        (matrix, 10),
        (lambda runs: comment(runs).replace("\\", ""), 8),
    ],
    ids=["screen", "matrix", "comment"],
)
def test_every_number_can_be_cited(
    runs: reports.Runs, cited: set[str], shown: object, least: int
) -> None:
    found = NUMBER.findall(" ".join(shown(runs).split()))  # type: ignore[operator]
    assert len(found) >= least
    assert set(found) - cited == set()


def test_what_became_worse_is_told_beside_what_it_was(runs: reports.Runs) -> None:
    said = " ".join(first_screen(page(runs)).split())
    assert re.search(
        r"Worse than before .*fast step time 0\.6\d+× \[.*?\] ?, not 0\.5\d+× \[", said
    )
