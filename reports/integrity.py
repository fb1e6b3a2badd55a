"""What a run file shows of having been altered, though its seal be set anew.

The seal is not signed: whoever edits a run can seal it again. These are traces that an edit leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.record.orders import orders
from keras_ab.bench.lab.record.records import Block, End, Round
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports.judged import JudgedRun

MOST_ARMS = 50
"""Beyond this, no experiment is one, and balancing orders takes longer than a reader waits."""


def doubts(data: TrialData, plan: Plan) -> Iterator[str]:
    """Yield what in a trial the lab would not have written."""
    yield from _numbering(data)
    yield from _orders(data, plan)
    yield from _copies(data)
    yield from _missing(data)


def _numbering(data: TrialData) -> Iterator[str]:
    if sorted(data.rounds) != list(range(len(data.rounds))):
        yield "blocks are missing from the numbering"
    gaps = [
        block
        for block, rounds in data.rounds.items()
        if [line.round for line in rounds] != list(range(len(rounds)))
    ]
    if gaps:
        yield f"rounds are missing from the numbering of {text.count(len(gaps), 'block')}"
    kinds = [type(record) for record in data.records]
    if End in kinds and {Round, Block} & set(kinds[kinds.index(End) :]):
        yield "there are rounds or blocks after the trial's end"


def _orders(data: TrialData, plan: Plan) -> Iterator[str]:
    """Compare the order of every round with what the seed of the run makes of it.

    Where a process failed, the orders after that follow from when it did: not compared.
    """
    if data.failures or len(data.declared.arms) > MOST_ARMS:
        return
    lost = {absent.arm for absent in data.absences}
    active = [arm.name for arm in data.declared.arms if arm.name not in lost]
    others = 0
    for block, rounds in data.rounds.items():
        expected = orders(plan.seed, data.declared.trial, block, active)
        by_number = sorted(rounds, key=lambda line: line.round)
        others += any(line.order != next(expected) for line in by_number)
    if others:
        counted = text.count(others, "block")
        yield f"in {counted} the arms did not come in the order that the run's seed gives"


def _copies(data: TrialData) -> Iterator[str]:
    copied = sum(count - 1 for count in Counter(_samples(data)).values())
    if copied:
        yield f"{text.count(copied, 'block')} with the same samples as another"


def _samples(data: TrialData) -> Iterator[tuple[float, ...]]:
    """Yield the baseline's samples, block by block: no two blocks of the world have the same."""
    for rounds in data.rounds.values():
        if all(data.baseline in line.step_time_s for line in rounds):
            yield tuple(line.step_time_s[data.baseline] for line in rounds)


def copies(runs: Iterable[JudgedRun]) -> dict[str, list[str]]:
    """Return the runs that hold samples of another one, by id, each with the ids of the others."""
    owners: dict[tuple[float, ...], set[str]] = {}
    for run in runs:
        for trial in run.trials:
            for samples in _samples(trial.data):
                owners.setdefault(samples, set()).add(run.header.run)
    found: dict[str, set[str]] = {}
    for ids in (ids for ids in owners.values() if len(ids) > 1):
        for run_id in ids:
            found.setdefault(run_id, set()).update(ids - {run_id})
    return {run_id: sorted(others) for run_id, others in found.items()}


def listed(ids: list[str], most: int = 3) -> str:
    """Return the ids of runs in a few words."""
    more = len(ids) - most
    return ", ".join(ids[:most]) + (f" and {more} more" if more > 0 else "")


def _missing(data: TrialData) -> Iterator[str]:
    if not data.failures and any(CONTROL not in block.values for block in data.blocks.values()):
        yield "there are blocks without the control"
    out = {failure.arm for failure in data.failures} | {absent.arm for absent in data.absences}
    checked = {(check.observed, check.arm) for check in data.checks}
    wanted = {
        (guard.observed, arm)
        for guard in data.declared.guards
        for arm in (guard.arms or [arm.name for arm in data.declared.arms])
        if arm not in out
    }
    if data.blocks and wanted - checked:
        yield f"{text.count(len(wanted - checked), 'check')} of guards are missing"
    end, done = data.end, len(data.blocks)
    if end and end.reason == "precise" and not data.failures and done < (end.blocks_wanted or 0):
        yield f"it ended as precise after {done} blocks, and asked for {end.blocks_wanted}"
