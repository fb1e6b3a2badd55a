"""One self-contained HTML page: no request, one small script, a strict content security policy."""

from __future__ import annotations

import base64
import gc
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.kinds import FEWEST_NODES
from keras_ab.bench.lab.judge.verdicts import Outcome
from keras_ab.bench.lab.words.anonymous import anonymous
from keras_ab.bench.lab.words.errors import RecordError, Refusal
from keras_ab.bench.lab.words.metrics import DIMENSIONS, PEAK_HOST_MEMORY
from keras_ab.reports import (
    arms,
    cautions,
    ceilings,
    identical,
    integrity,
    profiles,
    summary,
    sweeps,
    views,
)
from keras_ab.reports.advice import advised
from keras_ab.reports.between import flipped, speeds
from keras_ab.reports.citing import WHOLE
from keras_ab.reports.compare import side, unlike
from keras_ab.reports.compared import shown_speed_up
from keras_ab.reports.forest import forest
from keras_ab.reports.judged import multiplicity
from keras_ab.reports.kinds import MOST_NODES, kinds, told_apart
from keras_ab.reports.legible import legible
from keras_ab.reports.loading import Runs, load
from keras_ab.reports.machines import Machine, key, machines, short, versions
from keras_ab.reports.sections import (
    AnswerRow,
    answers,
    claims,
    history,
    trial_views,
)
from keras_ab.reports.turning_points import turns

COLUMNS = {
    "time": "Step time",
    "memory": "Memory and size",
    "quality": "Quality",
    "energy": "Energy",
}
"""Headings of the table of answers."""


PROVEN = "keras-ab verify holds this page, and a PDF of it, against them."
"""What the first screen ends with in print, after the runs that it is from."""


def write_page(
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    done: str = "",
    experiments: Collection[str] = (),
) -> Path:
    """Read runs and write the page on them.

    Args:
        paths: run files, folders, globs; see `reports.load`.
        out: where the page goes.
        done: how much is there of a run that is under way, "" where it has come to its end.
        experiments: those that are wanted, where not all are; see `reports.load`.

    Raises:
        RecordError: where no run can be read, or the page cannot be written.
    """
    return write(load(paths, experiments), out, done)


def write(runs: Runs, out: str | Path, done: str = "") -> Path:
    """Write the page on runs that were loaded; see `write_page`."""
    gc.freeze()  # what was read stays: searching it for garbage again and again takes seconds
    try:
        html = page(runs, done)
    finally:
        gc.unfreeze()
    return _written(html, Path(out))


def _written(html: str, target: Path) -> Path:
    """Write a page beside its place and rename it, so that a failure leaves what was there."""
    beside = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(target)
        try:
            beside.write_text(html, encoding="utf-8", errors="replace")
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(
            "the report can be written", f"{target}: {error.strerror}", "name another file with -o"
        ) from error
    return target


def _check_replaceable(target: Path) -> None:
    """Refuse to write over anything that is neither empty nor a page of ours, a run above all."""
    if not target.is_file():
        return
    with target.open("rb") as file:
        start = file.read(4096)
    if start and b'<meta name="generator" content="keras-ab ' not in start:
        raise RecordError(
            "a report is written over nothing but a report",
            f"{target}, which is a file of another kind",
            "name another file with -o",
        )


def page(runs: Runs, done: str = "") -> str:
    """Return the page on runs that were loaded: the newest trial of everything, and its history."""
    there = machines(runs.runs)
    here = told_apart(there)
    own = {run.header.run for machine in here for run in machine.runs}
    further = [machine for machine in there if machine.runs[-1].header.run not in own]
    told_of = partial(cautions.of_run, copies=integrity.copies(runs.runs))
    sides = [side(machine.name, machine.runs) for machine in here]
    trials = [placed.trial for machine in here for placed in machine.newest]
    every, detailed = trial_views(here)
    counted = Counter(claim.outcome for trial in trials for claim in trial.claims)
    shared = cautions.shared([view.cautions for view in every])
    rows, claimed = answers(every, shared), claims(every)
    confidence = min(run.header.plan.confidence for run in runs.runs)
    many = multiplicity(trials, confidence)
    css, script = _own("page.css"), _own("page.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            css=Markup(css),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            policy=policy(css, script),
            generator=generator(),
            done=done,
            runs=runs.runs,
            only=runs.experiments,
            refused=[_anonymous(bad.error) for bad in runs.refused],
            machines=here,
            anchors={run.header.run: f"run{n}" for n, run in enumerate(runs.runs, 1)},
            simulated=_simulated(here, further),
            flips=flipped(sides, every),
            kinds=kinds(runs.runs),
            further=further,
            warned=Counter(c.says for m in further for c in told_of(m.runs[-1])),
            speeds=speeds(sides),
            turns=(turned := turns(here)),
            history=history(here, turned),
            called=short([machine.name for machine in here]),
            named={(view.machine, key(view.data)): view for view in every},
            trials=every,
            detailed=detailed,
            rows=rows,
            advised=advised(every, many),
            summary=summary.groups(rows),
            titles=summary.titles(rows),
            matrix=summary.matrix(rows, unlike(sides)),
            refuted=summary.refuted(claimed),
            common=[f"{n} of {len(trials)} trials: {says}" for says, n in shared.items()],
            forest=forest(f for row in rows for p in row.answer.parts if (f := p.finding)),
            dimensions=[d for d in DIMENSIONS if d != "energy" or any(map(_has_energy, rows))],
            confidence=confidence,
            identical=identical.of_machines(here),
            claims=claimed,
            outcomes={word: counted[word] for word in Outcome if counted[word]},
            run_cautions=told_of,
            questions=list(dict.fromkeys(trial.data.declared.question for trial in trials)),
            profiles=(traced := profiles.of_runs(r for r in runs.runs if r.header.run in own)),
            traced={p.of: p for p in traced},
            sweeps=sweeps.of_machines(here),
            ceilings=ceilings.of_machines(here),
            many=many,
        )
    )


def _simulated(here: Iterable[Machine], further: Iterable[Machine]) -> list[str]:
    """Return which machines are simulated: those that the page tells of, and how many more."""
    more = sum(machine.simulated for machine in further)
    named = [machine.name for machine in here if machine.simulated]
    return [*named, text.count(more, "more node")] if more else named


def _anonymous(error: RecordError) -> Refusal:
    """Return why a file was left out, without where it lies."""
    return Refusal(error.must, anonymous(str(error.received)), anonymous(error.do))


def _has_energy(row: AnswerRow) -> bool:
    return row.answer.part("energy").finding is not None


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("keras_ab.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals |= {
        "text": text,
        "views": views,
        "arms": arms,
        "versions": versions,
        "signed_percent": profiles.signed_percent,
        "shown_speed_up": shown_speed_up,
        "columns": COLUMNS,
        "fewest_nodes": FEWEST_NODES,
        "most_nodes": MOST_NODES,
        "host_memory": PEAK_HOST_MEMORY.name,
        "whole": WHOLE,
        "proven": PROVEN,
        "titled": summary.experiment_title,
        "told_refuted": summary.REFUTED,
    }
    return environment


def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def generator() -> str:
    """Return what made a page: pages of the same generator and runs are the same."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("keras-ab", "matplotlib"))


def policy(css: str, script: str) -> str:
    """Return the content security policy: nothing but this one style sheet and this one script."""
    return (
        f"default-src 'none'; style-src {_digest(css)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _finalize(value: Any) -> Any:
    """Make every string that reaches the page legible; what is markup already stays as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return legible(str(value))
    return value
