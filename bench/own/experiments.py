"""A subject as ordinary experiments: its techniques one by one, stacked, and the best once more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

from keras_ab.bench.lab.words.arms import Arm, Attempt, arm
from keras_ab.bench.lab.words.cases import Case, Value
from keras_ab.bench.lab.words.declare import Experiment, Guard, Quality, Source
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.metrics import LABELS
from keras_ab.bench.own.change import Tried, together
from keras_ab.bench.own.look import Found, look, loss_again, start_compiled
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.own.techniques import applicable, technique
from keras_ab.bench.own.training import INPUTS, VALIDATION_LOSS, Trained
from keras_ab.bench.sources import KERAS_TRAINING

STEP_S = 0.04
"""What a step of these experiments should last; it is so many batches, a power of two."""

MOST_BATCHES = 16

TRAINED_S = 8.0
"""How long one training lasts, about, where what is learnt is judged."""
EPOCHS = 3
"""Of the data in such a training at most."""
SEEDS = (1, 2, 3, 4, 5)

FULL_FACTORIAL = 4
"""Techniques whose every combination is measured. Of five, every second one is."""
MOST_STACKED = 5

AS_IT_IS = "as_it_is"
BEST = "stack"
"""The arm that has all techniques of the stack that is confirmed."""

FACTORIAL = Source(
    author="G. E. P. Box, J. S. Hunter",
    title="The 2^(k-p) Fractional Factorial Designs",
    year=1961,
    url="https://doi.org/10.1080/00401706.1961.10489951",
)


@dataclass(frozen=True)
class Terms:
    """What is the same in every experiment on a subject.

    Args:
        quality: whether what is learnt is judged too, by the subject's validation data.
        price_per_h: what an hour of the machine costs, in the reader's currency; 0 unknown.
    """

    quality: bool = False
    price_per_h: float = 0.0


def batches_a_step(found: Found) -> int:
    """Return how many batches a step of the experiments is: two executions at the least.

    It is to be halved, and each half to be whole executions.
    """
    if any(t.change.get("steps_per_execution") for t in applicable(found)):
        return MOST_BATCHES
    count = 2 * (found.steps_per_execution if found.backend == "tensorflow" else 1)
    while count < MOST_BATCHES and count * 2 * found.batch_s <= STEP_S:
        count *= 2
    return count


def first_look(subject: Subject) -> Experiment:
    """Return the experiment that holds the first look, as an attempt."""
    arms = tuple(_arm(subject, name) for name in (AS_IT_IS, "again"))
    return Experiment(
        name=f"{subject.name}_look",
        question=f"What is there to be changed in {subject.title}?",
        method="It is made as it is, and trained on a few batches.",
        sources=(KERAS_TRAINING,),
        arms=arms,
        cases=(Case({"batches": 2}),),
        attempts=(
            Attempt("look", "a first look", partial(look, subject)),
            Attempt("again", "the loss once more", partial(loss_again, subject)),
            Attempt("compiled", "the start of a compiled step", partial(start_compiled, subject)),
        ),
        timed=False,
        backends=("tensorflow", "jax", "torch"),
    )


def singles(
    subject: Subject,
    found: Found,
    names: Sequence[str],
    terms: Terms,
    says: str = "",
    part: int = 1,
) -> Experiment:
    """Return the experiment in which each technique is tried by itself.

    Args:
        subject: on trial.
        found: by the first look.
        names: of the techniques.
        terms: of all its experiments.
        says: what was left out and why.
        part: number of the experiment, where there are several.
    """
    return _experiment(
        subject,
        found,
        terms,
        f"{subject.name}_singles{part if part > 1 else ''}",
        f"Which techniques make {subject.title} faster or smaller, each by itself?",
        "Each arm is the model and the data of the file with one thing changed.",
        [(name, (name,)) for name in names],
        says,
    )


def stacked(
    subject: Subject,
    found: Found,
    names: Sequence[str],
    terms: Terms,
    broken: Collection[str] = (),
    part: int = 1,
) -> Experiment:
    """Return the experiment in which techniques are crossed.

    Up to four are combined in every way. Of five, the combinations with an even number of them
    are measured: a half of resolution V, in which no average effect and no effect of two together
    is mixed up with another such.

    Args:
        subject: on trial.
        found: by the first look.
        names: of the techniques.
        terms: of all its experiments.
        broken: arms that did not do the same work, left out.
        part: number of the experiment, where it is declared anew.
    """
    crossed = [("_".join(corner), corner) for corner in corners(names) if corner]
    says = f"Left out, since they broke a guard: {', '.join(broken)}." if broken else ""
    return _experiment(
        subject,
        found,
        replace(terms, quality=False),
        f"{subject.name}_stack{part if part > 1 else ''}",
        f"Which techniques multiply, compete or help each other in {subject.title}?",
        "Techniques that gained by themselves, in combinations: a two-level factorial design.",
        [(name, corner) for name, corner in crossed if name not in broken],
        says,
        more=(FACTORIAL,),
    )


def confirmed(subject: Subject, found: Found, names: Sequence[str], terms: Terms) -> Experiment:
    """Return the experiment in which the best stack is measured anew, and without each part."""
    without = [(f"without_{name}", tuple(n for n in names if n != name)) for name in names]
    return _experiment(
        subject,
        found,
        terms,
        f"{subject.name}_confirmed",
        f"What does the best stack bring to {subject.title}, and each of its parts still?",
        "The stack that came out best, in fresh blocks: the one that wins is always a little too "
        "lucky where it won. And the stack without each of its parts.",
        [(BEST, tuple(names)), *(without if len(names) > 1 else [])],
    )


def corners(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the combinations of techniques that are measured, none of them among these.

    Raises:
        DeclarationError: they are too many, or exclude each other.
    """
    check_stackable(names)
    sizes = range(len(names) + 1)
    even = len(names) > FULL_FACTORIAL
    return [c for n in sizes if not (even and n % 2) for c in combinations(names, n)]


