"""The comment for a review says what the page says, and verify finds one altered digit."""

import re
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.command_line import main
from keras_ab.reports.comment import comment
from keras_ab.reports.page import page
from tests.reports import simulated
from tests.reports.test_compare import written
from tests.reports.test_page import Elements
from tests.reports.test_summary import ARMS, scene


@pytest.fixture
def review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    written(tmp_path, "a", [scene()])
    assert main(["comment", str(tmp_path)]) == 0
    path = tmp_path / "review.md"
    path.write_text(f"Dear all,\n\n{capsys.readouterr().out}\nYours\n", encoding="utf-8")
    return path


def verified(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["verify", str(path), "--runs", str(path.parent)])
    return status, capsys.readouterr().out


def test_it_holds(review, capsys):
    assert verified(review, capsys) == (0, "holds: the comment on run a\n")


def test_its_numbers_are_the_first_screens(review):
    runs = reports.load(review.parent)
    shown = " ".join(Elements(page(runs)).text.split())
    lines = [line for line in comment(runs).splitlines() if line.startswith("- ")]
    assert len(lines) == 3
    for number in re.findall(r"\d\.\d+× \\\[[\d., ]+\\\]", " ".join(lines)):
        assert number.replace("\\", "") in shown


def test_every_altered_digit_is_found(review, capsys):
    whole = review.read_text(encoding="utf-8")
    begun = whole.index("###")
    places = [m.start() for m in re.finditer(r"\d", whole) if m.start() > begun]
    assert len(places) > 50
    for place in places:
        digit = str((int(whole[place]) + 1) % 10)
        review.write_text(whole[:place] + digit + whole[place + 1 :], encoding="utf-8")
        status, out = verified(review, capsys)
        assert status == 1, whole[place - 20 : place + 20]
        assert "altered" in out


def test_another_run_is_missing(review, capsys):
    (review.parent / "a.jsonl").unlink()
    written(review.parent, "b", [scene()])
    status, out = verified(review, capsys)
    assert status == 1
    assert "run missing" in out


def test_what_became_worse_is_told_with_its_line_of_gate(tmp_path):
    written(tmp_path, "a", [scene()])
    assert "worse than in run" not in comment(reports.load(tmp_path))
    written(tmp_path, "b", [scene(step=ARMS | {"fast": 0.6})], seed=5)
    said = comment(reports.load(tmp_path))
    assert "**worse than in run a** (`keras-ab gate --baseline a --run b`):" in said
    assert re.search(r"- trick, batch=64: `fast`, step time 0\.6\d+× .*, not 0\.5\d+× ", said)


def test_what_became_worse_on_another_machine_of_the_name_is_told_so(tmp_path):
    steps = ({"fast": 0.5}, {"fast": 0.6})
    for (name, memory), step in zip((("a", 2**35), ("b", 2**36)), steps, strict=True):
        head = simulated.header(name, simulated.MACHINE | {"memory_bytes": memory})
        simulated.write(tmp_path / f"{name}.jsonl", head, [scene(step=ARMS | step)])
    told = "- not the same machine: `machine.memory_bytes: '32.0 GiB' → '64.0 GiB'`\n"
    assert told in comment(reports.load(tmp_path))
