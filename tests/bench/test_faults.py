"""Whatever goes wrong in an arm is recorded as that, and the rest goes on."""

import sys
from pathlib import Path

import pytest

from keras_ab.bench.lab.judge.findings import claim_findings, findings
from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.record.run_file import read_run
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import group
from keras_ab.bench.lab.words.plan import Plan

EXPERIMENTS = Path(__file__).parent / "experiments"
PLAN = Plan(min_blocks=5, max_blocks=5, rounds=4, sample_time_s=1e-4)


def ignore(_line, _data):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    session = Session.begin(folder, "plain", PLAN)
    file = str(EXPERIMENTS / "bench_faults.py")
    for name in ("faults", "unfair", "misspelt", "baseline_fails"):
        session.measure(Task(file, name, "only", "plain", session.plan), ignore)
    tiny = str(EXPERIMENTS / "bench_tiny.py")
    session.measure(Task(tiny, "tiny", "scale:1", "plain", session.plan), ignore)
    session.close(seal=True)
    return read_run(session.path)


@pytest.fixture(scope="module")
def trials(run):
    return group(run.records)


@pytest.mark.parametrize(
    ("arm", "what", "message"),
    [
        ("raises", "raised", "ValueError: this arm cannot be built"),
        ("raises_later", "raised", "IndexError: pop from an empty deque"),
        ("hangs", "timed out", "no answer within its time limit of 2.5 s"),
        ("killed", "killed", "the process was killed by SIGKILL"),
        ("out_of_memory", "raised", "MemoryError"),
        ("not_a_number", "not finite", "NaN or infinity in what the last step returned"),
    ],
)
def test_each_fault_is_recorded_as_what_it_was(trials, arm, what, message):
    (failure,) = [f for f in trials["faults[only]"].failures if f.arm == arm]
    assert failure.what == what
    assert message in failure.message


def test_a_traceback_names_the_line(trials):
    (failure,) = [f for f in trials["faults[only]"].failures if f.arm == "raises"]
    assert 'raise ValueError("this arm cannot be built")' in failure.traceback


def test_no_record_tells_where_its_owner_keeps_things(run):
    told = "".join(record.model_dump_json() for record in run.records)
    owned = (Path.cwd(), Path(sys.prefix), Path(sys.base_prefix), Path.home(), EXPERIMENTS)
    assert not [folder for folder in owned if f"{folder}/" in told]
    assert 'File \\"tests/bench/experiments/bench_faults.py\\"' in told
    assert 'File \\"keras_ab/bench/lab/worker/serving.py\\"' in told


def test_the_other_arms_are_measured_all_the_same(run, trials):
    data = trials["faults[only]"]
    assert data.end.reason in ("precise", "max_blocks")
    assert {f.arm for f in findings(data, run.header.plan)} >= {"fine"}
    assert len(data.blocks) == 5
    assert set(data.blocks[4].values) == {"good", "control", "fine"}


def test_an_arm_that_this_machine_cannot_carry_out_is_no_failure(trials):
    data = trials["faults[only]"]
    assert [a.arm for a in data.absences] == ["absent"]
    assert "quantum computer" in data.why_not("absent")


def test_a_broken_guard_ends_the_trial_without_a_verdict(run, trials):
    data = trials["unfair[only]"]
    assert [(c.arm, round(c.relative_error, 6)) for c in data.broken] == [("cheats", 0.01)]
    assert data.end.reason == "guard"
    assert not data.rounds
    assert findings(data, run.header.plan) == []


def test_a_misspelt_guard_is_refused_and_no_arm_blamed(trials):
    data = trials["misspelt[only]"]
    (failure,) = data.failures
    assert failure.arm is None
    assert (failure.refusal.received, failure.refusal.do) == ("'anwser'", "use one of answer")
    assert (data.end.reason, data.rounds, data.checks) == ("failed", {}, [])


def test_a_baseline_that_fails_ends_the_trial(trials):
    data = trials["baseline_fails[only]"]
    assert data.end.reason == "failed"
    assert data.failures[0].arm == "raises"


def test_claims_come_out_one_way_or_another(run, trials):
    outcomes = {
        c.claim.id: str(c.outcome) for c in claim_findings(trials["tiny[scale:1]"], run.header.plan)
    }
    assert outcomes["tiny.slower"] == "confirmed"
    assert outcomes["tiny.smaller"] == "refuted"
    assert outcomes["tiny.device"] == "not measured here"


def test_an_experiment_for_another_backend_is_not_measured_here(tmp_path):
    session = Session.begin(tmp_path, "plain", PLAN)
    labels = str(Path(__file__).parents[2] / "bench" / "bench_labels.py")
    case = "classes:1000-batch:256-width:512"
    data = session.measure(Task(labels, "labels", case, "plain", session.plan), ignore)
    session.close(seal=True)
    assert data.end.reason == "absent"
    assert "runs on tensorflow" in data.why_not("one_hot")
    assert {str(c.outcome) for c in claim_findings(data, session.header.plan)} == {
        "not measured here"
    }


def test_a_changed_environment_invalidates_what_is_measured_after_it(tmp_path, monkeypatch):
    session = Session.begin(tmp_path, "plain", PLAN)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    tiny = str(EXPERIMENTS / "bench_tiny.py")
    data = session.measure(Task(tiny, "tiny", "scale:1", "plain", session.plan), ignore)
    session.close(seal=True)
    (failure,) = data.failures
    assert failure.what == "environment changed"
    assert "TF_ENABLE_ONEDNN_OPTS: None → '0'" in failure.message
