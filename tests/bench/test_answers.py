"""The word for the whole, from the words for time, memory, quality and energy."""

import itertools
from dataclasses import replace

import pytest

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Word, answers, whole
from keras_ab.bench.lab.judge.findings import findings, why_nothing
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.records import Absent, Failure
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.plan import Plan
from tests.bench.experiments import bench_tiny
from tests.reports import simulated

B, W, E, I = Verdict.BETTER, Verdict.WORSE, Verdict.EQUIVALENT, Verdict.INCONCLUSIVE  # noqa: E741
PLAN = Plan(min_blocks=5)


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        ([B], "gain"),
        ([B, E], "gain"),
        ([B, I], "gain"),
        ([B, W], "trade"),
        ([B, W, I, E], "trade"),
        ([W], "loss"),
        ([W, E, I], "loss"),
        ([E], "no difference"),
        ([E, E, E], "no difference"),
        ([E, I], "undecided"),
        ([I], "undecided"),
    ],
)
def test_the_sum_in_a_word(verdicts, word):
    for order in itertools.permutations(verdicts):
        assert whole(order) == word


def data(step=1.0, peak=1.0, quality=None, **more) -> TrialData:
    scene = simulated.Scene(
        "x", "?", {"n": 1}, {"base": 1.0, "arm": step}, peak={"arm": peak}, noise=0.004,
        quality=quality or {}, **more
    )  # fmt: skip
    (found,) = group(simulated.records(scene, 0)).values()
    return found


def answer(trial: TrialData):
    (found,) = answers(trial, findings(trial, PLAN))
    return found


@pytest.mark.parametrize(
    ("step", "peak", "quality", "word"),
    [
        (1.3, 0.5, None, "trade"),
        (0.8, 1.0, None, "gain"),
        (1.0, 1.0, None, "no difference"),
        (1.0, 1.3, None, "loss"),
        (0.8, 0.5, {"base": 0.95, "arm": 0.80}, "trade"),
    ],
)
def test_a_trial_is_summed_up(step, peak, quality, word):
    found = answer(data(step, peak, quality))
    assert found.word == word
    assert {p.dimension for p in found.measured} == {"time", "memory"} | (
        {"quality"} if quality else set()
    )


def test_the_purpose_comes_first_and_old_files_are_about_time():
    trial = data()
    assert trial.declared.purpose == "time"
    trial.declared = trial.declared.model_copy(update={"purpose": "memory"})
    assert [part.dimension for part in answer(trial).parts] == [
        "memory",
        "time",
        "quality",
        "energy",
    ]


def test_memory_is_the_host_s_where_nobody_counts_the_device_s():
    trial = data()
    for number, block in trial.blocks.items():
        left = {
            arm: {k: v for k, v in values.items() if k != "peak_device_memory_bytes"}
            for arm, values in block.values.items()
        }
        trial.blocks[number] = block.model_copy(update={"values": left})
    part = answer(trial).part("memory")
    assert part.finding.metric.name == "peak_host_memory_bytes"


def test_what_was_not_measured_says_why():
    found = answer(data())
    assert found.part("energy").word == found.part("quality").word == "not measured"
    assert "counter of energy" in found.part("energy").reason
    assert "trained" in found.part("quality").reason


def test_an_arm_without_findings_has_a_reason():
    absent = data(blocks=0, extra=[Absent(trial="x[n=1]", arm="arm", reason="no GPU")])
    assert (answer(absent).word, answer(absent).reason) == (Word.NOT_MEASURED, "no GPU")
    lost = Failure(trial="x[n=1]", arm="arm", stage="build", what="raised", message="Oh")
    failed = data(blocks=0, lost=("arm",), extra=[lost])
    assert answer(failed).word == Word.FAILED
    assert answer(data(guard_error=1.0)).word == Word.INVALID


@pytest.mark.parametrize("stage", ["quality", "end of block"])
def test_what_failed_after_it_was_timed_has_failed(stage):
    names = {"trial": "x[n=1]", "arm": "arm", "stage": stage}
    failure = Failure(**names, what="not finite", message="the outcome of seed 1 is NaN")
    failed = answer(data(step=0.6, extra=[failure]))
    assert failed.word == Word.FAILED
    assert failed.reason == f"not finite during {stage}: the outcome of seed 1 is NaN"
    assert failed.part("time").finding.verdict is B
    other = failure.model_copy(update={"arm": "other"})
    assert answer(data(step=0.6, extra=[other])).word == Word.GAIN


def test_what_is_nought_or_less_has_no_ratio():
    """Every ratio of two cosine similarities, clamped, would be one: "equivalent", "a gain"."""
    trial = data(step=0.8, quality={"base": -0.9, "arm": -0.5})
    metrics = [m if m.per != "seed" else replace(m, scale="ratio") for m in trial.declared.metrics]
    trial.declared = trial.declared.model_copy(update={"metrics": metrics})
    part = answer(trial).part("quality")
    assert part.finding is None
    assert part.reason == "it came out at 0 or less, of which there is no ratio"
    assert why_nothing(trial, trial.metric(trial.declared.quality), "arm") == part.reason


@pytest.mark.parametrize("purpose", ["speed", "quality"])
def test_a_purpose_is_a_dimension_that_is_measured(purpose):
    with pytest.raises(DeclarationError, match="purpose"):
        replace(bench_tiny.EXPERIMENT, purpose=purpose, quality=None)


def test_an_open_dimension_says_between_what_it_lies():
    scene = simulated.Scene("x", "?", {"n": 1}, {"base": 1.0, "arm": 1.01}, noise=0.08)
    (trial,) = group(simulated.records(scene, 3)).values()
    (step,) = [f for f in answer(trial).open if f.metric.name == "step_time_s"]
    low, high = step.shown(step.estimate.low), step.shown(step.estimate.high)
    assert low < 1 < high
    faster, slower = (text.number(100 * abs(x - 1), 2) for x in (low, high))
    assert text.left_open(step) == f"between {faster} % faster and {slower} % slower"
