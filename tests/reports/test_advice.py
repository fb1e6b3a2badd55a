"""Advice on a reader's own model: what it says, what it rests on, and that it can be verified."""

import re
from dataclasses import replace

import pytest

from keras_ab import reports
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.declared import GuardRecord
from keras_ab.bench.lab.record.records import Failure, GuardCheck, Notice
from keras_ab.bench.lab.record.run_file import encode
from keras_ab.bench.lab.words.metrics import MEASURED, STEP_TIME
from keras_ab.reports import cautions
from keras_ab.reports.advice import advice, written
from keras_ab.reports.citing import WHOLE, cite, quotables
from keras_ab.reports.closing import close
from keras_ab.reports.filled import filled
from keras_ab.reports.judged import multiplicity
from keras_ab.reports.markdown import escape
from keras_ab.reports.page import page, write_page
from keras_ab.reports.verify import verify
from tests.reports.simulated import ACCURACY, Scene, header, write
from tests.reports.subjects import CONFIRMED, CROSSED, SINGLES, scene


@pytest.fixture
def run(tmp_path):
    """Return a run file of all that a subject goes through."""
    trials = [
        scene("train_make_singles", SINGLES, first_step={"xla": 4.0}),
        scene("train_make_stack", CROSSED),
        scene("train_make_confirmed", CONFIRMED),
    ]
    return write(tmp_path / "run.jsonl", header("a"), trials)


@pytest.fixture
def sentences(run):
    (found,) = advice(reports.load(run).runs[0].trials)
    assert found.subject == "train.py:make"
    return found.sentences


def test_it_begins_with_the_stack_that_was_confirmed(sentences):
    first = str(sentences[0])
    assert first.startswith("If it learns as well: xla and bfloat16: step time 0.6")
    assert sentences[0].paste == "write_stack()"


def test_each_technique_has_its_sentence(sentences):
    by_arm = {s.arm: s for s in sentences if s.trial.startswith("train_make_singles")}
    assert by_arm["xla"].verb == "Use"
    assert by_arm["recompute"].verb == "Not"
    assert by_arm["bfloat16"].verb == "If it learns as well"
    assert "what is learnt was not judged" in by_arm["bfloat16"].says
    assert "judged" not in by_arm["xla"].says + by_arm["recompute"].says
    assert by_arm["cache"].verb in ("No difference", "Undecided")
    assert by_arm["xla"].paste == "write_xla()"


def test_a_longer_first_step_says_when_it_is_paid_back(sentences):
    (xla,) = (s for s in sentences if s.arm == "xla" and s.trial.startswith("train_make_singles"))
    assert "paid back after" in xla.says


def test_a_first_step_that_is_longer_by_chance_is_not_paid_back(tmp_path):
    for seed in range(4):
        trial = scene("train_make_singles", SINGLES, first_step={"xla": 1.01})
        path = write(tmp_path / f"{seed}.jsonl", header("a"), [trial], first_seed=seed)
        (found,) = advice(reports.load(path).runs[0].trials)
        assert "paid back" not in str(found.sentences)


def test_what_is_weak_among_so_many_is_advised_as_such_and_after_what_is_not(tmp_path):
    arms = {name: SINGLES[name] for name in ("as_it_is", "xla", "recompute")}
    verbs = set()
    for seed in range(12):
        trial = scene("train_make_singles", arms | {"prefetch": (("prefetch",), 0.965)})
        trial.noise, trial.peak = 0.02, {"xla": 1.2}
        path = write(tmp_path / f"{seed}.jsonl", header("a"), [trial], first_seed=seed)
        (judged,) = reports.load(path).runs[0].trials
        (found,) = advice([judged])
        step = judged.find("prefetch", STEP_TIME.name)
        if step.verdict is not Verdict.BETTER:
            continue
        (own,) = (s for s in found.sentences if s.arm == "prefetch")
        stands = multiplicity([judged], 0.95).survives(step)
        assert (own.verb == "Use") is stands
        assert ("though weak among" in own.says) is not stands
        order = [s.arm for s in found.sentences]
        assert order == (["prefetch", "xla"] if stands else ["xla", "prefetch"]) + ["recompute"]
        verbs.add(own.verb)
    assert verbs == {"Use", "Perhaps"}


def test_what_saves_memory_and_may_take_longer_is_advised_with_a_perhaps(tmp_path):
    arms, seen = {"as_it_is": ((), 1.0), "recompute": (("recompute",), 1.015)}, set()
    for seed in range(40):
        trial = scene("train_make_singles", arms)
        trial.noise, trial.peak = 0.02, {"recompute": 0.8}
        path = write(tmp_path / f"{seed}.jsonl", header("a"), [trial], first_seed=seed)
        (judged,) = reports.load(path).runs[0].trials
        step = judged.find("recompute", STEP_TIME.name)
        if step.verdict is Verdict.INCONCLUSIVE:
            (own,) = advice([judged])[0].sentences
            longer = step.estimate.low > 0
            assert own.verb == ("Perhaps" if longer else "Use")
            seen.add(longer)
    assert seen == {True, False}


