"""Figures as inline SVG: short, and the same picture."""

import re

import pytest
from matplotlib.figure import Figure

from reports import svg


@pytest.mark.parametrize(
    ("path", "shorter"),
    [
        ("M0 0L5 0L5 0L9 0L9 4L9 6", "M0 0H9V6"),
        ("M0 0L5 0L3 0L3 -4L3 2", "M0 0H5H3V-4V2"),
        ("M0 0L5 1L9 1 z", "M0 0L5 1H9 z"),
        ("M0 0L5 0 zM5 5L9 5", "M0 0H5 zM5 5H9"),
        ("M0 0C1 1 2 2 3 3L4 3", "M0 0C1 1 2 2 3 3L4 3"),
        ("rotate(-90 3.5 7)", "rotate(-90 3.5 7)"),
    ],
)
def test_level_lines_that_go_on_become_one(path: str, shorter: str) -> None:
    assert svg._level(path) == shorter


def drawn() -> str:
    figure = Figure(figsize=(4, 2))
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.stairs([1, 1, 1, 2, 2], fill=True, fc=svg.FLOOR, ec=svg.INK)
    axes.plot([0, 2, 4], [1, 2, 1], "o", color=svg.INK)
    axes.text(1, 1, "left", ha="left")
    return str(svg.inline(figure, "f1", "steps"))


def test_every_name_that_is_referred_to_exists_once() -> None:
    found = drawn()
    names = re.findall(r' id="([^"]+)"', found)
    assert len(names) == len(set(names)) > 0
    assert set(re.findall(r"#(f1[\w-]+)", found)) == set(names)
    assert all(re.fullmatch(r"f1-\d+", name) for name in names)


def test_no_group_says_nothing() -> None:
    assert "<g>" not in drawn()


def test_texts_inherit_what_most_of_them_say() -> None:
    found = drawn()
    root, *texts = re.findall(r"<(?:svg|text) [^>]*>", found)
    assert 'font-size="10px"' in root
    assert len(texts) > 3
    assert not any("font-size" in text for text in texts)
    assert sum('text-anchor="start"' in text for text in texts) == 1


def test_a_tick_says_once_how_it_is_drawn() -> None:
    uses = re.findall(r"<use [^>]*>", drawn())
    assert uses
    assert not any("stroke" in use or "fill" in use for use in uses)
