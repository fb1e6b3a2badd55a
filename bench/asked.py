"""What `keras-ab try` does, from what it was asked for to what the reports say in the end."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from keras_ab.bench.fitting import fits, memory_limit_bytes
from keras_ab.bench.lab import clock
from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.effort import duration
from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.own import largest, techniques
from keras_ab.bench.own.experiments import Terms
from keras_ab.bench.own.look import Found
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.telling import listed, starting
from keras_ab.bench.trying import Say, Trying, affordable, gained, takes_s

FEWEST_BLOCKS = 5
"""Of a trial: what a verdict needs."""

SMALLER = ("recompute", "recompute_all", "bfloat16", "accumulate", "adafactor")
"""Techniques with which the largest batch is looked for, where they apply."""


@dataclass(frozen=True)
class Asked:
    """What `keras-ab try` was asked for; see its help.

    Args:
        subject: on trial.
        backend: name of the backend.
        runs: folder of run files.
        budget_s: seconds that there are for the techniques one by one.
        names: of techniques; empty for all that apply.
        stack: whether those that gained are crossed.
        largest_batch: whether the largest batch that fits is looked for.
        terms: of all experiments.
    """

    subject: Subject
    backend: str
    runs: Path
    budget_s: float
    names: tuple[str, ...] = ()
    stack: bool = False
    largest_batch: bool = False
    terms: Terms = field(default_factory=Terms)


def plan_for(budget_s: float) -> Plan:
    """Return a plan that comes to verdicts with few blocks, and more where there is time."""
    return Plan(min_blocks=FEWEST_BLOCKS, rounds=60, budget_s=budget_s / 2, precision=0.015)


def chosen(found: Found, asked: Asked, say: Say) -> tuple[list[str], list[str]]:
    """Return the techniques to try and those there is no time for; say what is found, left out."""
    say("\n".join(text.wrapped(f"found: {found}", 0)))
    if reasons := techniques.left_out(found, asked.names):
        say(f"does not apply:\n{listed(reasons)}")
    wanted = techniques.wanted(found, asked.names)
    if not wanted:
        raise LabError(
            "at least one technique applies to a subject",
            f"none of {', '.join(asked.names) or 'those that there are'}",
            "name others with --techniques",
        )
    names = wanted if asked.names else affordable(found, wanted, asked.budget_s)
    if not names:
        least_s = min(takes_s(found, [name]) for name in wanted)
        raise LabError(
            "a trial of one technique fits into the budget",
            f"{duration(least_s)}; a batch takes {text.seconds(found.batch_s)}, making it "
            f"{text.seconds(found.build_s + found.first_s)}",
            f"return a smaller batch_size, or give --budget {math.ceil(least_s / 60)} or more",
        )
    late = [name for name in wanted if name not in names]
    if late:
        say(too_late(found, names, late))
    say(f"{text.count(len(names), 'technique')}, {duration(takes_s(found, names))}")
    return names, late


def check_judged(found: Found, terms: Terms) -> None:
    """Refuse to judge what is learnt where there is nothing to judge it by."""
    if terms.quality and not found.validation:
        raise LabError(
            "what is learnt is judged by validation data of the subject's",
            "a model and data alone",
            "return model, data, validation from the function",
        )


def run(asked: Asked, say: Say) -> str:
    """Put a subject on trial; return what the reports say in the end.

    What was measured stays where something ends it midway.
    """
    began = clock.now()
    say(f"{starting(asked.backend)} …")
    session = Session.begin(asked.runs, asked.backend, plan_for(asked.budget_s))
    with kept(session, say):
        trying = Trying(asked.subject, session, asked.backend, say, asked.terms)
        found = trying.look(asked.names)
        check_judged(found, asked.terms)
        names, late = chosen(found, asked, say)
        winners = gained(trying.singles(found, names, late), session.plan)
        if asked.stack:
            stack(trying, found, winners)
        if asked.largest_batch:
            batches(trying, found)
    say(f"took {duration(clock.now() - began)}")
    return "\n\n".join([closed(session), *([too_late(found, names, late)] if late else [])])


@contextmanager
def kept(session: Session, say: Say) -> Iterator[None]:
    """Close a run however it ends; say where it is where it is cut off, or leave no empty one."""
    try:
        yield
    except BaseException:
        session.close(seal=False)
        if any(data.blocks for data in session.trials.values()):
            say(f"\ncut off; what was measured is kept: keras-ab report {session.path}")
        else:
            session.path.unlink(missing_ok=True)
            say("\ncut off before anything was measured")
        raise
    else:
        session.close(seal=True)
    finally:
        shutil.rmtree(session.path.with_suffix(".own"), ignore_errors=True)


def too_late(found: Found, names: Sequence[str], late: Sequence[str]) -> str:
    """Return what there was no time for and how much would be enough."""
    enough = math.ceil(takes_s(found, [*names, *late]) / 60)
    says = f"for want of time not tried: {', '.join(late)}; --budget {enough} has time for all"
    return "\n".join(text.wrapped(says, 0))


def closed(session: Session) -> str:
    """Return what the reports say of a run."""
    from keras_ab.reports.closing import close

    return close(session.path)


def stack(trying: Trying, found: Found, winners: Sequence[str]) -> None:
    """Cross the techniques that gained, where there are two of them."""
    if len(winners) > 1:
        trying.stack(found, winners)
    else:
        trying.say("fewer than two techniques gained by themselves: there is nothing to stack")


def batches(trying: Trying, found: Found) -> None:
    """Look for the largest batch, as it is and with what may save memory; it becomes findings."""
    if found.data != "arrays":
        trying.say(f"the largest batch is looked for in arrays; {found.data} comes with its size")
        return
    limit = memory_limit_bytes()
    smaller = [t.name for t in techniques.applicable(found) if t.name in SMALLER]
    for names in ((), *((name,) for name in smaller)):
        what = names[0].replace("_", " ") if names else "as it is"
        try:
            low, high = largest.largest(partial(fits, trying, names, limit_bytes=limit))
        except LabError as error:
            if not names:
                raise
            trying.say(f"the largest batch, {what}: {error}")
            continue
        end = f"{high * found.batch} does not" if high else "larger ones were not tried"
        said = f"Largest batch of {trying.subject.title}, {what}: {low * found.batch} fits, {end}"
        trying.session.found(f"{said} (host memory limited to {text.size(limit)})")
        trying.say(said)


@dataclass(frozen=True)
class AskedFunctions:
    """Two functions or more to hold against each other; see `Asked` for the rest."""

    functions: Mapping[str, Subject]
    setup: Subject | None
    backend: str
    runs: Path
    budget_s: float


def run_functions(asked: AskedFunctions, say: Say) -> tuple[str, bool]:
    """Hold functions against the first; return what the reports say, and whether all ran."""
    say(f"{starting(asked.backend)} …")
    first = next(iter(asked.functions.values()))
    session = Session.begin(asked.runs, asked.backend, plan_for(asked.budget_s))
    with kept(session, say):
        trying = Trying(first, session, asked.backend, say)
        call = f"({asked.functions!r}, {asked.setup!r})"
        data = trying.measured("experiment", call, "functions")
    return closed(session), not data.failures