def test_what_matters_most_comes_first(tmp_path):
    arms = {"as_it_is": ((), 1.0), "cache": (("cache",), 0.9), "xla": (("xla",), 0.5)}
    path = write(tmp_path / "run.jsonl", header("a"), [scene("train_make_singles", arms)])
    (found,) = advice(reports.load(path).runs[0].trials)
    assert [(s.verb, s.arm) for s in found.sentences] == [("Use", "xla"), ("Use", "cache")]


@pytest.mark.parametrize(("times", "told"), [(1.6, True), (1.05, False)])
def test_memory_of_the_whole_process_is_told_where_it_moved(tmp_path, times, told):
    trial = scene("train_make_singles", SINGLES)
    trial.host = {"xla": times}
    path = write(tmp_path / "run.jsonl", header("a"), [trial])
    (found,) = advice(reports.load(path).runs[0].trials)
    (xla,) = (s for s in found.sentences if s.arm == "xla")
    assert (f"host memory, code and compiler included, {times:.2f}×" in xla.says) is told


def test_the_terminal_wraps_advice_and_writes_what_to_write_for_a_trade_too(tmp_path):
    trial = scene("train_make_singles", SINGLES)
    trial.peak = {"xla": 1.5}
    path = write(tmp_path / "run.jsonl", header("a"), [trial])
    (found,) = advice(reports.load(path).runs[0].trials)
    lines = written([found]).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  A trade: xla: ") for line in lines)
    assert "          write_xla()" in lines


def test_what_failed_after_it_was_timed_is_not_advised(tmp_path):
    trial = scene("train_make_singles", SINGLES)
    names = {"trial": trial.name, "arm": "xla", "stage": "quality"}
    trial.extra = [Failure(**names, what="not finite", message="the outcome of seed 4 is NaN")]
    path = write(tmp_path / "run.jsonl", header("a"), [trial])
    runs = reports.load(path)
    (found,) = advice(runs.runs[0].trials)
    (xla,) = (s for s in found.sentences if s.arm == "xla")
    why = "not finite during quality: the outcome of seed 4 is NaN"
    assert (str(xla), xla.paste) == (f"Failed: xla: {why}", "")
    told = cite(runs.runs, f"xla/{WHOLE}").sentence("plain")
    assert f"in one word: failed ({why}; step time 0.7" in told
    html = page(runs)
    assert html.index("failed") < html.index(why)


def test_what_is_learnt_and_has_no_ratio_was_not_judged_for_that(tmp_path):
    trial = scene("train_make_singles", SINGLES)
    loss = replace(ACCURACY, title="validation loss", scale="ratio", better="less")
    trial.quality = dict.fromkeys(SINGLES, -0.5)
    told = {"metrics": [STEP_TIME, loss, *MEASURED[1:]], "quality": loss.name}
    trial.declared_as = trial.declared_as.model_copy(update=told)
    runs = reports.load(write(tmp_path / "run.jsonl", header("a"), [trial]))
    (found,) = advice(runs.runs[0].trials)
    (low,) = (s for s in found.sentences if s.arm == "bfloat16")
    why = "it came out at 0 or less, of which there is no ratio"
    assert low.verb == "If it learns as well"
    assert low.says.endswith(f"what is learnt was not judged: {why}")
    html = page(runs)
    assert f"Quality: not measured, {why}." in html
    assert f"not measured, {why}</span>" in html


def test_what_limits_is_told(sentences):
    (data,) = (s for s in sentences if s.verb == "Data")
    assert "no technique on the device saves the rest" in data.says


def test_what_techniques_do_together_is_told_in_words(sentences):
    (pair,) = (s for s in sentences if s.verb == "Together")
    assert pair.says.startswith("xla and bfloat16 compete: both take 1.2")
    assert sum(s.verb == "Predicted" for s in sentences) == 1


def test_what_no_longer_brings_anything_is_left_out(sentences):
    still = {s.told.techniques[0]: s.says for s in sentences if s.verb == "In the stack"}
    assert "it still brings something" in still["xla"]
    assert "still brings something" not in still["bfloat16"]


def test_workloads_of_ours_get_no_advice(tmp_path):
    arms = {"plain": 1.0, "fast": 0.5}
    ours = Scene("trick", "Does it help?", {"batch": 64}, arms)
    path = write(tmp_path / "run.jsonl", header("a"), [ours])
    assert advice(reports.load(path).runs[0].trials) == []
    assert "Advice" not in page(reports.load(path))


def test_the_page_begins_with_it_and_verifies(run, tmp_path):
    target = write_page(run, tmp_path / "report.html")
    html = target.read_text()
    assert html.index("Advice for train.py:make") < html.index("In short")
    assert [str(entry.state) for entry in verify(target, run)] == ["holds"]


