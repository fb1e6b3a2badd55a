"""Figures as inline SVG: short, and the same picture."""

import re

import pytest
from matplotlib.figure import Figure

from keras_ab.reports import svg
from keras_ab.reports.canvas import Canvas
from keras_ab.reports.colours import FLOOR, INK


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


def on_canvas() -> str:
    canvas = Canvas(2, (0.1, 0.9), (0.1, 0.5), (0, 4))
    canvas.dots([(0, 0.5), (1, 0.5), (4, 1)], INK, 4)
    canvas.rings([(2, 0.5)], INK, 10, 2)
    canvas.strokes([((0, 0), (4, 0)), ((2, 0), (2, 1))], INK, 1)
    canvas.area((0, 1), (0, 1), FLOOR)
    canvas.below([(0, "start"), (4, "end")], "from start to end")
    canvas.beside([(0.5, "half")], INK)
    return str(canvas.inline("dots"))


def test_dots_are_one_path_of_steps_from_place_to_place() -> None:
    # 460.8 points between the edges of 4 units, 100.8 upright; y grows downwards
    found = re.findall(r'<path d="(m[^"]+)"', on_canvas())
    assert found == ["m576 576h0m1152 0h0m3456-504h0", "m2880 576h0", "m2880 576h0"]


def test_rings_are_dots_with_a_hole() -> None:
    widths = re.findall(
        r'<path d="m2880 576h0"[^>]* stroke="([^"]+)" stroke-width="(\d+)"', on_canvas()
    )
    assert widths == [("var(--ink)", "100"), ("var(--page)", "60")]


def test_strokes_of_one_colour_are_one_path() -> None:
    assert '<path d="M57.6 108H518.4M288 108V7.2"' in on_canvas()


def test_names_lie_below_and_beside_the_plane() -> None:
    texts = {
        name: (float(x), float(y))
        for x, y, name in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)', on_canvas())
    }
    assert texts["half"][0] < 57.6
    assert texts["start"][0] == 57.6
    assert texts["end"][0] == 518.4
    assert 108 < texts["start"][1] < texts["from start to end"][1] < 144


def drawn() -> str:
    figure = Figure(figsize=(4, 2))
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.stairs([1, 1, 1, 2, 2], fill=True, fc=FLOOR, ec=INK)
    axes.plot([0, 2, 4], [1, 2, 1], "o", color=INK)
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
