"""A training step, and the same step with 3 % more work."""

from bench.lab import clock
from bench.lab.declare import Arm, Case, Experiment, Prepared
from bench.lab.worker import step_repeatedly
from bench.workloads.doctor_probe import EXPERIMENT as IDENTICAL
from bench.workloads.doctor_probe import training_step

SHARE = 0.03
LOOPS = 100_000


def count(loops):
    """Do a fixed amount of work, whatever the machine is doing meanwhile."""
    for _ in range(loops):
        pass


def seconds_of(work, times):
    """Return the median of several runs."""
    lasts = []
    for _ in range(times):
        start = clock.now()
        work()
        lasts.append(clock.now() - start)
    return sorted(lasts)[len(lasts) // 2]


def with_more_work(case):
    """Return the training step followed by a loop that lasts 3 % of it."""
    prepared = training_step(case)
    step_repeatedly(prepared.step, 20)
    of_step = seconds_of(lambda: float(prepared.step()), 50)
    of_loops = seconds_of(lambda: count(LOOPS), 20)
    loops = round(LOOPS * SHARE * of_step / of_loops)

    def step():
        count(loops)
        return prepared.step()

    return Prepared(step)


EXPERIMENT = Experiment(
    name="injected",
    question="Is 3 % more work found?",
    method="A loop that lasts 3 % of a step is added to the step.",
    sources=IDENTICAL.sources,
    arms=(
        Arm("plain", training_step, "a training step"),
        Arm("more", with_more_work, "the same and 3 % more work"),
    ),
    cases=(Case({}),),
)
EMPTY = Experiment(
    name="empty",
    question="What does timing itself cost?",
    method="A step that does nothing.",
    sources=IDENTICAL.sources,
    arms=(
        Arm("empty", lambda _case: Prepared(lambda: None), "nothing"),
        Arm("as_empty", lambda _case: Prepared(lambda: None), "nothing"),
    ),
    cases=(Case({}),),
)