def check_stackable(names: Sequence[str]) -> None:
    """Refuse techniques that cannot be stacked."""
    fields = [field for name in names for field in technique(name).change]
    if len(names) > MOST_STACKED or len(set(fields)) < len(fields):
        raise DeclarationError(
            f"a stack is of up to {MOST_STACKED} techniques that change different things",
            ", ".join(names),
            "leave some out",
        )


def _arm(
    subject: Subject, name: str, names: Collection[str] = (), found: Found | None = None
) -> Arm:
    changes = [technique(part) for part in names]
    paste = tuple(change.paste.format(found=found) for change in changes)
    environment = {k: v for change in changes for k, v in change.environment.items()}
    return arm(
        name,
        Trained(subject),
        Tried(together(c.change for c in changes), paste),
        "; ".join(change.says for change in changes) or f"as {subject.title} has it",
        techniques=tuple(names),
        environment=environment,
        time_limit_s=600.0,
    )


def _experiment(
    subject: Subject,
    found: Found,
    terms: Terms,
    name: str,
    question: str,
    method: str,
    arms: Iterable[tuple[str, tuple[str, ...]]],
    says: str = "",
    more: tuple[Source, ...] = (),
) -> Experiment:
    made = [_arm(subject, name, names, found) for name, names in [(AS_IT_IS, ()), *arms]]
    used = [technique(name) for name in dict.fromkeys(n for a in made for n in a.techniques)]
    count = batches_a_step(found)
    plain = f"What fit makes of a {found.data}: its batches are handed over one at a time."
    plain = "" if found.as_fit else plain
    case: dict[str, Value] = {"batches": count, "batch": found.batch}
    if terms.price_per_h:
        case["price_per_h"] = terms.price_per_h
    return Experiment(
        name=name,
        question=question,
        method=f"{method} Found: {found}. A step is {count} batches of {found.batch}, taken from "
        "the data as fit takes them; where batches are of another size, as many examples.",
        held_fixed="model, first weights, examples and their order, all that the arm does not name",
        does_not_show=" ".join(filter(None, ("Other batch sizes and machines.", plain, says))),
        sources=tuple(dict.fromkeys((*(t.source for t in used), *more))),
        arms=tuple(made),
        cases=(Case(case),),
        metrics=(LABELS, INPUTS),
        guards=_guards(made),
        quality=_quality(subject, found, count) if terms.quality else None,
        subject=subject.title,
        backends=("tensorflow", "jax", "torch"),
    )


def _quality(subject: Subject, found: Found, count: int) -> Quality:
    """Return how what is learnt is judged: in some seconds, or three times through the data."""
    most = int(TRAINED_S / found.batch_s)
    wanted = min(most, EPOCHS * found.batches) if found.batches else most
    train = partial(Trained(subject).validated, max(1, wanted // count))
    return Quality(VALIDATION_LOSS, train, SEEDS, learning_rates=(1.0,), tuning_seeds=())


def _guards(arms: Iterable[Arm]) -> tuple[Guard, ...]:
    """Return what must hold: the same loss where that is promised, and no NaN anywhere."""
    same = tuple(a.name for a in arms if all(technique(t).same for t in a.techniques))
    return (
        Guard("loss", 1e-3, "same loss of the same batch from the same weights", same),
        Guard("weights", None, "finite weights after a step"),
    )
