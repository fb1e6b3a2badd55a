"""What could be measured: experiments, cases, claims and sources, for `keras-ab list`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from keras_ab.bench.lab.words.bench_files import OURS, experiments_in, load_module
from keras_ab.bench.lab.words.declare import Case, Claim, Experiment
from keras_ab.bench.lab.words.errors import DeclarationError


def experiments(folder: Path, names: list[str]) -> list[Experiment]:
    """Return the experiments of a folder's bench files, or only those named."""
    found = {
        name: experiment
        for path in sorted(folder.glob("bench_*.py"))
        for name, experiment in experiments_in(load_module(str(path))).items()
    }
    unknown = [name for name in names if name not in found]
    if unknown or not found:
        raise DeclarationError(
            f"an experiment is declared in a bench_*.py file of {folder}",
            ", ".join(unknown) or "no experiment at all",
            (f"use one of {', '.join(found)}" if found else "name another with --folder")
            + ours_beside(folder),
        )
    return [experiment for name, experiment in found.items() if not names or name in names]


def catalogue(folder: Path, names: list[str]) -> str:
    """Return all that is declared, in words."""
    return "\n\n".join(_described(experiment) for experiment in experiments(folder, names))


def claims(folder: Path, names: list[str]) -> str:
    """Return the claims, a line each."""
    found = [
        f"{experiment.name}.{claim.id}: {claim.statement} ({bound(claim)})"
        for experiment in experiments(folder, names)
        for claim in experiment.claims
    ]
    return "\n".join(found) or "none of these has a claim"


def ours_beside(folder: Path) -> str:
    """Return where the experiments are that come with keras-ab, unless these are they."""
    is_ours = folder.resolve() == OURS
    return "" if is_ours else f"; those that come with keras-ab: --folder {OURS}"


def bound(claim: Claim) -> str:
    """Return a claim's bound, ``0.5 ≤ step_time_s of arm ≤ 1``."""
    if claim.attempt:
        about = f" of {claim.arm}" if claim.arm else ""
        return f"{claim.attempt}{about} {'works' if claim.works else 'does not work'}"
    low = "" if claim.at_least is None else f"{claim.at_least:g} ≤ "
    high = "" if claim.at_most is None else f" ≤ {claim.at_most:g}"
    against = f" against {claim.against}" if claim.against else ""
    return f"{low}{claim.metric} of {claim.arm}{against}{high}"


def _when(case: Case) -> str:
    """Say which cases are measured only when asked for."""
    if case.gpu_bytes:
        return "  (a GPU)"
    return "  (sweep)" if case.swept else "" if case.quick else "  (full)"


def _described(experiment: Experiment) -> str:
    cases = [f"{case.id}{_when(case)}" for case in experiment.cases]
    parts = [
        f"{experiment.name}: {experiment.question}",
        _section("arms", [f"{arm.name}: {arm.says}" for arm in experiment.arms]),
        _section("cases", cases),
        _section("attempts", [f"{a.id}: {a.says}" for a in experiment.attempts]),
        _section("claims", [f"{c.id}: {c.statement} ({bound(c)})" for c in experiment.claims]),
        _section("sources", [str(source) for source in experiment.sources]),
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    wrapped = (
        textwrap.fill(
            line,
            96,
            initial_indent="    ",
            subsequent_indent="      ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        for line in lines
    )
    return "\n".join([f"  {title}", *wrapped])
