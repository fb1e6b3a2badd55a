"""What the page says of a sweep."""

from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.reports.page import page
from tests.reports import simulated


def scenes(sizes: tuple[int, ...]) -> list[simulated.Scene]:
    """Step times that grow as n and as n², equal at n = 40."""
    return [
        simulated.Scene(
            "growth",
            "How does it grow?",
            {"n": n, "batch": 8},
            {"line": n / 40, "square": (n / 40) ** 2},
            noise=0.01,
        )
        for n in sizes
    ]


@pytest.fixture
def write(tmp_path: Path):
    def write(*sizes: int) -> str:
        path = tmp_path / "r.jsonl"
        simulated.write(path, simulated.header("r"), scenes(sizes))
        return page(reports.load(path))

    return write


def test_the_page_has_exponents_and_the_crossing(write) -> None:
    html = write(10, 20, 40, 80, 160)
    assert "Sweeps</h2>" in html
    assert "growth: n from 10.0 to 160" in html
    (sweep,) = [part for part in html.split("<article") if 'id="sweeps1s1"' in part]
    assert "Step time over n. line: exponent 1.0" in sweep or "exponent 0.99" in sweep
    rows = [row for row in sweep.split("<tr>") if "<code>" in row]
    assert "baseline" in rows[0]
    at = float(rows[1].rpartition('<td class="n">')[2].split()[0])
    assert at == pytest.approx(40, rel=0.05)


def test_three_cases_are_no_sweep(write) -> None:
    assert "Sweeps</h2>" not in write(10, 20, 40)
