"""The page says what was found, is safe to open, and needs nothing but itself."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.record.records import Absent, Failure
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.arms import difference, lines_of
from keras_ab.reports.page import page, policy, write_page
from keras_ab.reports.views import break_even_steps, source
from tests.reports import scenes, simulated

HOSTILE = (
    "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"'&{{7*7}}$\\frac{\x1b[31m\u202e\x00 javascript:alert(1)"
)


class Elements(HTMLParser):
    """Every element of a page with its attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, *names: str) -> list[str]:
        return [v for _, attrs in self.found for k, v in attrs.items() if k in names and v]


@pytest.fixture(scope="module")
def elements(written: Path) -> Elements:
    return Elements(written.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "words",
    [
        "Does XLA make a step faster, and when has it paid for its compile time?",
        "0.931× [0.924, 0.939]",
        "has paid for that after about",
        "Power: a difference of",
        "after Holm’s correction for their number, of 0.050 at most",
        "of these survive it",
        "identical pairs told apart at 5 %",
        "would be judged better or worse by chance, on average",
        "a guard is broken, so the arms did not do the same work",
        "MemoryError: could not allocate 8 GiB",
        "Traceback (most recent call last):",
        "float16 matrix units need a GPU",
        "the GPU was slowed down in",
        "the host was still handing",
        "other processes kept 0.9",
        "cut off before its end: no seal",
        "4 rounds of a block that did not finish: shown, not judged",
        "below 5 nothing is concluded",
        "Anything about a real machine.",
        "optimizer='sm3_momentum',",
        "Simulated 8-core processor",
        "about 198 blocks in all would settle it",
    ],
)
def test_the_page_says(words: str, elements: Elements) -> None:
    assert words in " ".join(elements.text.split())


def test_every_verdict_is_a_word(elements: Elements) -> None:
    chips = {v.split()[1] for v in elements.values("class") if v.startswith("chip ")}
    assert chips >= {
        *("better", "worse", "equivalent", "inconclusive", "invalid", "failed"),
        *("gain", "trade", "loss", "no-difference", "undecided"),
        *("confirmed", "refuted", "undecided", "not-measured-here", "broken"),
    }


def test_figures_are_svg_with_text(elements: Elements) -> None:
    tags = [tag for tag, _ in elements.found]
    assert tags.count("svg") >= 10
    assert tags.count("text") > 100
    assert "style" not in {key for _, attrs in elements.found for key in attrs}


def test_nothing_comes_from_elsewhere(elements: Elements) -> None:
    tags = {tag for tag, _ in elements.found}
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert not elements.values("src", "srcset", "data", "action", "poster")
    links = [attrs.get("href") for tag, attrs in elements.found if tag == "a"]
    links += [attrs["href"] for tag, attrs in elements.found if tag == "use" and "href" in attrs]
    assert all(link and link.startswith(("#", "https://example.org/")) for link in links)
    assert not [k for _, attrs in elements.found for k in attrs if k.startswith("on")]


def test_every_link_within_the_page_has_its_target_and_names_are_unique(
    elements: Elements,
) -> None:
    names = elements.values("id")
    assert len(names) == len(set(names))
    assert {link[1:] for link in elements.values("href") if link[0] == "#"} <= set(names)
    assert set(elements.values("aria-labelledby")) <= set(names)


