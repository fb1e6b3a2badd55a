"""A page on every experiment that is declared fits its window: nothing overlaps or is cut off."""

from pathlib import Path
from typing import Any

import pytest

from keras_ab.reports.page import write_page
from tests.reports import suite
from tests.reports.simulated import header, write

CROWDED = """
() => {
  const seen = (element) => element.checkVisibility({ visibilityProperty: true });
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest("script, option, .skip") || !seen(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      const quarter = r.height / 4;  // a line's box is taller than its letters
      const frame = parent.closest(".scroll, pre, .names");
      lines.push({ says: node.data.trim().slice(0, 40), frame,
        left: r.left + 1, right: r.right - 1, top: r.top + quarter, bottom: r.bottom - quarter });
    }
  }
  lines.sort((a, b) => a.top - b.top);
  const found = [];
  lines.forEach((a, n) => {
    for (let m = n + 1; m < lines.length && lines[m].top < a.bottom; m++) {
      const b = lines[m];
      if (a.frame === b.frame && a.left < b.right && b.left < a.right) {
        found.push(`${a.says} over ${b.says}`);
      }
    }
  });
  for (const svg of document.querySelectorAll("figure svg")) {
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const r = text.getBoundingClientRect();
      if (r.left < box.left || r.right > box.right || r.bottom > box.bottom || r.top < box.top) {
        found.push(`${text.textContent} beyond its figure`);
      }
    }
  }
  return [lines.length, found];
}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page on a run of the whole suite, with as many samples as a quick run takes."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder / "r.jsonl", header("2026-01-02T0304-cpu000"), suite.scenes(rounds=50))
    return write_page(folder, folder / "r.html")


def test_thirty_five_trials_of_a_quick_run_fit_into_two_megabytes(whole: Path) -> None:
    assert whole.stat().st_size / len(suite.scenes()) < 2_000_000 / 35


A4 = 718
"""CSS pixels between the margins that a browser leaves on a sheet of A4."""


def test_a_printed_page_is_no_wider_than_its_paper(browser: Any, whole: Path) -> None:
    page = browser.new_page(viewport={"width": A4, "height": 1000})
    page.goto(whole.as_uri())
    page.emulate_media(media="print")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    lines, crowded = page.evaluate(CROWDED)
    assert crowded == []
    assert lines > 5000
    assert page.evaluate("document.documentElement.scrollWidth") <= A4
    page.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_overlaps_or_is_cut_off(browser: Any, whole: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(whole.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    lines, crowded = page.evaluate(CROWDED)
    assert crowded == []
    assert lines > 5000
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
