"""The first screen says what to do; rows share one axis; machines are held apart by ratios."""

import math
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from keras_ab import reports
from keras_ab.bench.lab.judge.answers import Word
from keras_ab.bench.lab.record.records import Absent
from keras_ab.bench.lab.words.errors import Refusal
from keras_ab.reports.compare import apart, changes_between, unlike
from keras_ab.reports.forest import WIDTH, Forest, forest
from keras_ab.reports.machines import machines
from keras_ab.reports.page import page
from keras_ab.reports.sections import answers, claims, trial_views
from keras_ab.reports.summary import (
    IN_FULL,
    OF_SEVERAL,
    distance,
    groups,
    matrix,
    near,
    refuted,
    title,
    weight,
)
from keras_ab.reports.terminal import verdict_table
from tests.reports import simulated
from tests.reports.simulated import MIB, Scene, claim
from tests.reports.test_compare import sides, written

ARMS = {"plain": 1.0, "fast": 0.5, "faster": 0.25, "slow": 1.5, "small": 1.2, "like_it": 1.0}


def scene(name="trick", **changed):
    peak = dict.fromkeys(ARMS, 64 * MIB) | {"small": 16 * MIB}
    told = {"step": ARMS, "peak": peak, "noise": 0.005} | changed
    return Scene(name, "Does it help?", {"batch": 64}, **told)


@pytest.fixture
def rows(tmp_path):
    every, _ = trial_views(machines(reports.load([written(tmp_path, "a", [scene()])]).runs))
    return answers(every)


def test_arms_are_told_by_their_answer_the_most_telling_first(rows):
    found = {group.word: [line.title for line in group.lines] for group in groups(rows)}
    assert found[Word.GAIN] == ["Trick: the faster arm"]  # and not the same experiment's "fast"
    assert found[Word.TRADE] == ["Trick: the small arm"]
    assert found[Word.LOSS] == ["Trick: the slow arm"]
    assert found[Word.NO_DIFFERENCE] == []
    assert [group.count for group in groups(rows)] == [2, 1, 1, 1]


def test_a_yardstick_is_no_technique(rows):
    left = groups(replace(row, yardstick=row.answer.arm == "faster") for row in rows)
    assert [line.title for line in left[0].lines] == ["Trick: the fast arm"]


def test_a_trade_weighs_what_it_is_taken_for(rows):
    (small,) = (row.answer for row in rows if row.answer.arm == "small")
    assert weight(small) == pytest.approx(math.log(4))


def test_a_ratio_to_nothing_weighs_less_than_one_of_some_size(rows):
    fast = next(row.answer for row in rows if row.answer.arm == "fast")
    time, *others = fast.parts
    to_nothing = replace(
        time.finding, arm_value=0.0, estimate=replace(time.finding.estimate, point=-9.0)
    )
    alone = replace(fast, parts=(replace(time, finding=to_nothing), *others))
    assert 0 < weight(alone) < math.log(1.05)
    beside = replace(fast, parts=(replace(time, finding=to_nothing), time, *others))
    assert weight(beside) == pytest.approx(math.log(2), rel=0.05)


def test_several_machines_are_told_more_briefly(rows):
    named = [replace(row, experiment=f"e{n}") for n in range(9) for row in rows]
    alone, several = (
        {group.word: len(group.lines) for group in groups(told)}
        for told in (named, [*named, replace(named[0], machine="another")])
    )
    assert alone[Word.GAIN] == IN_FULL[Word.GAIN] > several[Word.GAIN] == OF_SEVERAL[Word.GAIN]


def test_titles_are_words(rows):
    row = replace(rows[0], experiment="data_echoing", telling="edge=28")
    assert title(row) == "Data echoing (edge=28): the fast arm"
    assert len(title(replace(row, says="word " * 50))) < 110
    assert title(replace(row, says="x" * 90)).endswith("xxx…")
    own = replace(row, says="keras_ab.kernels.rematerialisation.RematerialisedChain, √n segments")
    assert title(own).endswith(": RematerialisedChain, √n segments")


