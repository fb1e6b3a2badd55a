"""The page in a real browser: silent, self-contained, and never wider than its window."""

from pathlib import Path
from typing import Any

import pytest

from keras_ab.reports.page import write_page
from tests.reports import simulated
from tests.reports.test_page import HOSTILE, hostile_scene

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG_NAMES = "learning-acnet-cpu-xeon-2-cores.jsonl"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_opens_in_silence_and_fits(browser: Any, written: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())
    assert said == []
    assert asked == [written.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
    assert dark == (scheme == "dark")
    page.close()


def test_long_names_of_arms_are_read_whole_on_a_phone(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(write_page(EXAMPLES / LONG_NAMES, tmp_path / "r.html").as_uri())
    edges = page.evaluate(
        "[...document.querySelectorAll('#answers-table td *')]"
        ".map(element => element.getBoundingClientRect().right)"
    )
    assert 0 < max(edges) <= 360
    page.close()


def test_hostile_strings_neither_run_nor_widen_the_page(browser: Any, tmp_path: Path) -> None:
    run = simulated.write(tmp_path / "r.jsonl", simulated.header(HOSTILE), [hostile_scene()])
    page = browser.new_page(viewport={"width": 360, "height": 800})
    heard: list[Any] = []
    for event in ("console", "pageerror", "dialog"):
        page.on(event, lambda said: heard.append(said))
    page.goto(write_page(run, tmp_path / "r.html").as_uri())
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_figures_follow_the_colour_scheme(browser: Any, written: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(written.as_uri())
    colour = "getComputedStyle(document.querySelector('figure svg text')).fill"
    dark = page.evaluate(colour)
    page.emulate_media(color_scheme="light")
    assert page.evaluate(colour) != dark
    page.close()


def test_the_keyboard_reaches_the_answers_first(browser: Any, written: Path) -> None:
    page = browser.new_page()
    page.goto(written.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answers"
    page.keyboard.press("Enter")
    page.wait_for_url("**/*#answers")
    page.close()


def test_prints(browser: Any, written: Path) -> None:
    page = browser.new_page()
    page.goto(written.as_uri())
    assert page.pdf().startswith(b"%PDF")
    page.close()
