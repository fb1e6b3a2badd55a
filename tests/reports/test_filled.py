"""Tables in a document are filled from a run, and the README's are."""

import hashlib
import json
import math
import re
from datetime import datetime
from pathlib import Path

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.records import Resumed, Seal
from keras_ab.bench.lab.record.run_file import encode
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports.citing import cite
from keras_ab.reports.filled import ADVICE, BLOCK, QUOTED, filled
from keras_ab.reports.loading import load
from tests.reports import scenes, simulated

ROOT = Path(__file__).parents[2]
DOCUMENT = """Before.

<!-- run: r.jsonl -->
| Anything | `{experiment}/{arm}` | 9.99× |
<!-- end of run -->
After.
"""


@pytest.fixture
def document(tmp_path: Path) -> str:
    """Return a document beside a run, with a row for the first arm of its first trial."""
    scene = scenes.scenes()[0]
    simulated.write(tmp_path / "r.jsonl", simulated.header("r"), [scene])
    arm = list(scene.step)[1]
    return DOCUMENT.format(experiment=scene.experiment, arm=arm)


def test_the_table_of_the_readme_is_what_its_run_gives() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(BLOCK.findall(readme)) == 1
    assert filled(readme, ROOT) == readme


def test_a_row_gets_what_the_run_found(document: str, tmp_path: Path) -> None:
    path = tmp_path / "review.md"
    path.write_text(document)
    assert main(["fill", str(path)]) == 0
    made = path.read_text()
    assert "9.99×" not in made
    (trial,) = load(tmp_path).runs[0].trials
    step = trial.find(trial.answered[0], "step_time_s")
    assert step
    assert f"| {text.compact(step)} {step.verdict} |" in made
    assert f"/{trial.answered[0]}` against `{trial.data.baseline}` |" in made
    assert made.startswith("Before.")
    assert made.endswith("After.\n")
    assert filled(made, tmp_path) == made


def test_numbers_and_sentences_are_what_cite_gives(document: str, tmp_path: Path) -> None:
    (run,) = load(tmp_path).runs
    (trial,) = run.trials
    wanted = f"{trial.answered[0]}/step_time_s"
    written = (
        f"It takes <!-- number: r.jsonl {wanted} -->9.99×<!-- end --> the time, in short:\n\n"
        f"<!-- sentence: r.jsonl {wanted} -->\n> It is 9.99×.\n<!-- end -->\n"
    )
    made = filled(written, tmp_path)
    step = trial.find(trial.answered[0], "step_time_s")
    assert step
    assert "9.99×" not in made
    assert f"-->{text.compact(step)}<!-- end --> the time" in made
    quoted = made.partition("sentence: ")[2]
    lines = [line for line in quoted.splitlines() if line.startswith("> ")]
    assert " ".join(line[2:] for line in lines) == cite([run], wanted).sentence("markdown")
    assert max(map(len, lines)) <= 100 or any(" " not in line[2:] for line in lines)
    assert filled(made, tmp_path) == made
    path = tmp_path / "review.md"
    path.write_text(made)
    assert main(["verify", str(path), "--runs", str(tmp_path)]) == 0


def test_what_was_traced_is_told_of_the_steps_in_the_run(tmp_path: Path) -> None:
    name = "profiled-cpu-xeon-2-cores.jsonl"
    records = map(json.loads, (ROOT / "examples" / name).read_text().splitlines())
    traced = [r for r in records if r["kind"] == "profile" and "recompute" in r["trial"]]
    was, now = (next(r for r in traced if r["arm"] == arm) for arm in ("keep", "sqrt_segments"))
    written = f"x <!-- profile: {name} sqrt_segments/step_time_s --><!-- end -->\n"
    made = " ".join(filled(written, ROOT / "examples").replace("\n> ", " ").split())
    assert made.startswith("x ")
    assert "`sqrt_segments` against `keep`" in made
    together = 100 * (now["step"]["step_time_s"] / was["step"]["step_time_s"] - 1)
    plain = 100 * (now["untraced_step_time_s"] / was["untraced_step_time_s"] - 1)
    found = re.search(r"Together \+(\S+) %.* without the profiler \+(\S+) %", made)
    assert found
    assert [float(x) for x in found.groups()] == pytest.approx([together, plain], rel=0.01)
    took = [{o["operation"]: o for o in r["step"]["operations"]} for r in (was, now)]
    nothing = {"time_s": 0.0, "calls": 0.0}
    grew = {
        kind: took[1].get(kind, nothing)["time_s"] - took[0].get(kind, nothing)["time_s"]
        for kind in {**took[0], **took[1]}
    }
    most = max(grew, key=lambda kind: abs(grew[kind]))
    said = re.search(r"Most of it is `(\S+)`: \+?(\S+) %, (\S+) calls a step for (\S+)\.", made)
    assert said
    assert said[1] == most
    share = 100 * grew[most] / was["step"]["step_time_s"]
    calls = [took[i].get(most, nothing)["calls"] for i in (1, 0)]
    assert [float(x) for x in said.groups()[1:]] == pytest.approx([share, *calls], rel=0.01)


