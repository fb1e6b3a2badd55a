"""What of a forgery is caught: ``python -m tests.studies.detection``.

Forges sentences, pages and runs in every way that `forgeries` knows, each `TRIES` times, and writes
into docs/what-is-caught.md how many of them are caught by what a reader has at hand.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from keras_ab import reports
from keras_ab.bench.lab.record.imported import Imported
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.citing import cite, quotables
from keras_ab.reports.integrity import copies, doubts
from keras_ab.reports.page import write_page
from keras_ab.reports.signatures import signer
from keras_ab.reports.verify import verify
from tests.reports import simulated
from tests.studies.forgeries import PAGES, RUNS, SENTENCES, seal_anew, write_forged
from tests.studies.tables import between, fill

TRIES = 10
PAGE = Path(__file__).parents[2] / "docs" / "what-is-caught.md"


@dataclass(frozen=True)
class Scenery:
    """A true run, signed, with what was made of it before anybody forged anything."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def run(self) -> Path:
        return self.runs / "true.jsonl"

    @property
    def page(self) -> Path:
        return self.folder / "page.html"

    @property
    def document(self) -> Path:
        """Every sentence that can be cited from the run."""
        return self.folder / "document.md"

    @property
    def sentence(self) -> str:
        """The sentence that is forged."""
        return cite(reports.load(self.run).runs, "/jit/step_time_s").sentence("markdown")

    @property
    def signers(self) -> Path:
        return self.folder / "allowed_signers"


def scenery(folder: Path) -> Scenery:
    """Simulate a run, quote it, and sign it."""
    made = Scenery(folder)
    claims = [simulated.claim("jit.faster", "jit", "step_time_s", at_most=1.0)]
    scene = simulated.Scene(
        "jit",
        "Does XLA make a step faster?",
        {"batch": 64},
        {"plain": 1.0, "jit": 0.8},
        claims=claims,
    )
    files = {"bench_jit.py": "a" * 64, "model.py": "b" * 64}
    scene.extra = [Imported(trial=scene.name, arms=list(scene.step), files=files)]
    simulated.write(made.run, simulated.header("true"), [scene])
    write_page(made.run, made.page)
    cited = [each.sentence("markdown") for each in quotables(reports.load(made.run).runs)]
    made.document.write_text("\n\n".join(cited), encoding="utf-8")
    _sign(made)
    return made


def _sign(made: Scenery) -> None:
    key = made.folder / "key"
    for command in (
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)],
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "keras-ab", "-f", str(key), str(made.run)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    made.signers.write_text(f"alice@example.org {key.with_suffix('.pub').read_text()}")


def _complains(document: Path, runs: Path) -> bool:
    """Tell whether verify finds anything."""
    try:
        return any(entry.state != "holds" for entry in verify(document, runs))
    except RecordError:
        return True


def _shows_it(run: Path) -> bool:
    """Tell whether a run alone shows that it was altered: it is refused, or its page has doubts."""
    try:
        runs = reports.load(run).runs
    except RecordError:
        return True
    found = [doubt for r in runs for t in r.trials for doubt in doubts(t.data, t.plan)]
    return bool(found or copies(runs) or any(run.run.notices for run in runs))


def _is_nobodys(run: Path, signers: Path) -> bool:
    """Tell whether a run lacks a good signature."""
    try:
        signer(run, signers)
    except RecordError:
        return True
    return False


Caught = list[bool]
Forge = Callable[[str, Random], str]


def forged_text(true: str, forge: Forge, target: Path, runs: Path, dice: Random) -> Caught:
    """Forge a sentence or page; tell whether the true run gives it away."""
    forged = forge(true, dice)
    assert forged != true
    target.write_text(forged, encoding="utf-8")
    return [_complains(target, runs)]


def forged_run(made: Scenery, name: str, dice: Random) -> Caught:
    """Forge a run; tell whether its old seal gives it away; sealed anew, what else does."""
    place = made.folder / "forged"
    place.mkdir(exist_ok=True)
    forged = place / "true.jsonl"
    write_forged(made.run, forged, RUNS[name], dice)
    sealed_before = _shows_it(forged)
    seal_anew(forged)
    (place / "true.jsonl.sig").write_bytes((made.runs / "true.jsonl.sig").read_bytes())
    older = _complains(made.document, place) and _complains(made.page, place)
    return [sealed_before, older, _shows_it(forged), _is_nobodys(forged, made.signers)]


Row = tuple[str, list[str]]


def _counted(name: str, tries: int, attempt: Callable[[Random], Caught]) -> Row:
    """Return how often one kind of forgery is caught, by each means."""
    caught = [attempt(Random(f"{name}/{number}")) for number in range(tries)]
    return name, [f"{sum(column)} of {tries}" for column in zip(*caught, strict=True)]


def tables(made: Scenery, tries: int = TRIES) -> dict[str, list[Row]]:
    """Return the rows of each table."""
    target = made.folder / "forged.txt"

    def texts(true: str, kinds: Mapping[str, Forge]) -> Iterator[Row]:
        for name, forge in kinds.items():
            yield _counted(
                name, tries, lambda dice, f=forge: forged_text(true, f, target, made.runs, dice)
            )

    return {
        "sentences": list(texts(made.sentence, SENTENCES)),
        "pages": list(texts(made.page.read_text(encoding="utf-8"), PAGES)),
        "runs": [_counted(n, tries, lambda dice, n=n: forged_run(made, n, dice)) for n in RUNS],
    }


HEADINGS = {
    "sentences": ("what is changed in a sentence", "the run is at hand"),
    "pages": ("what is changed in a page", "the run is at hand"),
    "runs": (
        "what is changed in a run",
        "its seal left as it was",
        "sealed anew, an older sentence or page at hand",
        "sealed anew, nothing else at hand",
        "sealed anew, signed before",
    ),
}


def markdown(name: str, rows: list[Row]) -> str:
    """Return a table."""
    head = HEADINGS[name]
    lines = [head, ("---",) * len(head), *((row, *cells) for row, cells in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written(name: str) -> list[Row]:
    """Return the rows of a table as they were committed."""
    found = between(name).search(PAGE.read_text(encoding="utf-8"))
    assert found, name
    rows = [line.strip("| ").split(" | ") for line in found[0].splitlines()[2:]]
    return [(row, cells) for row, *cells in rows]


def main() -> None:
    """Make the tables anew and write them into the page."""
    with tempfile.TemporaryDirectory() as folder:
        made = tables(scenery(Path(folder)))
    for name, rows in made.items():
        fill(PAGE, name, markdown(name, rows))
    print(PAGE)


if __name__ == "__main__":
    main()