def test_what_is_open_or_absent_is_named_with_what_it_takes(tmp_path):
    told = Refusal("a GPU is there", "none", "run it on a machine with one")
    absent = {"trial": "gone[batch=64]", "reason": str(told)}
    gone = scene("gone", blocks=0, end="absent")
    gone.extra = [
        Absent(**absent, arm="fast", refusal=told),
        *(Absent(**absent, arm=arm) for arm in ARMS if arm not in ("fast", "plain")),
    ]
    noisy = scene("noisy", step=dict.fromkeys(ARMS, 1.0), noise=0.3, peak={})
    every, _ = trial_views(machines(reports.load([written(tmp_path, "a", [gone, noisy])]).runs))
    found = {group.word: group for group in groups(answers(every))}
    (missing,) = found[Word.NOT_MEASURED].named
    assert (missing.title, missing.arms, missing.needs) == ("Gone", 5, told.do)
    assert [named.title for named in found[Word.UNDECIDED].named] == ["Noisy"]
    html = page(reports.load(tmp_path))
    assert told.do in html[html.index('id="summary"') : html.index('id="answers"')]


@pytest.mark.parametrize(("noise", "some"), [(0.3, False), (0.03, True)])
def test_of_undecided_arms_those_are_counted_that_are_nearly_alike(tmp_path, noise, some):
    unclear = scene("unclear", step=dict.fromkeys(ARMS, 1.01), noise=noise, peak={})
    runs = reports.load([written(tmp_path, "a", [unclear])])
    every, _ = trial_views(machines(runs.runs))
    answered = [row.answer for row in answers(every)]
    steps = [a.part("time").finding.estimate for a in answered if a.word is Word.UNDECIDED]
    inside = sum(-math.log(1.05) < e.low and e.high < math.log(1.05) for e in steps)
    assert bool(inside) == some
    says = f"of {inside} the step time lies within ±5 % of the baseline’s" if some else ""
    assert near(answered) == says
    table = " ".join(verdict_table(runs.runs[0]).split())
    assert says in page(runs)
    assert says in table
    assert ("undecided;" in table) == some


def test_the_claims_that_are_farthest_off_come_first_one_of_each_experiment(tmp_path):
    bounds = {"trick.near": 0.45, "trick.far": 0.1, "other.near": 0.45}
    scenes = [
        scene(name, claims=[claim(c, "fast", "step_time_s", at_most=bounds[c]) for c in own])
        for name, own in (("trick", ("trick.near", "trick.far")), ("other", ("other.near",)))
    ]
    every, _ = trial_views(machines(reports.load([written(tmp_path, "a", scenes)]).runs))
    found = refuted(claims(every))
    assert [c.claim.claim.id for c in found] == ["trick.far", "other.near", "trick.near"]
    assert distance(found[0].claim) == pytest.approx(math.log(5), rel=0.02)


def test_what_trials_share_is_said_once(tmp_path):
    names = ("one", "two", "three", "four")
    noisy = [scene(name, end="budget") for name in names]
    html = page(reports.load([written(tmp_path, "a", noisy)]))
    assert html.count("4 of 4 trials: the time budget was spent before") == 1
    assert 'class="line warned"' not in html
    html = page(reports.load([written(tmp_path, "b", [*noisy[:1], *map(scene, names[1:])])]))
    assert "of 4 trials: the time budget" not in html
    assert 'class="line warned"' in html


@pytest.mark.parametrize(("budget_s", "said"), [(5.0, 0), (300.0, 1)])
def test_of_a_quick_look_nobody_says_that_no_precision_was_reached(tmp_path, budget_s, said):
    head = simulated.header("a", budget_s=budget_s)
    simulated.write(tmp_path / "a.jsonl", head, [scene(end="budget")])
    assert page(reports.load(tmp_path)).count("was spent before the asked precision") == said


def test_marks_lie_on_one_axis_with_no_difference_in_its_middle(rows):
    found = [p.finding for row in rows for p in row.answer.parts if p.finding]
    axis = forest(found)
    marks = [axis.mark(f) for f in found]
    for finding, mark in zip(found, marks, strict=True):
        assert 0 <= mark.low <= mark.point <= mark.high <= WIDTH
        if not mark.beyond:
            expected = WIDTH / 2 * (1 + 0.94 * finding.estimate.point / axis.reach)
            assert mark.point == pytest.approx(expected, abs=0.06)
    assert Forest(axis.reach).mark(None) is None
    assert [name for _, name in axis.ticks][1] == "1×"


def test_an_axis_ends_where_most_lie(rows):
    (fast,) = (row.answer.part("time").finding for row in rows if row.answer.arm == "fast")
    far = replace(fast, estimate=replace(fast.estimate, point=9.0))
    assert forest([far] * 10).mark(far).beyond
    assert not forest([fast] * 10).mark(fast).beyond