def test_what_a_whole_run_took_is_told_of_it(document: str, tmp_path: Path) -> None:
    (run,) = load(tmp_path).runs
    written = "".join(
        f"<!-- {form}: r.jsonl -->9.99<!-- end -->\n" for form in ("id", "minutes", "half-width")
    )
    made = filled(written, tmp_path)
    *_, seal = (tmp_path / "r.jsonl").read_text().splitlines()
    began, ended = (datetime.fromisoformat(x) for x in (run.header.started, json.loads(seal)["at"]))
    assert f"-->`{run.header.run}`<!--" in made
    assert f"-->{(ended - began).total_seconds() / 60:.0f} minutes<!--" in made
    widths = [t.find(arm, "step_time_s").estimate for t in run.trials for arm in t.answered]
    ratios = sorted(math.exp(estimate.half_width) - 1 for estimate in widths)
    half = len(ratios) // 2
    middle = (ratios[half] + ratios[-1 - half]) / 2
    assert float(made.partition("±")[2].partition(" %")[0]) == pytest.approx(100 * middle, rel=0.01)


def test_what_a_run_cannot_tell_is_refused_in_three_parts(document: str, tmp_path: Path) -> None:
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:-1]))
    resumed = encode(Resumed(at=json.loads(lines[-1])["at"], conditions={}))
    body = b"".join([*lines[:-1], resumed])
    seal = Seal(at=json.loads(lines[-1])["at"], sha256=hashlib.sha256(body).hexdigest())
    (tmp_path / "paused.jsonl").write_bytes(body + encode(seal))
    one = [line for line in lines[:-1] if b'"block":' not in line or b'"block":0' in line]
    (tmp_path / "one.jsonl").write_bytes(b"".join(one))
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        head = simulated.header(name)
        simulated.write(tmp_path / "two" / f"{name}.jsonl", head, [scenes.scenes()[0]])
    for asked, must in (
        ("minutes: cut.jsonl", "made in one go"),
        ("minutes: paused.jsonl", "made in one go"),
        ("half-width: one.jsonl", "has intervals"),
        ("id: two", "of one run"),
    ):
        with pytest.raises(RecordError, match=must):
            filled(f"x <!-- {asked} -->1<!-- end -->", tmp_path)


def test_what_is_not_whole_is_refused_and_nothing_of_it_is_lost(
    document: str, tmp_path: Path
) -> None:
    table = "<!-- run: r.jsonl -->\n| a technique | {} | |\n{}"
    for written in (
        "Took <!-- id: r.jsonl -->x.\n\nMore.\n\nIt is <!-- id: r.jsonl -->x<!-- end -->.",
        "Took <!-- minutes: r.jsonl -->x.",
        "Took <!-- number: r.jsonl -->x<!-- end -->.",
        f"{table.format('`a/b`', '')}\n{document}",
        table.format("`Labels/One`", "<!-- end of run -->"),
        table.format("labels/one", "<!-- end of run -->"),
    ):
        path = tmp_path / "review.md"
        path.write_text(written)
        assert main(["fill", str(path)]) == 2
        assert path.read_text() == written


@pytest.mark.parametrize("wanted", ["no_such/step_time_s", "answer"])
@pytest.mark.parametrize("form", ["number", "profile"])
def test_a_number_that_the_run_lacks_is_refused(
    wanted: str, form: str, document: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordError):
        filled(f"x <!-- {form}: r.jsonl {wanted} -->1<!-- end -->", tmp_path)


def test_what_was_not_traced_is_refused(document: str, tmp_path: Path) -> None:
    (trial,) = load(tmp_path).runs[0].trials
    wanted = f"{trial.answered[0]}/step_time_s"
    with pytest.raises(RecordError, match="an arm that was traced"):
        filled(f"x <!-- profile: r.jsonl {wanted} -->1<!-- end -->", tmp_path)


MADE_WHOLE = "two-machines.md"  # by a command of its own, which a test of its own repeats
DOCUMENTS = [
    *(path for path in (ROOT / "docs").glob("*.md") if path.name != MADE_WHOLE),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "kernels/native/README.md")),
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_ratio_with_an_interval_is_filled_from_a_run(path: Path) -> None:
    document = path.read_text(encoding="utf-8")
    by_hand = QUOTED.sub("", ADVICE.sub("", BLOCK.sub("", document)))
    assert not re.findall(r"\d[\d.]*× \\?\[", by_hand)
    begun = re.findall(r"^ *<!-- (?:number|id|minutes|half-width): .*", document, re.MULTILINE)
    assert not begun  # Markdown would take the line for HTML, and end its paragraph there
    assert filled(document, path.parent) == document


def test_a_row_that_the_run_lacks_leaves_the_document_as_it_was(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "review.md"
    path.write_text(document.replace("/", "/no_such_"))
    before = path.read_text()
    assert main(["fill", str(path)]) == 2
    assert "what to do: correct the row" in capsys.readouterr().err
    assert path.read_text() == before


@pytest.mark.parametrize("held", ["no table", None])
def test_what_cannot_be_filled_is_refused(held: str | None, tmp_path: Path) -> None:
    path = tmp_path / "review.md"
    if held:
        path.write_text(held)
    assert main(["fill", str(path)]) == 2


def test_a_run_that_is_not_there_is_refused(document: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError):
        filled(document.replace("r.jsonl", "s.jsonl"), tmp_path)
