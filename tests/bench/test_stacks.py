"""Techniques together, on simulated machines where the truth is known."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from keras_ab.bench.lab.judge import verdicts
from keras_ab.bench.lab.judge.contrasts import contrast
from keras_ab.bench.lab.judge.stacks import (
    Stack,
    Together,
    best_corner,
    effects,
    parts,
    predicted,
)
from keras_ab.bench.lab.judge.verdicts import Thresholds, Verdict
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.own.experiments import corners
from tests.bench.machine import MACHINES

PLAN = Plan(min_blocks=5)
LIMITS = Thresholds(0.0, math.log1p(PLAN.margin), 5)
REPETITIONS = 200

ALONE = {"a": math.log(0.7), "b": math.log(0.8), "c": math.log(0.75), "d": math.log(0.85), "e": 0.0}
TOGETHER = {("c", "d"): math.log(1.15)}
"""By construction: a and b multiply, c and d compete, e does nothing."""


def truth(corner, alone=ALONE, together=TOGETHER):
    """Return the true log ratio of a corner."""
    pairs = (value for pair, value in together.items() if set(pair) <= corner)
    return sum(alone[t] for t in corner) + sum(pairs)


def measured(rng, machine, wanted, blocks=5, rounds=12, alone=ALONE, together=TOGETHER):
    """Measure corners as the lab does, beside two copies of the baseline ``(blocks, corners)``."""
    moved = [0.0, 0.0, *(truth(corner, alone, together) for corner in wanted)]
    table = MACHINES[machine].blocks(rng, blocks, rounds, len(moved)) + np.array(moved)
    return np.array(
        [
            [contrast(x[:, 2 + k], [x[:, 0], x[:, 1]]) if c else 0.0 for k, c in enumerate(wanted)]
            for x in table
        ]
    )


def stack(rng, machine="quiet", techniques="abcde", **more):
    wanted = [frozenset(corner) for corner in corner_names(techniques)]
    return Stack(tuple(techniques), tuple(wanted), measured(rng, machine, wanted, **more))


def corner_names(techniques):
    """Return what `corners` does, for techniques that are letters."""
    sizes = range(len(techniques) + 1)
    even = len(techniques) > 4
    return [c for n in sizes if not (even and n % 2) for c in combinations(techniques, n)]


def true_effect(term, techniques="abcde"):
    """Return the effect of one or two techniques, on the average over the others."""
    others = [t for t in techniques if t not in term]
    rest = [frozenset(c) for n in range(len(others) + 1) for c in combinations(others, n)]
    signs = {c: (-1) ** (len(term) - len(c)) for n in range(3) for c in combinations(term, n)}
    found = [sum(sign * truth(r | set(c)) for c, sign in signs.items()) for r in rest]
    return sum(found) / len(found)


def test_two_techniques_by_hand():
    """Alone a is 2, b 3, both 10: on the average a brings (2 + 10 - 3) / 2, together 10 - 2 - 3."""
    wanted = tuple(map(frozenset, ("", "a", "b", "ab")))
    found = Stack(("a", "b"), wanted, np.array([[0.0, 2.0, 3.0, 10.0]]))
    assert found.term(("a",)) == pytest.approx([4.5])
    assert found.term(("b",)) == pytest.approx([5.5])
    assert found.term(("a", "b")) == pytest.approx([5.0])
    assert found.corner(frozenset("ab")) == pytest.approx([10.0])


@pytest.mark.parametrize("techniques", ["ab", "abc", "abcd", "abcde"])
def test_every_effect_is_told_by_the_corners_that_are_measured(techniques):
    wanted = [frozenset(c) for c in corner_names(techniques)]
    exact = np.array([[truth(corner) for corner in wanted]])
    found = Stack(tuple(techniques), tuple(wanted), exact)
    for term in found.terms[1:]:
        assert found.term(term) == pytest.approx([true_effect(term, techniques)]), term
    every = [frozenset(c) for n in range(6) for c in combinations(techniques, n)]
    for corner in every:
        assert found.corner(corner) == pytest.approx([truth(corner)]), corner


def test_five_techniques_take_as_many_corners_as_four():
    names = ("xla", "bfloat16", "executions_8", "sparse_labels", "byte_inputs")
    assert len(corners(names)) == len(corners(names[:4])) == 16
    assert all(len(corner) % 2 == 0 for corner in corners(names))


@pytest.mark.parametrize("names", [("bfloat16", "float16"), ("native_adam", "adafactor")])
def test_techniques_that_exclude_each_other_are_no_stack(names):
    with pytest.raises(DeclarationError, match="change different things"):
        corners(names)


def test_a_corner_that_failed_takes_with_it_only_what_it_alone_told():
    wanted = [frozenset(c) for c in corner_names("abc")]
    kept = tuple(c for c in wanted if c != frozenset("ab"))
    found = Stack(tuple("abc"), kept, np.array([[truth(c) for c in kept]]))
    assert found.term(("a", "c")) == pytest.approx([true_effect(("a", "c"))])
    fewer = tuple(c for c in kept if c != frozenset("abc"))
    left = Stack(tuple("abc"), fewer, np.array([[truth(c) for c in fewer]]))
    assert left.term(("a", "b")) is None
    assert left.corner(frozenset("ab")) is None


@pytest.mark.parametrize("machine", ["quiet", "drifting", "skewed", "one core busy"])
def test_a_planted_truth_is_found(machine):
    """Effects within their intervals in 93 % at the least, wrong words in 5 % at the most."""
    rng = np.random.default_rng(sorted(MACHINES).index(machine))
    inside, wrong, pairs, all_told = 0, 0, 0, 0
    for _ in range(REPETITIONS):
        for effect in effects(stack(rng, machine), PLAN, LIMITS):
            true = true_effect(effect.techniques)
            all_told += 1
            inside += effect.estimate.low <= true <= effect.estimate.high
            if effect.word:
                pairs += 1
                right = Together.COMPETE if effect.techniques == ("c", "d") else Together.MULTIPLY
                wrong += effect.word not in (right, Together.UNDECIDED)
    assert inside / all_told >= 0.93
    assert wrong / pairs <= 0.05


def test_what_competes_is_called_so_where_the_machine_lets_one_see_it():
    rng = np.random.default_rng(1)
    words = [{e.techniques: e.word for e in effects(stack(rng), PLAN, LIMITS)} for _ in range(50)]
    assert sum(found["c", "d"] is Together.COMPETE for found in words) >= 45
    assert sum(found["a", "b"] is Together.HELP for found in words) <= 3


def test_many_words_are_corrected_for_their_number():
    """Ten pairs that all multiply: in 5 % of repetitions at most is any called otherwise."""
    rng = np.random.default_rng(2)
    null = dict.fromkeys("abcde", 0.0)
    tight = replace(LIMITS, margin=1e-4)
    any_wrong = sum(
        any(
            e.word in (Together.COMPETE, Together.HELP)
            for e in effects(stack(rng, alone=null, together={}), PLAN, tight)
        )
        for _ in range(REPETITIONS)
    )
    assert any_wrong / REPETITIONS <= 0.08  # 5 %, and three standard errors of 200 repetitions less


def test_the_best_stack_comes_out_as_it_was_foretold():
    rng = np.random.default_rng(3)
    held = right = 0
    for _ in range(REPETITIONS):
        crossed = stack(rng)
        best = best_corner(crossed)
        right += best >= {"a", "b"}
        again = measured(rng, "quiet", [best])
        foretold = predicted(crossed, best, PLAN)
        held += foretold.low <= again.mean() <= foretold.high
    assert held / REPETITIONS >= 0.9
    assert right == REPETITIONS


@pytest.mark.parametrize("names", ["abcd", "abcde"])
def test_what_is_foretold_holds_at_its_level(names):
    """The fit of all corners is surer than the measurement of one, of which it is foretold."""
    rng, wanted, held, many = np.random.default_rng(8), corner_names(names), 0, 500
    wanted = [frozenset(corner) for corner in wanted]
    for _ in range(many):
        luck = rng.normal(0, 0.02, (6, 5, len(wanted) + 2))
        ratios = luck[0, :, 2:] - luck[0, :, :2].mean(axis=1, keepdims=True)
        ratios[:, 0] = 0.0  # the baseline against itself
        foretold = predicted(Stack(tuple(names), tuple(wanted), ratios), frozenset(names), PLAN)
        again = (luck[1, :, 2] - luck[1, :, :2].mean(axis=1)).mean()
        held += foretold.low <= again <= foretold.high
    assert 0.95 - 2 * 0.01 <= held / many <= 0.985  # two standard errors of 500; never narrower


def test_the_winner_is_too_lucky_where_it_won_and_no_longer_in_fresh_blocks():
    rng = np.random.default_rng(4)
    null = dict.fromkeys("abcd", 0.0)
    won, again = [], []
    for _ in range(REPETITIONS):
        crossed = stack(rng, techniques="abcd", alone=null, together={})
        means = crossed.ratios.mean(axis=0)
        winner = crossed.corners[int(np.argmin(means))]
        won.append(means.min())
        fresh = measured(rng, "quiet", [winner or frozenset("a")], alone=null, together={})
        again.append(fresh.mean())
    assert np.mean(won) < -0.005
    assert abs(np.mean(again)) < 3 * np.std(again) / math.sqrt(REPETITIONS)


def test_what_a_part_still_brings_is_the_stack_against_the_stack_without_it():
    wanted = tuple(map(frozenset, ("", "cd", "c", "d")))
    exact = np.array([[truth(corner) for corner in wanted]] * 5)
    noise = np.random.default_rng(5).normal(0, 1e-4, exact.shape)
    crossed = Stack(("c", "d"), wanted, exact + noise)
    found = {part.technique: part for part in parts(crossed, PLAN, LIMITS)}
    assert found["c"].estimate.point == pytest.approx(ALONE["c"] + math.log(1.15), abs=1e-3)
    assert found["d"].estimate.point == pytest.approx(ALONE["d"] + math.log(1.15), abs=1e-3)
    assert found["d"].verdict is Verdict.BETTER


def test_verdicts_of_effects_are_those_of_the_judge():
    found = effects(stack(np.random.default_rng(6), techniques="ab"), PLAN, LIMITS)
    for effect in found:
        assert effect.verdict is verdicts.judge(effect.estimate, LIMITS)