def test_what_is_worth_more_on_another_machine_comes_first(tmp_path):
    a = written(tmp_path, "a", [scene()])
    b = written(tmp_path, "b", [scene(step=ARMS | {"fast": 0.6, "slow": 3.0})], 1)
    found = apart(*sides(a, b))
    (first, second) = (c for c in found.changes if c.after.metric.name == "step_time_s")
    assert (first.arm, second.arm) == ("slow", "fast")
    assert math.exp(first.estimate.point) == pytest.approx(2, rel=0.02)
    assert math.exp(second.estimate.point) == pytest.approx(1.2, rel=0.02)
    html = page(reports.load([a, b]))
    assert "What a technique is worth on" in html


def test_the_matrix_begins_with_what_machines_disagree_on(tmp_path):
    a = written(tmp_path, "a", [scene()])
    b = written(tmp_path, "b", [scene(step=ARMS | {"slow": 0.5})], 1)
    every, _ = trial_views(machines(reports.load([a, b]).runs))
    found = matrix(answers(every))
    assert [len(across.on) for across in found] == [2] * 5
    assert [across.title for across in found if not across.agree] == ["Trick: the slow arm"]
    assert found[0].title == "Trick: the slow arm"
    assert 'class="matrix"' in page(reports.load([a, b]))


def test_arms_of_other_code_are_not_held_against_each_other(tmp_path):
    renamed = scene(step={f"{arm}_": x for arm, x in ARMS.items()}, peak={})
    pair = [
        written(tmp_path, "a", [scene(), scene("same")]),
        written(tmp_path, "b", [renamed, scene("same", step=ARMS | {"fast": 1.5})], 1),
    ]
    assert {k.experiment for k in unlike(sides(*pair))} == {"trick"}
    html = page(reports.load(pair))
    assert "1 trial not held against each other" in html
    assert "1 answer flips from machine to machine" in html


def test_the_first_screen_says_what_differs_between_machines(tmp_path):
    pair = [
        written(tmp_path, "a", [scene()]),
        written(tmp_path, "b", [scene(step=ARMS | {"slow": 3.0})], 1),
    ]
    html = page(reports.load(pair))
    first = html[html.index('id="summary"') : html.index('id="answers"')]
    assert 'aria-label="Simulated processor B, 8 cores against Simulated processor A' in first
    assert re.search(r"Trick: the slow arm.*?step time .*?3\.\d+×.*?, not .*?1\.5\d× ", first, re.S)


def test_the_identical_pairs_are_drawn_on_the_first_screen(tmp_path):
    html = page(reports.load([written(tmp_path, "a", [scene(str(n)) for n in range(4)])]))
    (drawn,) = re.findall(r'<svg class="pairs".*?</svg>', html, re.S)
    heights = [tuple(map(float, pair)) for pair in re.findall(r"M\d+ ([\d.]+)V([\d.]+)", drawn)]
    assert len(heights) == 4
    assert all(0 <= high <= low <= 24 for high, low in heights)


def test_machines_alike_are_told_apart_no_more_often_than_holm_allows(tmp_path):
    trials = 60
    false = 0
    for seed in range(trials):
        pair = [_run(tmp_path, f"{seed}-{side}", 2 * seed + n) for n, side in enumerate("ab")]
        false += bool(apart(*sides(*pair)).changes)
    assert false <= 8  # 5 % of 60 are 3; more than 8 come about once in 200


def test_the_interval_of_a_ratio_of_ratios_covers_its_truth(tmp_path):
    covered = []
    for seed in range(120):
        rng = random.Random(seed)
        truth = {side: 0.8 * math.exp(rng.gauss(0, 0.2)) for side in "ab"}
        pair = [
            _run(tmp_path, f"c{seed}-{side}", 1000 + 2 * seed + n, jit=truth[side], noise=noise)
            for n, (side, noise) in enumerate((("a", 0.01), ("b", 0.03)))
        ]
        (step,) = changes_between(*sides(*pair), ["step_time_s"])
        true = math.log(truth["b"] / truth["a"])
        covered.append(step.estimate.low <= true <= step.estimate.high)
    assert 0.90 <= sum(covered) / len(covered) <= 0.99


def _run(folder: Path, name: str, seed: int, *, jit: float = 0.8, noise: float = 0.02) -> Path:
    told = Scene("jit", "?", {"batch": 64}, step={"plain": 1.0, "jit": jit}, noise=noise, blocks=6)
    return written(folder, name, [told], seed=seed)
