"""What a reader does with the page: sort, filter, cite, change the theme, print, listen to it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_ab import reports
from keras_ab.reports.citing import cite
from keras_ab.reports.page import write_page
from tests.reports import simulated
from tests.reports.test_compare import jit

PROFILED = Path(__file__).parents[2] / "examples" / "profiled-cpu-xeon-2-cores.jsonl"
SHOWN = "[...document.querySelectorAll('#answers-table tbody tr')].filter(r => !r.hidden)"


@pytest.fixture
def page(browser: Any, written: Path) -> Iterator[Any]:
    """Return the page in a browser that must say nothing and ask for nothing."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page, heard, asked = context.new_page(), [], []
    for event in ("console", "pageerror", "dialog"):
        page.on(event, lambda said: heard.append(str(said)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())
    yield page
    assert heard == []
    assert asked == [written.as_uri()]
    context.close()


def column(page: Any, label: str) -> list[str]:
    """Return the visible cells of a column, from top to bottom."""
    part = " code" if label == "Arm" else ""
    cell = f"r.querySelector('[data-label=\"{label}\"]{part}')?.textContent.trim() ?? ''"
    return page.evaluate(f"{SHOWN}.map(r => {cell})")


def test_sorts_up_and_down_with_what_is_missing_last(page: Any) -> None:
    values = f"{SHOWN}.map(r => r.querySelector('[data-label=\"Step time\"]')?.dataset.value)"
    head = page.locator("#answers-table").get_by_role("columnheader", name="Step time")
    for direction, sign in (("ascending", 1), ("descending", -1)):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        found = page.evaluate(values)
        numbers = [sign * float(x) for x in found if x is not None]
        assert numbers == sorted(numbers)
        assert len(numbers) >= 10
        assert None not in found[: len(numbers)]
    page.get_by_label("Sort by").select_option("Certainty")
    widths = [float(x) for x in page.evaluate(f"{SHOWN}.map(r => r.dataset.certainty)") if x]
    assert widths == sorted(widths)
    assert len(widths) >= 10
    page.get_by_label("Sort by").select_option("as measured")
    assert head.get_attribute("aria-sort") is None
    assert column(page, "Arm")[0] == "sparse_int32"


def test_sorts_words(page: Any) -> None:
    page.get_by_label("Sort by").select_option("Answer")
    words = column(page, "Answer")
    assert words == sorted(words)


def test_filters_by_word_answer_and_machine(page: Any) -> None:
    every = len(column(page, "Arm"))
    page.get_by_role("combobox", name="Answer", exact=True).select_option("loss")
    assert set(column(page, "Answer")) == {"loss"}
    page.get_by_label("Find").fill("OPTIM sm3")
    assert column(page, "Arm") == ["sm3", "sm3_momentum"]
    assert page.locator("#shown").text_content() == f"2 of {every} rows"
    page.get_by_label("Find").fill("")
    page.get_by_role("combobox", name="Answer", exact=True).select_option("any")
    page.get_by_role("combobox", name="Machine", exact=True).select_option("Simulated GPU")
    assert set(column(page, "Machine")) == {"Simulated GPU"}
    page.get_by_label("Find").fill("no such thing")
    assert column(page, "Arm") == []


def test_copies_the_sentence_that_cite_gives(page: Any, folder: Path) -> None:
    page.get_by_role("button", name="cite answer for sparse_int32").first.click()
    page.locator("#said").get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    number = "cpu000/labels[classes=10,batch=256]/sparse_int32/answer"
    assert copied == cite(reports.load(folder).runs, number).sentence()
    page.keyboard.press("Escape")
    assert page.locator("#said").text_content() == ""


def test_where_the_clipboard_is_closed_the_sentence_is_shown(page: Any) -> None:
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    page.locator("button.cite").first.click()
    page.locator("#said").get_by_text("Copy it from here: Simulated, not measured").wait_for()


def test_the_theme_can_be_changed(page: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    button = page.get_by_role("button", name="Dark", exact=True)
    button.click()
    assert page.evaluate(colour) != light
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert page.evaluate(colour) == light


def test_the_keyboard_alone_sorts_unfolds_and_cites(page: Any) -> None:
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        focus = page.evaluate("document.activeElement.textContent.trim()")
        reached.append(focus)
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", focus
        if focus == "Step time":
            page.keyboard.press("Enter")
        if focus == "cite":
            page.keyboard.press("Enter")
            break
    head = page.locator("#answers-table").get_by_role("columnheader", name="Step time")
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator("#said").get_by_text("Copied").wait_for()
    assert reached[0] == "Skip to the answers"


def test_links_open_what_they_lead_to(page: Any) -> None:
    fold = page.locator("details.trial").nth(2)
    assert not fold.evaluate("fold => fold.open")
    page.locator(f"#answers-table a[href='#{fold.get_attribute('id')}']").first.click()
    assert fold.evaluate("fold => fold.open")
    number = "2026-01-02T0304-cpu000/optimizers[width=512,depth=2]/sm3/step_time_s"
    page.evaluate(f"location.hash = '#{number}'")
    assert page.locator(f"[id='{number}']").is_visible()
    page.get_by_role("button", name="Unfold all").click()
    assert page.evaluate("[...document.querySelectorAll('details.trial')].every(d => d.open)")


def test_prints_everything_that_is_folded(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#theme").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")


@pytest.mark.parametrize("width", [360, 1280])
def test_unfolded_it_still_fits(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_its_script_the_page_says_all_and_offers_nothing_dead(
    browser: Any, written: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(written.as_uri())
    assert page.locator("#answers-table").is_visible()
    assert page.locator("button:visible").count() == 0
    assert page.locator("select:visible").count() == 0
    assert page.get_by_text("run keras-ab cite with its id").is_visible()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_axe_finds_no_violation(browser: Any, written: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(written.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    violations = axe.run(page).response["violations"]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in violations] == []
    page.close()


def test_axe_finds_no_violation_in_profiles_and_ceilings(browser: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(write_page(PROFILED, tmp_path / "r.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.locator("#profiles table").first.is_visible()
    assert page.locator("#ceilings figure svg").is_visible()
    violations = axe.run(page).response["violations"]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_every_picture_has_a_name_or_stands_beside_its_words(page: Any) -> None:
    told = page.evaluate(
        "[...document.querySelectorAll('svg')].map(s => s.ariaHidden === 'true' ? 'beside words' :"
        " `${s.getAttribute('role')}: ${s.getAttribute('aria-label')}`)"
    )
    named = [says for says in told if says != "beside words"]
    assert len(named) >= 10
    assert all(re.match(r"img: .{20,}", says) for says in named)


def test_axe_finds_no_violation_in_flips_and_history(browser: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for number, step in enumerate((0.8, 0.95, 1.3)):
        head = simulated.header(f"run{number}", simulated.machine(number // 2))
        simulated.write(tmp_path / f"{number}.jsonl", head, [jit(jit=step)])
    page = browser.new_page()
    page.goto(write_page(tmp_path, tmp_path / "r.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.locator("#history figure svg").is_visible()
    assert page.get_by_text("keras-ab gate --baseline run0 --run run1").is_visible()
    violations = axe.run(page).response["violations"]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in violations] == []
    page.close()