def test_the_policy_allows_this_style_sheet_and_this_script_alone(
    written: Path, elements: Elements
) -> None:
    html = written.read_text(encoding="utf-8")
    css = html.partition("<style>")[2].partition("</style>")[0]
    script = html.partition("<script>")[2].partition("</script>")[0]
    meta = [a for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"]
    assert meta[0]["content"] == policy(css, script)
    assert "default-src 'none'" in policy(css, script)
    assert "unsafe" not in policy(css, script)
    assert "url(" not in css
    assert "@import" not in css


def hostile_scene() -> simulated.Scene:
    """Return a trial with a hostile string in every field that has one."""
    scene = simulated.Scene(
        HOSTILE,
        HOSTILE,
        {HOSTILE: HOSTILE, "n" * 5000: 1},
        {"base" + HOSTILE: 1.0, HOSTILE: 0.9, "x" * 5000: 1.1},
        quality={"base" + HOSTILE: 0.9, HOSTILE: 0.8},
        gpu={"throttled": [HOSTILE, {"a": 1}], "lowest_sm_clock_hz": HOSTILE},
        claims=[simulated.claim(HOSTILE, HOSTILE, "step_time_s", at_most=1.0)],
    )
    trouble = {"trial": scene.name, "arm": HOSTILE}
    scene.extra += [
        Failure(**trouble, stage=HOSTILE, what="raised", message=HOSTILE, traceback=HOSTILE * 1000),
        Absent(**trouble, reason=HOSTILE),
    ]
    return scene


def test_hostile_strings_are_shown_and_do_nothing(tmp_path: Path) -> None:
    machine = {"cpu": HOSTILE, HOSTILE: {"deep": [{HOSTILE: [HOSTILE]}]}, "gpus": [HOSTILE, {}]}
    path = simulated.write(
        tmp_path / "<b>&.jsonl", simulated.header(HOSTILE, machine), [hostile_scene()]
    )
    (tmp_path / "<script>.jsonl").write_text("no run\n")
    html = write_page(tmp_path, tmp_path / "r.html").read_text(encoding="utf-8")
    elements = Elements(html)
    assert path.exists()
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not {tag for tag, _ in elements.found} & {"img", "b"}
    assert not [k for _, attrs in elements.found for k in attrs if k.startswith("on")]
    assert not [v for v in elements.values("href") if v.startswith("javascript")]
    assert "alert(1)" in elements.text
    assert "{{7*7}}" in elements.text
    assert not set(html) & {"\x00", "\x1b", "\u202e"}
    assert html.count("x" * 5000) <= 40


def test_only_web_addresses_become_links() -> None:
    assert source("A (2020), T, https://a.org/x").link == "https://a.org/x"
    assert source("A (2020), T, https://a.org/x").says == "A (2020), T"
    assert source("A, T, javascript:alert(1)").link == ""
    assert source('A, T, https://a.org/"onclick="x').link == ""


def test_a_recipe_is_compared_field_by_field() -> None:
    old, new = simulated.declared(scenes.scenes()[3]).arms[:2]
    changed = [
        f"{line.sign}{line.code.strip()}" for line in difference(old, new) if line.sign > " "
    ]
    assert changed == ["−optimizer='plain',", "+optimizer='jit',"]


@pytest.mark.parametrize("code", ["", "def f(:", "f(1)", "(" * 3000, "\x00", "a\nb"])
def test_any_text_can_stand_where_code_is_expected(code: str) -> None:
    assert lines_of(code) == code.splitlines()


def test_break_even() -> None:
    assert break_even_steps(2.0, 0.001) == pytest.approx(2001)
    assert break_even_steps(2.0, 0.0) == float("inf")


def test_a_run_with_nothing_but_failures_has_a_page(tmp_path: Path) -> None:
    chosen = scenes.scenes()[4:]
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), chosen)
    text = Elements(page(reports.load(tmp_path))).text
    assert "invalid" in text
    assert "None was judged better or worse" in " ".join(text.split())


def test_a_run_without_trials_has_a_page(tmp_path: Path) -> None:
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [])
    assert "Nothing was measured in this run." in page(reports.load(tmp_path))


def test_a_page_that_cannot_be_written_is_an_error_in_three_parts(folder: Path) -> None:
    with pytest.raises(RecordError, match="the report can be written"):
        write_page(folder, folder)


def test_no_framework_is_imported(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from reports.page import write_page; import reports.terminal\n"
        "write_page(sys.argv[1], sys.argv[2])\n"
        "print(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(folder / "gpu.jsonl"), str(tmp_path / "r.html")]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
