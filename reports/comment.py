"""The first screen as short Markdown: for a pull request, a review, a chat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.verdicts import Outcome
from keras_ab.reports import identical, summary
from keras_ab.reports.loading import Runs
from keras_ab.reports.machines import Machine, machines, versions
from keras_ab.reports.markdown import code, escape
from keras_ab.reports.sections import answers, trial_views
from keras_ab.reports.turning_points import Turn, turns

END = "<!-- end of keras-ab comment -->"


def comment(runs: Runs) -> str:
    """Return what the runs found, as Markdown between two comments that `verify` knows."""
    begun = [f"<!-- keras-ab-run {run.header.run} {run.run.sha256} -->" for run in runs.runs]
    here = machines(runs.runs)
    parts = [part for machine in here for part in _parts(machine)]
    parts += [_since(turn) for turn in turns(here)[:1] if turn.command]
    return "\n".join(begun) + "\n" + "\n\n".join(parts) + f"\n\n{END}\n"


def _parts(machine: Machine) -> Iterator[str]:
    trials, _ = trial_views([machine])
    found = summary.groups(answers(trials))
    counted = ", ".join(f"{group.count} {group.word}" for group in found)
    simulated = ", **simulated, not measured**" if machine.simulated else ""
    yield f"### keras-ab: {counted or 'nothing to answer'}"
    newest = machine.runs[-1]
    yield f"{escape(machine.name)}{simulated}; {escape(versions(newest))}; run {newest.header.run}"
    for group in (group for group in found if group.lines):
        more = f"; {group.more} more in the report" if group.more else ""
        lines = "\n".join(f"- {_line(line)}" for line in group.lines)
        yield f"**{group.word}**, {group.says}{more}:\n\n{lines}"
    claims = Counter(claim.outcome for view in trials for claim in view.trial.claims)
    if claims:
        said = ", ".join(f"{claims[word]} {word}" for word in Outcome if claims[word])
        yield f"Of {text.count(sum(claims.values()), 'claim')} by the sources: {said}."
    if controls := identical.of_run(newest):
        yield f"Trust: {escape(controls.says)}"


def _since(turn: Turn) -> str:
    """Say what the newest run has worse than the one before it."""
    lines = [
        f"- {escape(c.key.says)}: {code(c.arm)}, {escape(c.after.metric.title)} "
        f"{escape(text.compact(c.after))}, not {escape(text.compact(c.before))}"
        for c in turn.worse
    ]
    lines += [
        f"- {escape(k.says)}: {code(answer.arm)} is {answer.word}" for k, answer in turn.invalid
    ]
    of_machine = (line for line in turn.environment if line.startswith("machine."))
    lines += [f"- not the same machine: {code(line)}" for line in of_machine]
    heading = f"**worse than in run {escape(turn.before.header.run)}** ({code(turn.command)}):"
    return "\n".join([f"{heading}\n", *lines])


def _line(line: summary.Line) -> str:
    parts = ", ".join(f"{name} {number} {word}" for name, number, word in line.parts)
    return f"**{escape(line.title)}** {escape(parts)}"
