"""What a reader should know before trusting a number: a cause, and what to do about it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.records import End, Round
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.reports import identical, integrity
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.machines import throttled

BUSY_CORES = 0.1
"""Median cores in use by others that call for a warning; an idle desktop shows 0.02."""

MOSTLY = 0.5
"""Share of a step for which the host hands it over to a GPU that calls for a warning."""


@dataclass(frozen=True)
class Caution:
    """One warning.

    Args:
        says: what a reader should know.
        do: what can be done about it.
        common: what to say once where most trials have it; "" where each says its own.
    """

    says: str
    do: str = ""
    common: str = ""


SHARED = 0.5
"""The share of trials from which on a warning is said once, for all of them."""


def shared(found: Sequence[Sequence[Caution]], fewest: int = 3) -> dict[str, int]:
    """Return the warnings that so many trials share that they are said once, with their number.

    Args:
        found: the warnings of each trial.
        fewest: how many trials it takes at least.
    """
    counted = Counter(c.common for own in found for c in own if c.common)
    enough = max(fewest, SHARED * len(found))
    return {common: n for common, n in counted.items() if n >= enough}


def of_all(run: JudgedRun) -> list[Caution]:
    """Return what is to be said once of a run alone: its own, and what most of its trials share."""
    own = [list(of_trial(trial)) for trial in run.trials]
    does = {c.common: c.do for cautions in own for c in cautions}
    every = len(own)
    found = of_run(run, {})
    for says, n in shared(own, fewest=1).items():
        found.append(Caution(f"{n} of {every} trials: {says}" if every > 1 else says, does[says]))
    return found


def of_run(run: JudgedRun, copies: Mapping[str, list[str]]) -> list[Caution]:
    """Return the warnings that touch every number of a run.

    Args:
        run: the run.
        copies: see `integrity.copies`.
    """
    do = "" if run.run.sealed else "continue it with --ab-resume"
    found = [Caution(notice, do) for notice in run.run.notices]
    if any(record.kind == "resumed" for record in run.run.records):
        found.append(Caution("the run was cut off once and continued later"))
    controls = identical.of_run(run)
    if controls and controls.is_more_than_chance:
        found.append(
            Caution(
                f"this run told its own identical arms apart too often: {controls.says}",
                "trust no difference of the size of these, end other programs and measure again",
            )
        )
    if others := copies.get(run.header.run):
        found.append(
            Caution(
                f"one content under two ids: samples of it are in run {integrity.listed(others)}",
                "ask who measured them which run is the true one",
            )
        )
    git = run.header.conditions.get("git")
    if isinstance(git, dict) and git.get("dirty"):
        found.append(
            Caution(
                "keras-ab's code had changes that were not committed, so the commit below is not "
                "quite what was measured",
                "commit, then measure again before you cite these numbers",
            )
        )
    return found


def of_trial(trial: JudgedTrial) -> list[Caution]:
    """Return the warnings that touch one trial."""
    return [
        *_doubts(trial),
        *_blocks(trial),
        *_others(trial),
        *_gpu(trial),
        *_hand_over(trial),
        *_floor(trial),
        *_rates(trial),
    ]


def _doubts(trial: JudgedTrial) -> Iterator[Caution]:
    for doubt in integrity.doubts(trial.data, trial.plan):
        yield Caution(f"not as the lab writes it: {doubt}", "ask for the file as it was measured")


def _judged_rounds(trial: JudgedTrial) -> list[Round]:
    return [line for n in trial.data.blocks for line in trial.data.rounds.get(n, [])]


def _blocks(trial: JudgedTrial) -> Iterator[Caution]:
    data, done = trial.data, len(trial.data.blocks)
    unfinished = sum(len(lines) for n, lines in data.rounds.items() if n not in data.blocks)
    needed = max(5, trial.plan.min_blocks)
    if data.rounds and done < needed:
        yield Caution(
            f"{text.count(done, 'block')} finished; below {needed} nothing is concluded",
            "let the trial run to its end",
            f"fewer than {needed} blocks finished: nothing is concluded",
        )
    if unfinished:
        yield Caution(
            f"{text.count(unfinished, 'round')} of a block that did not finish: shown, not judged"
        )
    if data.end is None:
        yield Caution("the run ended in the middle of this trial", "continue it with --ab-resume")
    elif data.end.reason in ("budget", "max_blocks") and trial.plan.asks_for_precision:
        yield _imprecise(trial, data.end)


def _imprecise(trial: JudgedTrial, end: End) -> Caution:
    spent = "time budget" if end.reason == "budget" else "number of blocks"
    asked = text.beyond(math.log1p(trial.plan.precision), "ratio")
    done, wanted = len(trial.data.blocks), end.blocks_wanted
    far = f": {done} of {wanted} blocks" if wanted and wanted > done else ""
    return Caution(
        f"the {spent} was spent before the asked precision of {asked} was reached{far}",
        "look harder (--ab-look; try: --budget), or quieten the machine",
        f"the {spent} was spent before the asked precision of {asked} was reached",
    )


def _others(trial: JudgedTrial) -> Iterator[Caution]:
    looked = (line.others_cpu_cores for line in _judged_rounds(trial))
    loads = [cores for cores in looked if cores is not None]
    if loads and median(loads) > BUSY_CORES:
        yield Caution(
            f"other processes kept {text.number(median(loads), 2)} cores busy in the median round; "
            "the arms took turns, which protects the ratio from what lasts; but the longer of two "
            "samples is interrupted more often, intervals are wider and times longer",
            "end other programs and measure again",
            "other programs kept more than a tenth of a core busy",
        )


def _gpu(trial: JudgedTrial) -> Iterator[Caution]:
    rounds = _judged_rounds(trial)
    slowed = [reasons for line in rounds if (reasons := throttled(line))]
    if slowed:
        yield Caution(
            f"the GPU was slowed down in {len(slowed)} of {len(rounds)} rounds "
            f"({', '.join(sorted(set(slowed)))})",
            "cool it, or fix its clocks below the limit with nvidia-smi --lock-gpu-clocks",
        )
    clocks = [
        hertz
        for line in rounds
        if isinstance(hertz := (line.gpu or {}).get("lowest_sm_clock_hz"), int | float)
    ]
    if clocks and min(clocks) < 0.95 * median(clocks):
        lowest, usual = (text.fact("clock_hz", x) for x in (min(clocks), median(clocks)))
        yield Caution(f"the GPU's clock fell to {lowest} in some round; its median was {usual}")


def _hand_over(trial: JudgedTrial) -> Iterator[Caution]:
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for line in _judged_rounds(trial):
        for arm, seconds in (line.hand_over_s or {}).items():
            if arm in line.step_time_s:
                shares[arm].append(seconds / line.step_time_s[arm])
    for arm, found in shares.items():
        if median(found) > MOSTLY:
            yield Caution(
                f"in {text.number(100 * median(found), 2)} % of a step's time, the host was still "
                f"handing {arm} over to the GPU: what was timed is the host more than the GPU",
                "take a larger case, or trust this for small ones only",
            )


def _rates(trial: JudgedTrial) -> Iterator[Caution]:
    """Name the arms whose learning rate is at an end of the grid: their best may lie beyond."""
    lines = trial.data.learned
    tried = {r for x in lines if x.purpose == "tuning" for r in x.learning_rate.values()}
    chosen = {arm: r for x in lines if x.purpose == "judged" for arm, r in x.learning_rate.items()}
    ends = {min(tried), max(tried)} if len(tried) > 1 else set()
    if at_an_end := [f"{arm} ({rate:g})" for arm, rate in chosen.items() if rate in ends]:
        yield Caution(
            "the best learning rate was the lowest or the highest of those tried, so that a better "
            f"one may lie beyond, of {', '.join(at_an_end)}",
            "add rates to the experiment's learning_rates",
            "an arm's best learning rate was the lowest or the highest of those tried",
        )


def _floor(trial: JudgedTrial) -> Iterator[Caution]:
    step = next((f for f in trial.findings if f.metric.name == STEP_TIME.name), None)
    if step and step.thresholds.floor > step.thresholds.margin:
        floor, margin = (
            text.beyond(x, "ratio") for x in (step.thresholds.floor, step.thresholds.margin)
        )
        yield Caution(
            f"two copies of the baseline lay {floor} from their mean, more than the margin of "
            f"{margin}: differences within that are this machine's noise",
            "end other programs, and fix the clock governor to performance",
            "two copies of the baseline lay further apart than the margin",
        )
