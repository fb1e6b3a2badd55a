"""Tables in a document are filled from a run, and the README's are."""

from pathlib import Path

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.command_line import main
from keras_ab.reports.filled import BLOCK, filled
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
    assert made.startswith("Before.")
    assert made.endswith("After.\n")
    assert filled(made, tmp_path) == made


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