def test_every_sentence_of_a_stack_can_be_cited_and_verified(run, tmp_path):
    runs = reports.load(run).runs
    together = [q for q in quotables(runs) if q.told]
    assert {q.told.kind for q in together} == {"together", "predicted", "still"}
    for form in ("plain", "markdown", "latex"):
        document = tmp_path / f"{form}.md"
        document.write_text("\n\n".join(q.sentence(form) for q in together))
        checked = verify(document, run)
        assert [entry.state for entry in checked] == ["holds"] * len(together)
    spoilt = document.read_text().replace("compete", "multiply")
    assert spoilt != document.read_text()
    document.write_text(spoilt)
    assert "altered" in {entry.state for entry in verify(document, run)}
    assert cite(runs, "xla:bfloat16/together") in together


def test_a_broken_promise_is_told_without_the_rest(tmp_path):
    broken = scene("train_make_singles", SINGLES)
    guard = GuardRecord(observed="loss", tolerance=1e-3, says="same loss", arms=[])
    broken.declared_as = broken.declared_as.model_copy(update={"guards": [guard]})
    name = broken.declared_as.trial
    broken.guard_error = 0.0
    broken.extra = [
        GuardCheck(trial=name, arm="xla", observed="loss", finite=True, relative_error=0.5)
    ]
    path = write(tmp_path / "run.jsonl", header("a"), [broken])
    (found,) = advice(reports.load(path).runs[0].trials)
    assert [str(s) for s in found.sentences] == ["Left out: xla: same loss? Off by 5.0e−01"]


def test_a_page_on_a_model_of_ones_own_is_called_by_it_and_has_no_claims(run, tmp_path):
    html = page(reports.load(run))
    assert "train.py:make, singles: the xla arm" in html
    assert "Train make" not in html
    assert 'href="#claims"' not in html
    assert 'id="claims"' not in html
    ours = Scene("trick", "Does it help?", {"batch": 64}, {"plain": 1.0, "fast": 0.5})
    other = page(reports.load(write(tmp_path / "ours.jsonl", header("b"), [ours])))
    assert 'href="#claims"' in other
    assert 'id="claims"' in other


def test_advice_counts_the_comparisons_that_the_page_counts(tmp_path):
    arms = {"as_it_is": ((), 1.0), "prefetch": (("prefetch",), 0.965)}
    others = [Scene(f"o{n}", "?", {"n": n}, {"a": 1.0, "b": 1.0}) for n in range(6)]
    counted = set()
    for seed in range(12):
        trial = scene("train_make_singles", arms)
        trial.noise = 0.02
        path = write(tmp_path / f"{seed}.jsonl", header("a"), [trial, *others], first_seed=seed)
        runs = reports.load(path)
        told = re.findall(r"weak among (\d+) comparisons", page(runs))
        (odds,) = re.findall(r"(\d+) comparisons had noise in them", page(runs))
        assert set(told) <= {odds}
        assert set(re.findall(r"among (\d+) comp", str(advice(runs.runs[0].trials)))) == set(told)
        counted |= set(told)
    assert counted


def test_the_terminal_ends_with_it(run):
    told = close(run)
    assert "a step of 4 batches" in told
    assert "advice for train.py:make" in told
    assert "write_stack()" in told


def test_what_was_found_beside_the_trials_is_told_and_is_no_warning(tmp_path):
    path = write(tmp_path / "run.jsonl", header("a"), [], seal=False)
    lines, said = path.read_bytes(), "Largest batch of <b>mine</b>, as it is: 64 fits, 128 does not"
    notice = Notice(at="2026-01-02T03:04:05+00:00", message=said, finding=True)
    path.write_bytes(lines + encode(notice))
    terminal, html = close(path), path.with_suffix(".html").read_text(encoding="utf-8")
    assert said in terminal.partition("warnings")[0]
    assert said.replace("<", "&lt;").replace(">", "&gt;") in html
    assert all("Largest" not in c.says for c in cautions.of_run(reports.load(path).runs[0], {}))


def test_advice_is_written_subject_by_subject(run):
    found = advice(reports.load(run).runs[0].trials)
    assert written(found).splitlines()[0] == "advice for train.py:make"


def test_a_document_gets_the_advice_that_the_page_begins_with(run, sentences):
    document = f"Before.\n<!-- advice: {run.name} -->\nStale.\n<!-- end of advice -->\nAfter.\n"
    made = filled(document, run.parent)
    assert "Stale" not in made
    assert made.startswith("Before.\n")
    assert made.endswith("After.\n")
    told = [" ".join(item.split()) for item in re.split(r"\n(?=- \*\*)", made)[1:]]
    assert len(told) == len(sentences)
    for item, sentence in zip(told, sentences, strict=True):
        assert item.startswith(f"- **{sentence.verb}**: {escape(sentence.says, 2000)}")
    assert "  ```text\n  write_stack()\n  ```\n" in made
    assert filled(made, run.parent) == made
