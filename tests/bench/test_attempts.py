"""What a source says to write is tried once, and whatever happens is a result."""

from itertools import islice

import pytest

from keras_ab import command_line
from keras_ab.bench.lab.judge.findings import claim_findings
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.invocation import EXPERIMENTS, benchmark

FILE = str(EXPERIMENTS / "bench_attempts.py")
TASK = Task(FILE, "attempts", "only", "plain", Plan())


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attempts")
    result = benchmark(folder, FILE)
    (path,) = (folder / "runs").glob("*.jsonl")
    return result, read_run(path), path.with_suffix(".html").read_text()


@pytest.fixture(scope="module")
def trial(door):
    _, run, _ = door
    return group(run.records)["attempts[only]"]


@pytest.mark.parametrize(
    ("arm", "name", "what", "message"),
    [
        ("one", "save", "works", ""),
        ("two", "save", "raised", "TypeError: a KerasTensor is symbolic"),
        ("one", "embed", "ran", "0 of 3 weights are tracked"),
        ("", "hang", "timed out", "no answer within its time limit of 0.5 s"),
        ("", "die", "killed", "the process was killed by SIGSEGV"),
        ("two", "draw", "not measured here", "pydot draws models"),
    ],
)
def test_what_happened_is_recorded_word_for_word(trial, arm, name, what, message):
    found = trial.attempt(arm, name)
    assert found.what == what
    assert message in found.message
    assert bool(message) == bool(found.message)


def test_nothing_is_timed_and_the_guards_are_checked(trial):
    assert trial.end.reason == "not timed"
    assert not trial.rounds
    assert not trial.blocks
    assert [(check.arm, trial.holds(check)) for check in trial.checks] == [
        ("one", True),
        ("two", True),
    ]


def test_claims_on_attempts_are_judged_by_what_happened(trial):
    outcomes = {c.claim.id: (str(c.outcome), c.reason) for c in claim_findings(trial, {})}
    assert outcomes["attempts.one-saves"] == ("confirmed", "it works")
    assert outcomes["attempts.two-saves"] == (
        "refuted",
        "raised: TypeError: a KerasTensor is symbolic",
    )
    assert outcomes["attempts.two-cannot"][0] == "confirmed"
    assert outcomes["attempts.one-embeds"] == ("refuted", "ran: 0 of 3 weights are tracked")
    assert outcomes["attempts.two-draws"][0] == "not measured here"
    assert outcomes["attempts.waits"][0] == "confirmed"


def test_no_attempt_is_red(door):
    result, run, _ = door
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
    assert run.sealed


def test_the_terminal_shows_progress_claims_and_crashes(door):
    shown = " ".join(door[0].stdout.split())
    assert "two: save it: raised" in shown
    assert "one: not timed" in shown
    assert "refuted: " in shown
    assert "raised: TypeError" in shown
    assert "killed: attempts, tried “write to a null pointer”: the process was killed" in shown


def test_the_page_has_the_table_of_what_was_tried(door):
    _, _, page = door
    for words in ("What was tried", "a KerasTensor is symbolic", "wait for ever", "pip install"):
        assert words in page
    assert "1 of 2 attempts work" in page


def test_list_shows_attempts_and_claims_on_them(capsys):
    assert command_line.main(["list", "--folder", str(EXPERIMENTS), "attempts"]) == 0
    shown = capsys.readouterr().out
    assert "two.save: save it" in shown
    assert "two-cannot: Two cannot be saved. (save of two does not work)" in shown


def test_what_was_tried_is_not_tried_again_when_a_run_is_continued():
    server = ForkServer("plain")
    before = list(islice(measure_trial(TASK, server), 6))  # and code, two guards, two attempts
    again = measure_trial(TASK, server, before)
    tried = [line.name for line in again if line.kind == "attempt"]
    server.close()
    assert [line.name for line in before[4:]] == ["save", "save"]
    assert tried == ["embed", "hang", "die", "draw"]


def test_a_claim_on_what_was_never_tried_is_not_measured(trial):
    (claim, *_) = claim_findings(group([trial.declared])["attempts[only]"], {})
    assert (str(claim.outcome), claim.reason) == ("not measured here", "it was not tried")
